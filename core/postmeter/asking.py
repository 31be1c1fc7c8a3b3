"""Asks plugins about messages: in their own threads, with a time limit, and only ``Refused`` may veto."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pluggy
from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.interfaces import IReactorTime
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

from postmeter.hooks import Plugins
from postmeter.hookspecs import HeaderField, Message
from postmeter.message import editing
from postmeter.message.editing import MAX_REFERENCE
from postmeter.smtp.reply import Refused, Reply

log = logging.getLogger(__name__)

ASK_TIME_LIMIT = 2.0  # seconds
REFERENCE = editing.REFERENCE.decode()
OWNED_PREFIXES = ("resent-", "content-", "x-postmeter-")
OWNED = frozenset(  # header fields that the relay checks or sets itself; and all that begin with OWNED_PREFIXES
    (
        *("from", "sender", "reply-to", "to", "cc", "bcc", "date", "message-id", "subject", "mime-version"),
        *("return-path", "received", "dkim-signature", "list-help"),
    )
)
TEMPORARY = Reply(451, "4.3.0", "A check of this message could not be made now, please try again later")


@dataclass(frozen=True, slots=True)
class Added:
    """What plugins add to a message: header fields, encoded, and the reference that one of them has found."""

    fields: bytes = b""
    reference: str = ""


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

    def has(self, hook: str, followed: bool = True) -> bool:
        """Whether any plugin is to be asked; ``followed``: about a connection that one which chooses follows."""
        return bool(self._asked(hook, followed))

    def _asked(self, hook: str, followed: bool) -> list[pluggy.HookImpl]:
        choosing = self._plugins.choosing if hook == "on_accept" and not followed else ()
        return [one for one in self._plugins.implementing(hook) if one.plugin_name not in choosing]

    async def ask(self, hook: str, message: Message, followed: bool = True) -> Added:
        """What the plugins add; raises Refused with a plugin's reply, or 451. ``followed`` as for ``has``."""
        added = Added()
        for implementation in self._asked(hook, followed):
            try:
                until = self._clock.seconds() + self._time_limit
                d: Deferred[Any] = deferToThreadPool(
                    self._reactor, self._threads, self._call, implementation, message, until
                )
                more = encode_fields(await d.addTimeout(self._time_limit, self._clock), hook)
                added = Added(added.fields + more.fields, added.reference or more.reference)
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
        return self._plugins.call(implementation, {"message": message})


def is_owned(name: str) -> bool:
    """Whether a header field (its name in lower case) is not a plugin's to add."""
    return name in OWNED or (name.startswith(OWNED_PREFIXES) and name != REFERENCE)


def encode_fields(fields: Sequence[HeaderField] | None, hook: str = "on_accept") -> Added:
    """Header fields as octets; ValueError for what would break out of its line (RFC 5322, 2.2) or is the relay's.

    A reference can only be given while the message is accepted.
    """
    lines, reference = [], ""
    for name, value in fields or ():
        if is_owned(name.lower()):
            raise ValueError(f"plugins may not add {name}")
        ok = name.isascii() and name.isprintable() and name and not set(name) & {":", " "}
        if not ok or any(ord(c) < 32 or ord(c) > 126 for c in value) or len(name) + len(value) > 990:
            raise ValueError(f"not a header field: {name!r}: {value!r}")
        if name.lower() != REFERENCE:
            lines.append(f"{name}: {value}\r\n")
        elif hook == "on_accept":
            reference = value.strip()[:MAX_REFERENCE]
        else:
            raise ValueError(f"{name} cannot be given in {hook}")
    return Added("".join(lines).encode("ascii"), reference)
