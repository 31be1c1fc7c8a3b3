"""Plugins: found by entry point, asked in their own threads with a time limit, told from the event table."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import pluggy
from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.interfaces import IReactorTime
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

from postmeter import hookspecs
from postmeter.config import Settings
from postmeter.errors import ConfigError
from postmeter.hookspecs import HeaderField, Message, Service
from postmeter.smtp.reply import Refused, Reply

log = logging.getLogger(__name__)

GROUP = "postmeter"
ALWAYS = ("web",)  # the panel has its own switch: web.listen
ASK_TIME_LIMIT = 2.0  # seconds
OWNED = frozenset(  # header fields that the relay checks or sets itself; and all Resent-* and Content-*
    (
        *("from", "sender", "reply-to", "to", "cc", "bcc", "date", "message-id", "subject", "mime-version"),
        *("return-path", "received", "dkim-signature", "list-help"),
    )
)
TEMPORARY = Reply(451, "4.3.0", "A check of this message could not be made now, please try again later")


class Plugins:
    """The plugins of this process; ``missing`` are names that were enabled but are not installed."""

    def __init__(self, manager: pluggy.PluginManager, missing: Sequence[str] = ()) -> None:
        self.manager = manager
        self.missing = tuple(missing)

    @classmethod
    def load(cls, settings: Settings) -> Plugins:
        """Load the enabled plugins; ConfigError for one that fails or has a hook that does not exist.

        (A misspelt hook would never be called.)
        """
        found = {entry.name: entry for entry in entry_points(group=GROUP)}
        manager = new_manager()
        for name in (*ALWAYS, *settings.plugins.enabled):
            if name in found and not manager.has_plugin(name):
                _register(manager, name, found[name])
        return cls(manager, [name for name in settings.plugins.enabled if name not in found])

    def implementing(self, hook: str) -> list[pluggy.HookImpl]:
        """The plugins' functions for a hook, in the order they are called."""
        return list(reversed(getattr(self.manager.hook, hook).get_hookimpls()))

    def services(self, settings: Settings) -> list[Service]:
        """What the plugins want to have run."""
        offered: Iterable[Sequence[Service] | None] = self.manager.hook.services(settings=settings)
        return [service for services in offered for service in services or ()]


def _register(manager: pluggy.PluginManager, name: str, entry: EntryPoint) -> None:
    try:
        manager.register(entry.load(), name)
        manager.check_pending()
    except Exception as error:
        log.debug("plugin %s cannot be used", name, exc_info=error)
        said = " ".join(str(error).split())
        raise ConfigError(f"plugins.enabled: the plugin {name!r} cannot be used: {said}") from error


def new_manager() -> pluggy.PluginManager:
    """A plugin manager that knows the hooks."""
    manager = pluggy.PluginManager("postmeter")
    manager.add_hookspecs(hookspecs)
    return manager


class DaemonThread(threading.Thread):
    """A thread that does not keep the process from ending."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, daemon=True, **kwargs)


class DaemonPool(ThreadPool):
    """A thread pool of such threads."""

    threadFactory = DaemonThread


class Asking:
    """Asks plugins without ever letting them hold the reactor: own threads, a time limit, only Refused may veto."""

    def __init__(self, plugins: Plugins, reactor: Any, time_limit: float = ASK_TIME_LIMIT) -> None:
        self._plugins = plugins
        self._reactor = reactor
        self._clock: IReactorTime = reactor
        self._time_limit = time_limit
        self._threads = DaemonPool(0, 8, "plugins")

    def start(self) -> None:
        """Start the threads (none as long as nothing is asked)."""
        self._threads.start()

    def stop(self) -> None:
        """End the threads that are free; one that hangs is left behind as a daemon. Blocks, a second at most."""
        ending = threading.Thread(target=self._threads.stop, daemon=True)
        ending.start()
        ending.join(1.0)

    def has(self, hook: str) -> bool:
        """Whether any plugin implements it; if not, asking costs nothing."""
        return bool(self._plugins.implementing(hook))

    async def ask(self, hook: str, message: Message) -> bytes:
        """The header fields that the plugins add, encoded; raises Refused with a plugin's reply, or 451."""
        added = b""
        for implementation in self._plugins.implementing(hook):
            try:
                until = self._clock.seconds() + self._time_limit
                d: Deferred[Any] = deferToThreadPool(
                    self._reactor, self._threads, self._call, implementation, message, until
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

    def _call(self, implementation: pluggy.HookImpl, message: Message, until: float) -> Any:
        """In a plugin thread; a question that waited behind hanging ones until nobody wants the answer is dropped."""
        if self._clock.seconds() >= until:
            return None
        try:
            return implementation.function(*(message for _ in implementation.argnames))
        except Exception:
            raise
        except BaseException as error:  # sys.exit() is not the plugin's to call
            raise RuntimeError(f"the plugin raised {error!r}") from error


def encode_fields(fields: Sequence[HeaderField] | None) -> bytes:
    """Header fields as octets; ValueError for what would break out of its line (RFC 5322, 2.2) or is the relay's."""
    lines = []
    for name, value in fields or ():
        if name.lower() in OWNED or name.lower().startswith(("resent-", "content-")):
            raise ValueError(f"plugins may not add {name}")
        ok = name.isascii() and name.isprintable() and name and not set(name) & {":", " "}
        if not ok or any(ord(c) < 32 or ord(c) > 126 for c in value) or len(name) + len(value) > 990:
            raise ValueError(f"not a header field: {name!r}: {value!r}")
        lines.append(f"{name}: {value}\r\n")
    return "".join(lines).encode("ascii")
