"""The transport around a sending machine: writes with back-pressure, TLS when the machine asks for it, deadlines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

from OpenSSL import SSL
from twisted.internet.interfaces import IHandshakeListener, IPushProducer
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from postmeter.delivery.attempt import Facts
from postmeter.delivery.client_tls import ClientTls
from postmeter.delivery.route import Host
from postmeter.delivery.tls_policy import Flaw
from postmeter.smtp.mail import Mail, Stage, limit
from postmeter.smtp.reply import Reply
from postmeter.smtp.sending import CONNECTION_LOST, Closed, Event, Ready, SendingSession, Sent
from postmeter.smtp.transcript import Line

PATIENCE: dict[Stage, float] = {  # seconds; RFC 5321, 4.5.3.2
    "banner": 300.0,
    "ehlo": 300.0,
    "starttls": 300.0,
    "mail": 300.0,
    "rcpt": 300.0,
    "data": 120.0,
    "content": 180.0,  # for each piece
}
DOT_PATIENCE = 600.0  # RFC 5321, 4.5.3.2.6; less makes second copies
MIN_DATA_RATE = 500  # octets of content per second that a server has to take, on the average,
FREE_OF_RATE = 60.0  # seconds after which that counts
GOODBYE_PATIENCE = 10.0
SESSION_LIFE = 1800.0  # a session in all, however slowly it goes on; only the reply to a final dot may come later
ANY = 1 << 30  # mails


class Owner(Protocol):
    """Who is told what a sender goes through."""

    def session_ready(self, sender: Sender) -> None:
        """The session takes its first mail."""

    def mail_sent(self, sender: Sender, sent: Sent) -> None:
        """The mail is dealt with; ``sender.ready`` tells whether the session takes the next, at once."""

    def session_closed(self, sender: Sender, closed: Closed) -> None:
        """The session is over; comes exactly once."""

    def session_gone(self, sender: Sender) -> None:
        """Its connection is, too."""


class Deadline:
    """One timer for all phases of a session: setting it later costs no more than remembering when."""

    def __init__(self, clock: Any, expired: Callable[[], None], life: float) -> None:
        self._clock = clock
        self._expired = expired
        self._end = clock.seconds() + life
        self._at = self._fires = self._end
        self._call: Any = clock.callLater(life, self._look)
        self._stopped = False

    def set(self, seconds: float) -> None:
        """Expire in so many seconds, if the life does not end before."""
        self._expire_at(min(self._clock.seconds() + seconds, self._end))

    def outlive(self, seconds: float) -> None:
        """The same, even if the life ends before."""
        self._expire_at(self._clock.seconds() + seconds)

    def end_life(self, seconds: float) -> None:
        """Expire in so many seconds, whatever was said before."""
        self._end = self._clock.seconds() + seconds
        self.set(seconds)

    def stop(self) -> None:
        """Never expire, whatever is set from now on."""
        self._stopped = True
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _expire_at(self, at: float) -> None:
        self._at = at
        if self._call is None:  # it has expired: who says leave then has some seconds for it
            self._start()
        elif at < self._fires:
            self._fires = at
            self._call.reset(max(0.0, at - self._clock.seconds()))

    def _start(self) -> None:
        if not self._stopped:
            self._fires = self._at
            self._call = self._clock.callLater(max(0.0, self._at - self._clock.seconds()), self._look)

    def _look(self) -> None:
        self._call = None
        if self._at > self._clock.seconds():
            self._start()
        else:
            self._expired()


@implementer(IHandshakeListener, IPushProducer)
class Sender(TwistedProtocol):
    """One session with ``host``; after ``idle`` seconds without a mail it takes leave.

    It is given up if it is not ready within ``to_be_ready`` seconds.
    """

    def __init__(
        self,
        machine: SendingSession,
        host: Host,
        owner: Owner,
        clock: Any,
        tls: ClientTls,
        to_be_ready: float = SESSION_LIFE,
    ) -> None:
        self.machine = machine
        self.host = host
        self.owner = owner
        self.facts = Facts.of(host, tls.policy)
        self.opening: tuple[Line, ...] = ()  # what came before the first mail, with earlier hosts as well
        self.idle = 30.0
        self.mails = 0  # sent in this session, in which the server takes so many at most:
        self.most_mails = ANY
        self.opened: float = clock.seconds()
        self.handshake_failed = False  # by an error of TLS itself;
        self.handshake_lost = False  # with the link, or by silence, for which there may be other reasons than TLS
        self.flaw: Flaw | None = None  # of its TLS, by the policy of the mail server
        self._clock = clock
        self._tls = tls
        self._to_be_ready = to_be_ready
        self._link: Any = None
        self._pumping = self._producing = self._paused = False
        self._progress = -1
        self._content_began: float = 0.0
        self._octets = 0  # of it that were written

    @property
    def ready(self) -> bool:
        """The session takes a mail now."""
        return self.machine.state == "ready"

    def send(self, mail: Mail) -> None:
        """Send a mail; ``Owner.mail_sent`` follows."""
        self.machine.send(mail)
        self.mails += 1
        self._pump()

    def quit(self) -> None:
        """Take leave of the server."""
        self.machine.quit()
        self._pump()

    def abort(self, reply: Reply = CONNECTION_LOST) -> None:
        """Give the session up at once."""
        self.machine.lost(reply)
        self._pump()
        self._link.abortConnection()

    def connectionMade(self) -> None:
        self._link = self.transport
        self._link.setTcpNoDelay(True)
        self.facts = replace(self.facts, local=self._link.getHost().host)
        self._deadline = Deadline(self._clock, self._expired, self._to_be_ready)
        self._pump()

    def dataReceived(self, data: bytes) -> None:
        self.machine.receive(data)
        self._pump()

    def handshakeCompleted(self) -> None:
        tls, policy = self._tls.facts(), self._tls.policy
        self.flaw = policy.flaw(tls)
        self.facts = replace(self.facts, tls=tls, flaw=self.flaw.text if self.flaw else "")
        if self.flaw is not None and policy.strict:
            self.abort(self.flaw.reply)
        else:
            self.machine.secured()
            self._pump()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._deadline.stop()
        self.machine.lost(self._why_lost(reason))
        self._pump()
        self.owner.session_gone(self)

    def resumeProducing(self) -> None:
        """The transport has room: give it content until it has had enough."""
        self._paused = False
        while not self._paused and self.machine.writing:
            piece = self.machine.outgoing()
            self._octets += len(piece)
            self._link.write(piece)
        self._renew_deadline()
        if not self.machine.writing:
            self._stop_producing()

    def pauseProducing(self) -> None:
        self._paused = True

    def stopProducing(self) -> None:
        self._paused = True

    def _pump(self) -> None:
        if self._pumping:
            return  # the owner acts from within an event: the outer round goes on with it
        self._pumping = True
        try:
            while (event := self.machine.poll()) is not None:
                self._tell(event)
        finally:
            self._pumping = False
        self._write()
        self._renew_deadline()

    def _tell(self, event: Event) -> None:
        if isinstance(event, Sent):
            self.owner.mail_sent(self, event)
        elif isinstance(event, Ready):
            in_clear = self.facts.in_clear or self.machine.in_clear
            dsn = "DSN" in self.machine.extensions
            self.facts = replace(self.facts, hello=self.machine.peer, in_clear=in_clear, dsn=dsn)
            self.most_mails = limit(self.machine.extensions, "MAILMAX", ANY)
            self._tls.keep()
            self._deadline.end_life(self.opened + SESSION_LIFE - self._clock.seconds())
            self.owner.session_ready(self)
        elif isinstance(event, Closed):
            self._close()
            self.owner.session_closed(self, event)
        else:
            self._link.startTLS(self._tls)

    def _write(self) -> None:
        if self._producing:
            return
        if data := self.machine.outgoing():
            self._link.write(data)
        if self.machine.writing:
            self._producing = True
            self._content_began, self._octets = self._clock.seconds(), len(data)
            self._link.registerProducer(self, True)
            self.resumeProducing()

    def _stop_producing(self) -> None:
        if self._producing:
            self._producing = False
            self._link.unregisterProducer()

    def _close(self) -> None:
        unfinished = self._producing
        self._stop_producing()
        if unfinished:
            self._link.abortConnection()
        else:
            self._link.loseConnection()
        self._deadline.end_life(GOODBYE_PATIENCE)

    def _renew_deadline(self) -> None:
        machine = self.machine
        if machine.progress == self._progress:
            return
        self._progress = machine.progress
        if machine.state == "ready":
            self._deadline.set(self.idle)
        elif machine.state == "quit":
            self._deadline.end_life(GOODBYE_PATIENCE)
        elif machine.dot_sent:
            self._deadline.outlive(DOT_PATIENCE)
        elif machine.state != "closed":
            self._deadline.set(self._patience())

    def _patience(self) -> float:
        """Seconds for the next step."""
        patience = PATIENCE[self.machine.stage]
        if not self._producing:
            return patience
        allowed = self._content_began + FREE_OF_RATE + self._octets / MIN_DATA_RATE
        left: float = allowed - self._clock.seconds()
        return min(patience, max(0.0, left))

    def _expired(self) -> None:
        if self.ready:
            self.quit()
            return
        self.handshake_lost = self._in_handshake
        self.abort(Reply(451, "4.4.2", f"No answer in time ({self.machine.stage})"))

    @property
    def _in_handshake(self) -> bool:
        return self.machine.state == "handshake"

    def _why_lost(self, reason: Failure) -> Reply:
        if not self._in_handshake:
            return CONNECTION_LOST
        if isinstance(reason.value, SSL.Error):
            self.handshake_failed = True
            return Reply(451, "4.7.5", f"TLS handshake failed: {reason.value}"[:500])
        self.handshake_lost = True
        return CONNECTION_LOST
