"""Plugins: found by entry point, asked in their own threads with a time limit, told from the event table."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from importlib.metadata import entry_points
from typing import Any

import pluggy
from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.interfaces import IReactorTime
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

from postmeter import hookspecs
from postmeter.config import Settings
from postmeter.hookspecs import HeaderField, Message, Service
from postmeter.smtp.reply import Refused, Reply

log = logging.getLogger(__name__)

GROUP = "postmeter"
ALWAYS = ("web",)  # the panel has its own switch: web.listen
ASK_TIME_LIMIT = 2.0  # seconds
TEMPORARY = Reply(451, "4.3.0", "A check of this message could not be made now, please try again later")


class Plugins:
    """The plugins of this process; ``missing`` are names that were enabled but are not installed."""

    def __init__(self, manager: pluggy.PluginManager, missing: Sequence[str] = ()) -> None:
        self.manager = manager
        self.missing = tuple(missing)

    @classmethod
    def load(cls, settings: Settings) -> Plugins:
        """Load the enabled plugins; a hook that does not exist is an error (a misspelt one would never be called)."""
        found = {entry.name: entry for entry in entry_points(group=GROUP)}
        manager = new_manager()
        for name in (*ALWAYS, *settings.plugins.enabled):
            if name in found and not manager.has_plugin(name):
                manager.register(found[name].load(), name)
        manager.check_pending()
        return cls(manager, [name for name in settings.plugins.enabled if name not in found])

    def implementing(self, hook: str) -> list[pluggy.HookImpl]:
        """The plugins' functions for a hook, in the order they are called."""
        return list(reversed(getattr(self.manager.hook, hook).get_hookimpls()))

    def services(self, settings: Settings) -> list[Service]:
        """What the plugins want to have run."""
        offered: Iterable[Sequence[Service] | None] = self.manager.hook.services(settings=settings)
        return [service for services in offered for service in services or ()]


def new_manager() -> pluggy.PluginManager:
    """A plugin manager that knows the hooks."""
    manager = pluggy.PluginManager("postmeter")
    manager.add_hookspecs(hookspecs)
    return manager


class Asking:
    """Asks plugins without ever letting them hold the reactor: own threads, a time limit, only Refused may veto."""

    def __init__(self, plugins: Plugins, reactor: Any, time_limit: float = ASK_TIME_LIMIT) -> None:
        self._plugins = plugins
        self._reactor = reactor
        self._clock: IReactorTime = reactor
        self._time_limit = time_limit
        self._threads = ThreadPool(0, 8, "plugins")

    def start(self) -> None:
        """Start the threads (none as long as nothing is asked)."""
        self._threads.start()

    def stop(self) -> None:
        """End the threads that are free; one that hangs is left behind as a daemon."""
        self._threads.stop()

    def has(self, hook: str) -> bool:
        """Whether any plugin implements it; if not, asking costs nothing."""
        return bool(self._plugins.implementing(hook))

    async def ask(self, hook: str, message: Message) -> bytes:
        """The header fields that the plugins add, encoded; raises Refused with a plugin's reply, or 451."""
        added = b""
        for implementation in self._plugins.implementing(hook):
            try:
                d: Deferred[Any] = deferToThreadPool(
                    self._reactor, self._threads, implementation.function, message=message
                )
                added += encode_fields(await d.addTimeout(self._time_limit, self._clock))
            except Refused as refused:
                if refused.reply.positive:
                    log.error("plugin %s refused with %s", implementation.plugin_name, refused.reply)
                    raise Refused(TEMPORARY) from None
                raise
            except DeferredTimeout:
                log.error("plugin %s did not answer %s in time", implementation.plugin_name, hook)
                raise Refused(TEMPORARY) from None
            except Exception as error:
                log.error("%s failed in plugin %s", hook, implementation.plugin_name, exc_info=error)
                raise Refused(TEMPORARY) from None
        return added


def encode_fields(fields: Sequence[HeaderField] | None) -> bytes:
    """Header fields as octets; ValueError for names or values that would break out of their line (RFC 5322, 2.2)."""
    lines = []
    for name, value in fields or ():
        ok = name.isascii() and name.isprintable() and name and not set(name) & {":", " "}
        if not ok or any(ord(c) < 32 or ord(c) > 126 for c in value) or len(name) + len(value) > 990:
            raise ValueError(f"not a header field: {name!r}: {value!r}")
        lines.append(f"{name}: {value}\r\n")
    return "".join(lines).encode("ascii")
