"""A reception without a store: a connection that may log in, an acceptance that keeps what it gets, a listener."""

from __future__ import annotations

import atexit
import shutil
import ssl
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, cast

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionLost
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from postmeter.config import Server, Settings, Smtp
from postmeter.message.envelope import Envelope
from postmeter.server.acceptance import Acceptance
from postmeter.server.auth import Directory, portal
from postmeter.server.census import Census
from postmeter.server.listener import bind, listen
from postmeter.server.protocol import Reception, SubmissionProtocol
from postmeter.server.spool import Spool
from postmeter.server.tls import ServerContextFactory, context_factory
from postmeter.smtp.limits import Limits
from postmeter.smtp.replies import queued
from postmeter.smtp.reply import Reply
from postmeter.store.connections import Access, AllowedDomain

HELP = "<https://shop.example/help>"
MESSAGE_ID = "01M845D52EFTKSJPV36DHCW3RR"


def hash_token(token: str) -> bytes:
    """Stands for the keyed hash."""
    return token.encode()[::-1]


ACCESS = Access(7, 3, "shop", hash_token("secret"), "", (AllowedDomain("shop.example", HELP),))


def known(username: str) -> Deferred[Access | None]:
    """A store with one connection."""
    return succeed(ACCESS if username == ACCESS.username else None)


@dataclass
class Taken:
    """What an acceptance was given; ``answer`` fires with the reply."""

    access: Access
    envelope: Envelope
    content: bytes
    in_memory: bool
    answer: Deferred[Reply]


@dataclass
class FakeAcceptance:
    """Says 250 at once, or with ``late`` when the test does."""

    late: bool = False
    taken: list[Taken] = field(default_factory=list)

    def accept(self, access: Access, envelope: Envelope, spool: Spool) -> Deferred[Reply]:
        """See ``Acceptance``."""
        answer: Deferred[Reply] = Deferred() if self.late else succeed(queued(MESSAGE_ID))
        self.taken.append(Taken(access, envelope, b"".join(spool.blocks(0)), spool.in_memory, answer))
        return answer


@cache
def certificate() -> ServerContextFactory:
    """TLS with a certificate that is made once for all tests."""
    return context_factory(_settings())


@cache
def trusting() -> ssl.SSLContext:
    """A client's side of it."""
    return ssl.create_default_context(cafile=str(_settings().data / "certificate.pem"))


@cache
def _settings() -> Settings:
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder)
    return Settings(server=Server(hostname="mail.example.net", data=folder))


def reception(
    reactor: Any,
    acceptance: FakeAcceptance | Acceptance | None = None,
    *,
    look_up: Callable[[str], Deferred[Access | None]] = known,
    smtp: Smtp | None = None,
    limits: Limits | None = None,
    folder: Path | None = None,
) -> Reception:
    """What a worker's sessions share; ``reactor`` may be a Clock."""
    directory = Directory(look_up, reactor.seconds)
    return Reception(
        hostname="mail.example.net",
        limits=limits or Limits(),
        portal=portal(directory, hash_token),
        directory=directory,
        acceptance=cast(Acceptance, acceptance or FakeAcceptance()),
        census=Census(smtp or Smtp()),
        tls=certificate(),
        spool_folder=folder or _settings().data,
        reactor=reactor,
    )


class Wire(StringTransport):
    """A transport that keeps what is written, and how it was treated."""

    producer: Any = None
    aborting = False
    tls = False

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Accepted."""

    def startTLS(self, context: object) -> None:
        """Noted."""
        self.tls = True

    def unregisterProducer(self) -> None:
        """As a real transport it takes this without a producer, too."""
        if self.producer is not None:
            super().unregisterProducer()

    def abortConnection(self) -> None:
        """Noted."""
        self.aborting = True

    def take(self) -> bytes:
        """What was written since the last call."""
        said: bytes = self.value()
        self.clear()
        return said


class Client:
    """A client's end of one session without a socket."""

    def __init__(self, shared: Reception, implicit_tls: bool = True) -> None:
        self.wire = Wire()
        self.protocol = SubmissionProtocol(shared, implicit_tls)
        self.protocol.makeConnection(self.wire)
        if implicit_tls:
            self.protocol.handshakeCompleted()
        self.greeting = self.wire.take()

    def send(self, data: bytes) -> bytes:
        """What the server says at once."""
        self.protocol.dataReceived(data)
        return self.wire.take()

    @property
    def closing(self) -> bool:
        """Whether the server closes the link once all is written: no producer keeps it open."""
        return self.wire.disconnecting and self.wire.producer is None

    def hang_up(self) -> None:
        """The link is gone."""
        self.protocol.connectionLost(Failure(ConnectionLost()))


def logged_in(shared: Reception) -> Client:
    """A client that is ready for MAIL."""
    client = Client(shared)
    said = client.send(b"EHLO client.example\r\nAUTH PLAIN AHNob3AAc2VjcmV0\r\n")
    assert b"235 2.7.0" in said, said
    return client


@dataclass
class Live:
    """A listener on loopback for each of the two kinds of ports."""

    shared: Reception
    plain: int
    tls: int
    ports: list[Any]


def go_live(reactor: Any, shared: Reception) -> Live:
    """Serve on two free ports."""
    ports: list[Any] = []
    for implicit in (False, True):
        [sock] = bind("smtp.submission", "127.0.0.1:0")
        with sock:
            ports.append(listen(reactor, sock.fileno(), shared, implicit_tls=implicit))
    return Live(shared, ports[0].getHost().port, ports[1].getHost().port, ports)


def inactive(reason: str) -> Callable[[str], Deferred[Access | None]]:
    """A store whose connection is off."""
    return lambda _username: succeed(replace(ACCESS, reason=reason))
