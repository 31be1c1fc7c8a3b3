"""The demo's recipient side: a mail server that takes mail for every domain, refuses some recipients and greylists."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.ssl import DefaultOpenSSLContextFactory
from twisted.protocols.policies import TimeoutMixin
from twisted.python.failure import Failure

from postmeter.certificate_files import Source
from postmeter.smtp.content import ContentReader
from postmeter.smtp.incoming import IncomingTransaction, parse_mail
from postmeter.smtp.limits import DEFAULT_LIMITS
from postmeter.smtp.lines import Hopeless, LineReader
from postmeter.smtp.replies import (
    BAD_ARGUMENT,
    CANNOT_VERIFY,
    CLOSING,
    EHLO_FIRST,
    MAIL_FIRST,
    NESTED_MAIL,
    NO_VALID_RECIPIENTS,
    OK,
    READY_FOR_TLS,
    RECIPIENT_OK,
    SENDER_OK,
    START_CONTENT,
    TIMED_OUT,
    UNKNOWN_COMMAND,
    greeting,
)
from postmeter.smtp.reply import Refused, Reply

HOSTNAME = "mx.demo.example"
KEPT = 50  # mails that are kept
IDLE = 300  # seconds; RFC 5321, 4.5.3.2.7
MOST_RECIPIENTS = 100_000  # greylisted recipients that are remembered

OFFERS = (f"SIZE {DEFAULT_LIMITS.max_message_size}", "8BITMIME", "SMTPUTF8", "PIPELINING", "ENHANCEDSTATUSCODES")

NO_SUCH_USER = Reply(550, "5.1.1", "No such user")
GREYLISTED = Reply(450, "4.7.1", "Greylisted, come back later")
REFUSED = ("nobody", "unknown")  # local parts that begin like this are refused for good
DELAYED = "greylisted"  # and those that begin like this at the first time


@dataclass(frozen=True, slots=True)
class Received:
    """A mail as it came: what MAIL and RCPT said, the content, and whether the session was encrypted."""

    reverse_path: str
    recipients: tuple[str, ...]
    content: bytes
    tls: bool


def server_side_tls(source: Source) -> DefaultOpenSSLContextFactory:
    """What STARTTLS needs of a certificate."""
    return DefaultOpenSSLContextFactory(str(source.key), str(source.certificate))  # type: ignore[no-untyped-call]


class RecipientSide(Factory):
    """``count`` mails were taken, the latest of them are in ``last``; STARTTLS is offered when there is ``tls``."""

    noisy = False

    def __init__(self, tls: Any = None) -> None:
        self.tls = tls
        self.count = 0
        self.last: deque[Received] = deque(maxlen=KEPT)
        self._seen: set[str] = set()

    def listen(self, reactor: Any) -> Any:
        """Listen on the loopback, on a port that is free; the listening port."""
        return reactor.listenTCP(0, self, interface="127.0.0.1", backlog=200)

    def buildProtocol(self, addr: object) -> RecipientSession:
        """One client."""
        return RecipientSession(self)

    def verdict(self, forward_path: str) -> Reply:
        """What RCPT is answered for this recipient now."""
        local = forward_path.lower()
        if local.startswith(REFUSED):
            return NO_SUCH_USER
        if local.startswith(DELAYED) and local not in self._seen and len(self._seen) < MOST_RECIPIENTS:
            self._seen.add(local)
            return GREYLISTED
        return RECIPIENT_OK

    def take(self, received: Received) -> Reply:
        """Keep a mail."""
        self.count += 1
        self.last.append(received)
        return Reply(250, "2.0.0", f"Ok: taken as {self.count}")


class RecipientSession(Protocol, TimeoutMixin):
    """One client of the recipient side (RFC 5321; RFC 3207 for STARTTLS)."""

    transport: Any

    def __init__(self, side: RecipientSide) -> None:
        self._side = side
        self._lines = LineReader()
        self._secure = self._greeted = self._in_mail = self._closing = False
        self._transaction = IncomingTransaction(DEFAULT_LIMITS)
        self._content: ContentReader | None = None
        self._blocks: list[bytes] = []

    def connectionMade(self) -> None:
        """Greet."""
        self.transport.setTcpNoDelay(True)
        self.setTimeout(IDLE)  # type: ignore[no-untyped-call]
        self._say(greeting(HOSTNAME))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The client is gone."""
        self.setTimeout(None)  # type: ignore[no-untyped-call]

    def timeoutConnection(self) -> None:
        """The client has been silent for too long."""
        self._say(TIMED_OUT)
        self._close()

    def dataReceived(self, data: bytes) -> None:
        """Do what came, in its order."""
        self.resetTimeout()  # type: ignore[no-untyped-call]
        self._lines.buffer += data
        while not self._closing and (self._read_line() if self._content is None else self._read_content(self._content)):
            pass

    def _read_line(self) -> bool:
        """Answer one command, if there is a whole one."""
        try:
            line = self._lines.take()
            if line is None:
                return False
            verb, _, argument = line.decode("utf-8", "surrogateescape").partition(" ")
            command = _COMMANDS.get(verb.upper())
            reply = command(self, argument.strip()) if command else UNKNOWN_COMMAND
        except Refused as refused:
            reply, self._closing = refused.reply, isinstance(refused, Hopeless)
        self._say(reply)
        if reply is READY_FOR_TLS:
            self._start_tls()
        if reply is CLOSING or self._closing:
            self._close()
        return True

    def _read_content(self, reader: ContentReader) -> bool:
        """Read on behind DATA, and answer the end (RFC 5321, 4.1.1.4)."""
        received = bytes(self._lines.buffer)
        self._lines.clear()
        self._blocks.append(reader.feed(received))
        if not reader.ended:
            return False
        self._lines.buffer += reader.rest
        envelope = self._transaction.envelope()
        paths = tuple(recipient.forward_path for recipient in envelope.recipients)
        mail = Received(envelope.reverse_path, paths, b"".join(self._blocks), self._secure)
        self._say(reader.flaw or self._side.take(mail))
        self._forget_mail()
        return True

    def _say(self, reply: Reply) -> None:
        self.transport.write(reply.encode())

    def _close(self) -> None:
        self._closing = True
        self.transport.loseConnection()

    def _forget_mail(self) -> None:
        self._in_mail, self._content = False, None
        self._blocks.clear()
        self._transaction.clear()

    def _start_tls(self) -> None:
        self._lines.clear()  # RFC 3207, 4.2: forget all that came in clear text
        self._secure, self._greeted = True, False
        self._forget_mail()
        self.transport.startTLS(self._side.tls)

    # The commands

    def _ehlo(self, argument: str) -> Reply:
        self._greeted = True
        self._forget_mail()
        starttls = ["STARTTLS"] if self._side.tls and not self._secure else []
        return Reply(250, "", "\n".join([HOSTNAME, *OFFERS, *starttls]))

    def _helo(self, argument: str) -> Reply:
        self._greeted = True
        self._forget_mail()
        return Reply(250, "", HOSTNAME)

    def _starttls(self, argument: str) -> Reply:
        if argument:
            return BAD_ARGUMENT
        return READY_FOR_TLS if self._side.tls and not self._secure else UNKNOWN_COMMAND

    def _mail(self, argument: str) -> Reply:
        if not self._greeted:
            return EHLO_FIRST
        if self._in_mail:
            return NESTED_MAIL
        self._transaction.begin(parse_mail(argument, DEFAULT_LIMITS))
        self._in_mail = True
        return SENDER_OK

    def _rcpt(self, argument: str) -> Reply:
        if not self._in_mail:
            return MAIL_FIRST
        recipient = self._transaction.parse_rcpt(argument).recipient
        reply = self._side.verdict(recipient.forward_path)
        if reply.positive:
            self._transaction.recipients.append(recipient)
        return reply

    def _data(self, argument: str) -> Reply:
        if not self._in_mail:
            return MAIL_FIRST
        if not self._transaction.recipients:
            return NO_VALID_RECIPIENTS
        self._content = ContentReader(DEFAULT_LIMITS.max_message_size)
        return START_CONTENT

    def _rset(self, argument: str) -> Reply:
        self._forget_mail()
        return OK

    def _noop(self, argument: str) -> Reply:
        return OK

    def _vrfy(self, argument: str) -> Reply:
        return CANNOT_VERIFY

    def _quit(self, argument: str) -> Reply:
        return CLOSING


_COMMANDS: Mapping[str, Callable[[RecipientSession, str], Reply]] = {
    "EHLO": RecipientSession._ehlo,
    "HELO": RecipientSession._helo,
    "STARTTLS": RecipientSession._starttls,
    "MAIL": RecipientSession._mail,
    "RCPT": RecipientSession._rcpt,
    "DATA": RecipientSession._data,
    "RSET": RecipientSession._rset,
    "NOOP": RecipientSession._noop,
    "VRFY": RecipientSession._vrfy,
    "QUIT": RecipientSession._quit,
}
