"""Opens a session with the first host of a route that takes one; in clear where its TLS is known to be broken."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from twisted.internet.protocol import ClientFactory
from twisted.python.failure import Failure

from postmeter.delivery.attempt import Facts
from postmeter.delivery.client_tls import TlsSessions
from postmeter.delivery.complaint import Said
from postmeter.delivery.outcome import Classify
from postmeter.delivery.route import Host, Route
from postmeter.delivery.sender import SESSION_LIFE, Sender
from postmeter.delivery.tls_policy import Flaw
from postmeter.message.bounce import classify
from postmeter.smtp.mail import Stage
from postmeter.smtp.reply import Reply
from postmeter.smtp.sending import NO_TLS, Closed, SendingSession, Sent, TlsMode
from postmeter.smtp.transcript import Line
from postmeter.source import Source, is_here
from postmeter.store.tls_memory import Broken

CONNECT_TIMEOUT = 30.0
BROKEN_TLS_LIFE = 259_200.0  # seconds: three days
LOST_TLS_LIFE = 1_800.0  # the same where the link was lost in the handshake: that may be over soon
MAX_BROKEN = 10_000
BROKEN = "the TLS handshake has failed"


@dataclass(frozen=True, slots=True)
class NoSession:
    """No host of the route took a session: what the first of them said, or why it could not be reached.

    ``lines``: what was tried with all of them.
    """

    reply: Reply
    stage: Stage
    facts: Facts
    lines: tuple[Line, ...] = ()


class BrokenTls:
    """Hosts with which TLS cannot be agreed on, remembered for three days by name and address.

    Not by address alone: whoever gives a server a name that it does not know (SNI) would make it look broken.
    ``known`` is what was found before; ``keep`` is told of a new one. ``clock`` gives seconds since the epoch.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        known: Iterable[Broken] = (),
        keep: Callable[[Broken], None] = lambda _: None,
    ) -> None:
        self._clock = clock
        self._keep = keep
        self._until = {(one.name, one.address, one.port): one.until for one in known}

    def add(self, host: Host) -> None:
        """The handshake with this host has failed by an error of TLS."""
        until = self._remember(host, BROKEN_TLS_LIFE)
        self._keep(Broken(host.name, host.address, host.port, until))

    def add_lost(self, host: Host) -> None:
        """The link to this host was lost in the handshake, and in clear it takes a session: believed for a while."""
        self._remember(host, LOST_TLS_LIFE)

    def _remember(self, host: Host, seconds: float) -> float:
        key = (host.name, host.address, host.port)
        until = max(self._until.pop(key, 0.0), self._clock() + seconds)
        if len(self._until) >= MAX_BROKEN:
            del self._until[next(iter(self._until))]
        self._until[key] = until
        return until

    def __contains__(self, host: Host) -> bool:
        return self._until.get((host.name, host.address, host.port), 0.0) > self._clock()


# Told of each session of a route with a host: what was wrong with its TLS (None: nothing), and our address there.
NoteTls = Callable[[Route, Host, Flaw | None, str], None]


def note_nothing(route: Route, host: Host, flaw: Flaw | None, source: str) -> None:
    """Nobody wants to know."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every session needs: the reactor, the name that EHLO says, what is known of TLS, and who counts it.

    With a ``source`` it leaves from there, and EHLO says its name. ``classify`` tells what refusals mean.
    """

    reactor: Any
    hostname: str
    tls_sessions: TlsSessions
    broken_tls: BrokenTls
    note_tls: NoteTls = note_nothing
    source: Source | None = None
    classify: Classify = classify

    def within_reach(self, hosts: tuple[Host, ...]) -> tuple[Host, ...]:
        """The hosts for which there is an address to leave from; all when there is none, so that the system chooses."""
        return tuple(host for host in hosts if self.address(host)) or hosts

    def address(self, host: Host) -> str:
        """Where a session with a host leaves from; empty: the system chooses."""
        return self.source.towards(host.address) if self.source is not None else ""

    def name(self, host: Host) -> str:
        """What EHLO says to a host."""
        return self.source.name if self.source is not None and self.address(host) else self.hostname


class Opening(ClientFactory):
    """Tries the hosts one after the other; calls ``opened`` with a ready sender, or ``failed``, once.

    With all of them together it takes no longer than a session. ``said`` has what became of each that took none.
    """

    noisy = False

    def __init__(
        self,
        surroundings: Surroundings,
        route: Route,
        opened: Callable[[Opening, Sender], None],
        failed: Callable[[Opening, NoSession], None],
    ) -> None:
        self._surroundings = surroundings
        self._route = route
        hosts = surroundings.within_reach(route.hosts)
        self._hosts: Iterator[Host] = iter(hosts)
        self._host = hosts[0]
        self._policy = route.policy(self._host)
        self._opened = opened
        self._failed = failed
        self.said: list[Said] = []
        self._failure: NoSession | None = None
        self._lines: list[Line] = []
        self._connector: Any = None
        self._sender: Sender | None = None  # from the connection on
        self._without_tls = False  # with this host, where the link was lost in the handshake
        self._end: float = surroundings.reactor.seconds() + SESSION_LIFE
        self._aborted = False

    def start(self) -> None:
        """Try the next host."""
        host = None if self._over else next(self._hosts, None)
        if host is None:
            assert self._failure is not None
            self._failed(self, replace(self._failure, lines=tuple(self._lines)))
            return
        self._host, self._policy, self._without_tls = host, self._route.policy(host), False
        barred = self._policy.barred if self._policy.strict else None
        if barred is None:
            self._connect()
            return
        self._say(barred.text)
        self._surroundings.note_tls(self._route, host, barred, "")
        self._note(barred.reply, "starttls", Facts.of(host, self._policy))
        self.start()

    def abort(self) -> None:
        """Give up; ``failed`` is called."""
        self._aborted = True
        if self._sender is not None:
            self._sender.abort()
        elif self._connector is not None:
            self._connector.stopConnecting()

    def buildProtocol(self, addr: Any) -> Sender:
        around = self._surroundings
        name = around.name(self._host)
        in_clear = self._may_be_clear and (self._without_tls or self._host in around.broken_tls)
        mode: TlsMode = "none" if in_clear else "opportunistic" if self._may_be_clear else "required"
        machine = SendingSession(name, mode, around.reactor.seconds)
        tls = around.tls_sessions.client(self._host, self._policy)
        sender = self._sender = Sender(machine, self._host, self, around.reactor, tls, self._left)
        sender.facts = replace(sender.facts, in_clear=BROKEN if in_clear else "", ehlo=name)
        return sender

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        self._not_connected(reason.getErrorMessage())

    def session_ready(self, sender: Sender) -> None:
        """See ``Owner``."""
        sender.opening = (*self._lines, *sender.machine.opening)
        self._count(sender, sender.flaw if sender.facts.tls else _in_clear(sender))
        if self._without_tls:
            self._surroundings.broken_tls.add_lost(self._host)
        self._opened(self, sender)

    def mail_sent(self, sender: Sender, sent: Sent) -> None:
        """Never comes: no mail is sent before the session is handed over."""

    def session_closed(self, sender: Sender, closed: Closed) -> None:
        """See ``Owner``."""
        self._lines += sender.machine.opening
        if not (self._lines and self._lines[-1].what is closed.reply):
            self._say(closed.reply.text)
        if (sender.handshake_failed or sender.handshake_lost) and self._may_be_clear and not self._over:
            if sender.handshake_failed:
                self._surroundings.broken_tls.add(self._host)
            self._without_tls = sender.handshake_lost
            self._connect()
            return
        if (flaw := _why_closed(sender, closed)) is not None:
            self._count(sender, flaw)
        self._note(closed.reply, closed.stage, sender.facts)
        self.start()

    def session_gone(self, sender: Sender) -> None:
        """See ``Owner``; the next host is being tried already."""

    @property
    def _left(self) -> float:
        """Seconds for all the hosts that are left."""
        left: float = self._end - self._surroundings.reactor.seconds()
        return max(0.0, left)

    @property
    def _over(self) -> bool:
        """No further host is tried, nor this one in clear."""
        return self._aborted or not self._left

    @property
    def _may_be_clear(self) -> bool:
        return self._policy.level == "opportunistic"

    def _count(self, sender: Sender, flaw: Flaw | None) -> None:
        self._surroundings.note_tls(self._route, self._host, flaw, sender.facts.local)

    def _connect(self) -> None:
        self._sender = self._connector = None
        host, connect = self._host, self._surroundings.reactor.connectTCP
        ours = self._surroundings.address(host)
        leaving = f" from {ours}" if ours else ""
        self._say(f"connect{leaving} to {host.name}, address {host.address}, port {host.port}")
        if ours and not is_here(ours):  # gone since the last look
            self._surroundings.reactor.callLater(0, self._not_connected, f"this machine has no address {ours}")
            return
        bind = (ours, 0) if ours else None
        self._connector = connect(host.address, host.port, self, timeout=CONNECT_TIMEOUT, bindAddress=bind)

    def _not_connected(self, why: str) -> None:
        reply = Reply(451, "4.4.1", f"No connection: {why}")
        self._say(reply.text)
        self._note(reply, "connect", Facts.of(self._host, self._policy))
        self.start()

    def _say(self, step: str) -> None:
        """What is done, or why it failed, between what is said."""
        self._lines.append(Line(self._surroundings.reactor.seconds(), "C", f"({step})"))

    def _note(self, reply: Reply, stage: Stage, facts: Facts) -> None:
        self.said.append(Said(reply, stage, facts.name))
        if self._failure is None:
            self._failure = NoSession(reply, stage, facts)


def _in_clear(sender: Sender) -> Flaw:
    why = sender.facts.in_clear
    return Flaw("validation-failure" if why == BROKEN else "starttls-not-supported", why)


def _why_closed(sender: Sender, closed: Closed) -> Flaw | None:
    """What was wrong with TLS, if the session came to its end by that."""
    if sender.flaw is not None:
        return sender.flaw
    if sender.handshake_failed:
        return Flaw("validation-failure", closed.reply.text)
    lines = sender.machine.opening
    refused = closed.stage == "starttls" and bool(lines) and lines[-1].what is closed.reply
    return Flaw("starttls-not-supported", closed.reply.text) if refused or closed.reply is NO_TLS else None
