"""A scriptable mail server on a real loopback socket: says at each stage what a test wants, and keeps what it got."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.protocol import Protocol, ServerFactory
from twisted.internet.ssl import CertificateOptions, PrivateCertificate

END = b"\r\n.\r\n"


@dataclass(frozen=True)
class Drop:
    """Close the connection instead of a reply; after ``say``."""

    say: bytes = b""


@dataclass(frozen=True)
class Silence:
    """Never answer."""


@dataclass(frozen=True)
class Later:
    """Answer after so many seconds."""

    seconds: float
    say: bytes


@dataclass(frozen=True)
class Endless:
    """Say this again and again until the client goes."""

    say: bytes


Action = bytes | Drop | Silence | Later | Endless
Line = Action | list[Action] | Callable[["Session", bytes], Action]

USUAL: dict[str, Line] = {
    "banner": b"220 mx.test ESMTP\r\n",
    "HELO": b"250 mx.test\r\n",
    "STARTTLS": b"220 2.0.0 Go ahead\r\n",
    "MAIL": b"250 2.1.0 Ok\r\n",
    "RCPT": b"250 2.1.5 Ok\r\n",
    "DATA": b"354 Go ahead\r\n",
    ".": b"250 2.0.0 Ok: queued\r\n",
    "RSET": b"250 2.0.0 Ok\r\n",
    "QUIT": b"221 2.0.0 Bye\r\n",
}


@dataclass
class Received:
    """A mail as it came: the MAIL and RCPT lines' arguments, the content with its dots unstuffed."""

    session: int
    mail: bytes
    recipients: list[bytes] = field(default_factory=list)
    content: bytes = b""
    tls: bool = False


class MailServer(ServerFactory):
    """``script`` replaces replies by stage (``banner``, a verb, ``.`` for the final dot).

    A list is used up one by one, its last element again and again; a function gets the session and the line.
    ``starttls``: ``good``, ``bad`` (nonsense instead of a handshake), ``lost`` (the connection ends in it), ``silent``
    or ``inject`` (a reply behind the 220); ``certificate`` is the server's end of TLS. ``pipelining`` is what becomes
    of commands that come together: ``good``, ``first`` (all but the first are lost) or ``mute`` (all are followed, the
    first one is answered). ``early`` is said as soon as ``early_after`` octets of content have come. ``accepted`` holds
    the mails that got 2xx, ``commands`` every line of all sessions.
    """

    noisy = False

    def __init__(
        self,
        *,
        extensions: tuple[str, ...] = ("PIPELINING", "SIZE 31457280", "8BITMIME", "DSN", "SMTPUTF8"),
        script: dict[str, Line] | None = None,
        starttls: str = "",
        certificate: Any = None,
        pipelining: str = "good",
        early: bytes = b"",
        early_after: int = 0,
    ) -> None:
        self.script: dict[str, Line] = {**USUAL, **(script or {})}
        self.extensions = extensions
        self.starttls = starttls
        self.certificate = certificate
        self.pipelining = pipelining
        self.early = early
        self.early_after = early_after
        self.accepted: list[Received] = []
        self.started: list[Received] = []
        self.commands: list[bytes] = []
        self.sessions: list[Session] = []
        self.open = 0
        self.most_open = 0
        self._gone: Deferred[None] | None = None
        self._listening: Any = None

    def listen(self, reactor: Any, interface: str = "127.0.0.1", port: int = 0) -> MailServer:
        """Open for business; ``port`` says where."""
        self.reactor = reactor
        self._listening = reactor.listenTCP(port, self, interface=interface, backlog=200)
        self.port: int = self._listening.getHost().port
        return self

    async def stop(self) -> None:
        """Close the port and every session."""
        await maybeDeferred(self._listening.stopListening)
        for session in self.sessions:
            if session.alive:
                session.transport.abortConnection()
        if self.open:
            self._gone = Deferred()
            await self._gone

    def buildProtocol(self, addr: Any) -> Session:
        session = Session(self, len(self.sessions))
        self.sessions.append(session)
        return session

    def action(self, stage: str, session: Session, line: bytes) -> Action:
        """What the script says for this stage now."""
        action = self.script.get(stage, b"500 5.5.1 What?\r\n")
        if callable(action):
            return action(session, line)
        if isinstance(action, list):
            return action.pop(0) if len(action) > 1 else action[0]
        return action

    def session_ended(self) -> None:
        self.open -= 1
        if self._gone is not None and not self.open:
            self._gone.callback(None)


class Session(Protocol):
    """One client."""

    def __init__(self, server: MailServer, number: int) -> None:
        self.server = server
        self.number = number
        self.alive = False
        self.secure = False
        self.mail: Received | None = None
        self._buffer = bytearray()
        self._scanned = 0
        self._in_content = self._held = self._handshake = self._mute = False

    def connectionMade(self) -> None:
        self.alive = True
        self.server.open += 1
        self.server.most_open = max(self.server.most_open, self.server.open)
        self.transport.setTcpNoDelay(True)
        self._act("banner", b"")

    def connectionLost(self, reason: Any = None) -> None:
        self.alive = False
        self.server.session_ended()

    def dataReceived(self, data: bytes) -> None:
        if self._handshake and self.server.starttls == "bad":
            self.transport.write(b"this is no TLS record, whatever you think of it\r\n")
        elif self._handshake and self.server.starttls == "lost":
            self.transport.loseConnection()
        self._buffer += data
        self._go_on()
        self._mute = False

    def _go_on(self) -> None:
        while not self._held and (self._take_content() if self._in_content else self._take_line()):
            pass

    def _take_line(self) -> bool:
        if (end := self._buffer.find(b"\r\n")) < 0:
            return False
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        if self.server.pipelining == "first":
            self._buffer.clear()
        self.server.commands.append(line)
        self._command(line)
        self._mute = self.server.pipelining == "mute"
        return True

    def _take_content(self) -> bool:
        assert self.mail is not None
        if self.server.early and len(self._buffer) >= self.server.early_after:
            self.transport.write(self.server.early)
            self.server.early = b""
        if (end := self._buffer.find(END, self._scanned)) < 0:
            self._scanned = max(0, len(self._buffer) - len(END) + 1)
            return False
        self.mail.content = bytes(self._buffer[: end + 2]).replace(b"\r\n.", b"\r\n")[2:]
        del self._buffer[: end + len(END)]
        self._in_content = False
        self._act(".", b".")
        return True

    def _command(self, line: bytes) -> None:
        verb = line.split(b" ")[0].decode("latin-1").upper()
        if verb == "MAIL":
            self.mail = Received(self.number, line[10:], tls=self.secure)
            self.server.started.append(self.mail)
        if verb == "EHLO" and "EHLO" not in self.server.script:
            self.transport.write(self._capabilities())
        else:
            self._act(verb, line)

    def _capabilities(self) -> bytes:
        extensions = [*self.server.extensions, *(["STARTTLS"] if self.server.starttls and not self.secure else [])]
        lines = ["mx.test greets you", *extensions]
        said = [f"250{' ' if line is lines[-1] else '-'}{line}\r\n" for line in lines]
        return "".join(said).encode()

    def _act(self, stage: str, line: bytes) -> None:
        action = self.server.action(stage, self, line)
        if isinstance(action, Drop):
            self._held = True
            self.transport.write(action.say)
            self.transport.loseConnection()
        elif isinstance(action, Silence):
            self._held = True
        elif isinstance(action, Later):
            self._held = True
            self.server.reactor.callLater(action.seconds, self._say_late, stage, line, action.say)
        elif isinstance(action, Endless):
            self._held = True
            self._repeat(action.say)
        else:
            self._say(stage, line, action)

    def _say_late(self, stage: str, line: bytes, said: bytes) -> None:
        self._held = False
        if self.alive:
            self._say(stage, line, said)
            self._go_on()

    def _repeat(self, said: bytes) -> None:
        if self.alive:
            self.transport.write(said)
            self.server.reactor.callLater(0.001, self._repeat, said)

    def _say(self, stage: str, line: bytes, said: bytes) -> None:
        if stage == "STARTTLS" and said.startswith(b"220"):
            self._start_tls(said)
            return
        if not self._mute:
            self.transport.write(said)
        positive = said[:1] == b"2"
        if stage == "RCPT" and positive and self.mail:
            self.mail.recipients.append(line[8:])
        elif stage == "DATA" and said[:1] == b"3":
            self.mail = self.mail or Received(self.number, b"")
            self._in_content, self._scanned = True, 0
            self._buffer[:0] = b"\r\n"  # the content begins at the beginning of a line
        elif stage == "." and positive and self.mail:
            self.server.accepted.append(self.mail)
        elif stage == "QUIT":
            self.transport.loseConnection()

    def _start_tls(self, said: bytes) -> None:
        if self.server.starttls == "inject":
            said += b"250 smuggled\r\n"
        self.transport.write(said)
        if self.server.starttls in ("bad", "lost", "silent"):
            self._held = self._handshake = True
        elif self.server.starttls == "good":
            self.secure = True
            self._buffer.clear()
            self.transport.startTLS(self.server.certificate or certificate_options())


@cache
def certificate_options() -> CertificateOptions:
    """A self-signed certificate for mx.test."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "mx.test")])
    start = datetime.datetime(2020, 1, 1)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=36_500))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("mx.test")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return PrivateCertificate.loadPEM(certificate.public_bytes(Encoding.PEM) + pem).options()
