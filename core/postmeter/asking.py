"""Asks plugins about messages: in threads of their own, with a time limit, and only ``Refused`` may veto."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pluggy
from twisted.internet.defer import Deferred, ensureDeferred, fail
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

from postmeter.breaker import Breaker
from postmeter.containment import said
from postmeter.hooks import Plugins
from postmeter.hookspecs import MAX_ADDED, HeaderField, Message
from postmeter.message import editing
from postmeter.message.editing import MAX_REFERENCE
from postmeter.roster import ASKED
from postmeter.smtp.reply import Refused, Reply

log = logging.getLogger(__name__)

THREADS = 8  # of each plugin, in each process
REFERENCE = editing.REFERENCE.decode()
OWNED_PREFIXES = ("resent-", "content-", "x-postmeter-")
OWNED = frozenset(  # header fields that the relay checks or sets itself; and all that begin with OWNED_PREFIXES
    (
        *("from", "sender", "reply-to", "to", "cc", "bcc", "date", "message-id", "subject", "mime-version"),
        *("return-path", "received", "dkim-signature", "list-help"),
    )
)
TEMPORARY = Reply(451, "4.3.0", "A check of this message could not be made now, please try again later")
_STATUS = re.compile(r"[45]\.\d{1,3}\.\d{1,3}")


@dataclass(frozen=True, slots=True)
class Added:
    """What plugins add to a message: header fields, encoded, and the reference that one of them has found."""

    fields: bytes = b""
    reference: str = ""


@dataclass(frozen=True, slots=True)
class Failed:
    """No answer, and why (one line)."""

    why: str


@dataclass(frozen=True, slots=True)
class News:
    """A plugin is not asked by this hook for now, because of ``why``; empty: it is asked again."""

    plugin: str
    hook: str
    why: str


class Asking:
    """Asks plugins without ever letting them hold the reactor, or one hold the others.

    ``note`` is told, on the reactor, when one is given up for a while, and when it is asked again.
    """

    def __init__(self, plugins: Plugins, reactor: Any, note: Callable[[News], None] = lambda _: None) -> None:
        self._desks: dict[str, Desk] = {}
        self._questions: dict[tuple[str, bool], list[Question]] = {}  # by hook, and by ``followed``
        for hook in ASKED:
            for one in plugins.implementing(hook):
                desk = self._desks.setdefault(one.plugin_name, Desk(one.plugin_name, reactor))
                question = Question(hook, one, plugins, desk, note)
                self._questions.setdefault((hook, True), []).append(question)
                if hook != "on_accept" or one.plugin_name not in plugins.choosing:
                    self._questions.setdefault((hook, False), []).append(question)

    def start(self) -> None:
        """Start the threads (none as long as nothing is asked)."""
        for desk in self._desks.values():
            desk.threads.start()

    def stop(self) -> None:
        """End the threads that are free; one that hangs is left behind as a daemon. Blocks, a second at most."""
        ending = threading.Thread(target=self._stop_all, daemon=True)
        ending.start()
        ending.join(1.0)

    def _stop_all(self) -> None:
        stops = [threading.Thread(target=desk.threads.stop, daemon=True) for desk in self._desks.values()]
        for stop in stops:
            stop.start()
        for stop in stops:
            stop.join()

    def has(self, hook: str, followed: bool = True) -> bool:
        """Whether any plugin is to be asked; ``followed``: about a connection that one which chooses follows."""
        return (hook, followed) in self._questions

    async def ask(self, hook: str, message: Message, followed: bool = True) -> Added:
        """What the plugins add, one asked after the other; raises Refused with a plugin's reply, or 451.

        ``followed`` as for ``has``.
        """
        fields, reference = b"", ""
        for question in self._questions.get((hook, followed), ()):
            more = await question.ask(message)
            fields += more.fields
            reference = reference or more.reference
        return Added(fields, reference)


class Question:
    """One hook of one plugin; its breaker knows whether it is worth waiting for an answer."""

    def __init__(
        self,
        hook: str,
        implementation: pluggy.HookImpl,
        plugins: Plugins,
        desk: Desk,
        note: Callable[[News], None],
    ) -> None:
        self._hook = hook
        self._implementation = implementation
        self._name = implementation.plugin_name
        self._plugins = plugins
        self._own = plugins.own(self._name)
        self._desk = desk
        self._note = note
        self._breaker = Breaker()

    async def ask(self, message: Message) -> Added:
        """What the plugin adds; raises Refused with its reply. Without an answer its policy decides."""
        if not self._breaker.open:
            answer = await self._answer(message)
        else:
            answer = Failed("not asked")
            if self._breaker.probe(self._desk.seconds()):
                ensureDeferred(self._answer(message))  # which nobody waits for
        if isinstance(answer, Refused):
            raise answer
        if isinstance(answer, Added):
            return answer
        if self._own.policy == "open":
            return Added()
        raise Refused(TEMPORARY)

    async def _answer(self, message: Message) -> Added | Refused | Failed:
        """The plugin's answer, or none; both is noted. Raises nothing."""
        answer: Added | Refused | Failed
        try:
            answer = await self._desk.call(partial(self._call, message), self._own.time_limit)
        except DeferredTimeout:
            answer = Failed("no answer in time")
            log.error("plugin %s did not answer %s in time", self._name, self._hook)
        if not isinstance(answer, Failed):
            if self._breaker.succeeded():
                log.warning("plugin %s is asked %s again", self._name, self._hook)
                self._note(News(self._name, self._hook, ""))
        elif self._breaker.failed(self._desk.seconds()):
            log.error("plugin %s is not asked %s for now, it fails: %s", self._name, self._hook, answer.why)
            self._note(News(self._name, self._hook, answer.why))
        return answer

    def _call(self, message: Message) -> Added | Refused | Failed:
        """In a thread of the plugin's; here also, since what it gives may have code of its own, that is looked at."""
        try:
            return encode_fields(self._plugins.call(self._implementation, {"message": message}), self._hook)
        except Refused as refused:
            if (reply := _refusal(refused.reply)) is not None:
                return Refused(reply)
            log.error("plugin %s refused in %s with what is no refusal", self._name, self._hook)
            return Failed("it refused with what is no refusal")
        except BaseException as error:  # also sys.exit()
            log.error("%s failed in plugin %s", self._hook, self._name, exc_info=error)
            return Failed(said(error))


class Desk:
    """The threads in which one plugin is asked; if they hang, those of others do not."""

    def __init__(self, name: str, reactor: Any) -> None:
        self._reactor = reactor
        self.threads = DaemonPool(0, THREADS, name)
        self._answering: dict[object, float] = {}  # until when the answer of each thread at work is waited for

    def seconds(self) -> float:
        """The reactor's time."""
        seconds: float = self._reactor.seconds()
        return seconds

    def call(self, function: Callable[[], Any], limit: float) -> Deferred[Any]:
        """What it gives in a thread; TimeoutError after ``limit`` seconds, or at once while all threads hang."""
        now = self.seconds()
        answering = tuple(self._answering.values())
        if len(answering) == THREADS and max(answering) <= now:
            return fail(DeferredTimeout())
        d: Deferred[Any] = deferToThreadPool(self._reactor, self.threads, self._run, function, now + limit)
        return d.addTimeout(limit, self._reactor)

    def _run(self, function: Callable[[], Any], until: float) -> Any:
        """In a thread; a question that waited behind hanging ones until nobody wants the answer is dropped."""
        if self.seconds() >= until:
            raise DeferredTimeout
        this = object()
        self._answering[this] = until
        try:
            return function()
        finally:
            del self._answering[this]


class DaemonThread(threading.Thread):
    """A thread that does not keep the process from ending."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, daemon=True, **kwargs)


class DaemonPool(ThreadPool):
    """A thread pool of such threads."""

    threadFactory = DaemonThread


def _refusal(reply: Reply) -> Reply | None:
    """The reply of a plugin, of our own making and fit to be said; None when it says yes, or is no reply at all."""
    try:
        code, status, text = int(reply.code), str(reply.status), str(reply.text)
    except Exception:
        return None
    if not 400 <= code < 600:
        return None
    fits = _STATUS.fullmatch(status) and status[0] == str(code)[0]
    return Reply(code, status if fits else "", "".join([c if c.isprintable() or c == "\n" else " " for c in text]))


def is_owned(name: str) -> bool:
    """Whether a header field (its name in lower case) is not a plugin's to add."""
    return name in OWNED or (name.startswith(OWNED_PREFIXES) and name != REFERENCE)


def encode_fields(fields: Sequence[HeaderField] | None, hook: str = "on_accept") -> Added:
    """Header fields as octets; ValueError for what would break out of its line (RFC 5322, 2.2) or is the relay's.

    A reference can only be given while the message is accepted.
    """
    lines, reference, size = [], "", 0
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
        size += len(name) + len(value)
        if size > MAX_ADDED:
            raise ValueError(f"more than {MAX_ADDED} octets of header fields")
    return Added("".join(lines).encode("ascii"), reference)
