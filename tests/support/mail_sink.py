"""The recipients' side, independent of the product: takes mail on a loopback socket and keeps every octet of it."""

from __future__ import annotations

import contextlib
import datetime
import socketserver
import ssl
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

EXTENSIONS = ("SIZE 100000000", "8BITMIME", "SMTPUTF8", "PIPELINING", "ENHANCEDSTATUSCODES", "DSN")
REFUSED = {b"unknown": b"550 5.1.1 No such user", b"later": b"450 4.2.1 Try again later"}  # by local part


@dataclass(frozen=True)
class Received:
    """A mail as it came: what MAIL and RCPT said, the content without the stuffed dots, and whether in TLS."""

    mail_from: bytes
    rcpt_to: tuple[bytes, ...]
    content: bytes
    tls: bool
    at: float

    @property
    def recipients(self) -> list[str]:
        """The forward paths without brackets and parameters."""
        return [argument.partition(b">")[0].lstrip(b"<").decode() for argument in self.rcpt_to]


@dataclass
class Link:
    """One connection to the sink: its socket, and the lines that came over it."""

    socket: Any
    secure: bool = False
    lines: BinaryIO = field(init=False)

    def __post_init__(self) -> None:
        self.lines = self.socket.makefile("rb", 1 << 16)

    def say(self, line: bytes) -> None:
        """One reply line."""
        self.socket.sendall(line + b"\r\n")

    def command(self) -> tuple[str, bytes]:
        """The next command: verb and argument; an empty verb at the end."""
        verb, _, argument = self.lines.readline().rstrip(b"\r\n").partition(b" ")
        return verb.decode("ascii", "replace").upper(), argument

    def content(self) -> bytes:
        """What comes up to the line with the single dot; only CRLF ends a line (RFC 5321, 4.1.1.4)."""
        return b"".join(self._content())

    def _content(self) -> Iterator[bytes]:
        at_start = True
        while (line := self.lines.readline()) != b".\r\n" or not at_start:
            if not line:
                raise ConnectionError("the connection ended within a content")
            yield line[1:] if at_start and line.startswith(b".") else line
            at_start = line.endswith(b"\r\n")

    def start_tls(self, context: ssl.SSLContext) -> None:
        """From now on inside TLS; what was read ahead in clear text is forgotten."""
        self.lines.close()
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.lines = self.socket.makefile("rb", 1 << 16)
        self.secure = True

    def close(self) -> None:
        """Free the socket."""
        self.lines.close()
        self.socket.close()


class MailSink:
    """A mail server for all domains; ``delay`` are the seconds before it answers the final dot."""

    def __init__(self, folder: Path, port: int = 0) -> None:
        self.delay = 0.0
        self._received: list[Received] = []
        self._lock = threading.Lock()
        self._open: set[Any] = set()
        self._context = _context(folder)
        self._server = _Server(("127.0.0.1", port), self._serve)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Take no more, and end the open connections."""
        self._server.shutdown()
        self._thread.join()
        with self._lock:
            for one in self._open:
                _shut(one)
        self._server.server_close()  # waits for the connections' threads

    @property
    def received(self) -> list[Received]:
        """All mails so far."""
        with self._lock:
            return list(self._received)

    def to(self, recipient: str) -> list[Received]:
        """The mails to this address."""
        return [one for one in self.received if recipient in one.recipients]

    def copies(self) -> Counter[str]:
        """How often each address was delivered to."""
        return Counter(address for one in self.received for address in one.recipients)

    def _serve(self, sock: Any) -> None:
        link = Link(sock)
        with self._lock:
            self._open.add(sock)
        try:
            self._converse(link)
        except (OSError, ValueError):
            pass  # the other side is gone, or the sink was closed
        finally:
            with self._lock:
                self._open.discard(sock)
            link.close()

    def _converse(self, link: Link) -> None:
        link.say(b"220 sink.test ESMTP")
        mail_from, rcpt_to = b"", list[bytes]()
        while (command := link.command())[0]:
            verb, argument = command
            if verb in ("EHLO", "HELO"):
                _greet(link)
            elif verb == "STARTTLS":
                link.say(b"220 2.0.0 Go ahead")
                link.start_tls(self._context)
            elif verb == "MAIL":
                mail_from, rcpt_to = argument.partition(b":")[2], []
                link.say(b"250 2.1.0 Ok")
            elif verb == "RCPT":
                self._rcpt(link, argument.partition(b":")[2], rcpt_to)
            elif verb == "DATA":
                self._data(link, mail_from, tuple(rcpt_to))
            elif verb == "QUIT":
                link.say(b"221 2.0.0 Bye")
                return
            else:
                link.say(b"250 2.0.0 Ok" if verb in ("RSET", "NOOP") else b"502 5.5.1 No such command")

    def _rcpt(self, link: Link, path: bytes, rcpt_to: list[bytes]) -> None:
        refusal = REFUSED.get(path.lstrip(b"<").partition(b"@")[0].partition(b"-")[0])
        if refusal is None:
            rcpt_to.append(path)
        link.say(refusal or b"250 2.1.5 Ok")

    def _data(self, link: Link, mail_from: bytes, rcpt_to: tuple[bytes, ...]) -> None:
        if not rcpt_to:
            link.say(b"503 5.5.1 No valid recipients")
            return
        link.say(b"354 Go ahead")
        content = link.content()
        if self.delay:
            time.sleep(self.delay)
        with self._lock:
            self._received.append(Received(mail_from, rcpt_to, content, link.secure, time.time()))
        link.say(b"250 2.0.0 Ok: kept")


def _greet(link: Link) -> None:
    lines = ["sink.test", *EXTENSIONS, *([] if link.secure else ["STARTTLS"])]
    for line in lines[:-1]:
        link.say(f"250-{line}".encode())
    link.say(f"250 {lines[-1]}".encode())


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], serve: Any) -> None:
        super().__init__(address, socketserver.BaseRequestHandler)
        self._serve_one = serve

    def finish_request(self, request: Any, client_address: Any) -> None:
        self._serve_one(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        raise  # a defect of the sink: pytest reports what a thread raises


def _shut(sock: Any) -> None:
    with contextlib.suppress(OSError):  # closed, or taken over by TLS
        sock.shutdown(2)


def _context(folder: Path) -> ssl.SSLContext:
    """TLS with a self-signed certificate for sink.test."""
    pem = folder / "sink.pem"
    pem.write_bytes(b"".join(certificate("sink.test")))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context


def certificate(name: str) -> tuple[bytes, bytes]:
    """A self-signed certificate and its private key, in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    start = datetime.datetime(2020, 1, 1)
    signed = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number(), start)
        .not_valid_after(start + datetime.timedelta(days=36_500))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return signed.public_bytes(Encoding.PEM), secret
