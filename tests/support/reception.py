"""A reception without a store: a connection that may log in, an acceptance that keeps what it gets, a listener."""

from __future__ import annotations

import atexit
import shutil
import ssl
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, cast

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionLost
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from postmeter.config import Server, Settings, Smtp, networks
from postmeter.message.envelope import Envelope
from postmeter.server.acceptance import Acceptance
from postmeter.server.auth import Directory, portal
from postmeter.server.board import Board
from postmeter.server.census import Census
from postmeter.server.doorway import Visitors
from postmeter.server.guard import Guard
from postmeter.server.link import Entrance
from postmeter.server.listener import bind, listen
from postmeter.server.policy import RecipientPolicy
from postmeter.server.protocol import Reception, SubmissionProtocol
from postmeter.server.refusals import Refusals
from postmeter.server.spool import Spool
from postmeter.server.tls import ServerTls, server_tls
from postmeter.smtp.limits import Limits
from postmeter.smtp.replies import queued
from postmeter.smtp.reply import Reply
from postmeter.store.connections import Access, AllowedDomain
from support.tls_client import TlsClient

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
def certificate() -> ServerTls:
    """TLS with a certificate that is made once for all tests."""
    return server_tls(_settings(), b"secret", time.time)


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
    tls: ServerTls | None = None,
) -> Reception:
    """What a worker's sessions share; ``reactor`` may be a Clock."""
    directory = Directory(look_up, reactor.seconds)
    settings, board = smtp or Smtp(), Board.alone()
    return Reception(
        hostname="mail.example.net",
        limits=limits or Limits(),
        portal=portal(directory, hash_token),
        directory=directory,
        acceptance=cast(Acceptance, acceptance or FakeAcceptance()),
        policy=RecipientPolicy(lambda _account, _address: succeed(None), lambda _domain: False, reactor),
        visitors=Visitors(
            Census(settings, board, reactor.seconds),
            Guard(settings, board, reactor.seconds),
            Refusals(reactor.seconds),
        ),
        entrance=Entrance(tls or certificate(), settings, networks("smtp.proxies", settings.proxies), reactor),
        spool_folder=folder or _settings().data,
        disk_is_low=lambda: False,
    )


class Wire(StringTransport):
    """A transport that keeps what is written, and how it was treated."""

    producer: Any = None
    aborting = False

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Accepted."""

    def loseWriteConnection(self) -> None:
        """The end of what the server says."""
        self.disconnecting = True

    def unregisterProducer(self) -> None:
        """As a real transport it takes this without a producer, too."""
        if self.producer is not None:
            super().unregisterProducer()

    def abortConnection(self) -> None:
        """Noted."""
        self.aborting = True


class Client:
    """A client's end of one session without a socket, with real TLS; of submission, or of what ``shared`` makes."""

    def __init__(
        self,
        shared: Reception | Callable[[], Any],
        implicit_tls: bool = True,
        address: str = "192.0.2.1",
        handshake: bool = True,
    ) -> None:
        self.wire = Wire(peerAddress=IPv4Address("TCP", address, 40_000))
        self.protocol: Any = SubmissionProtocol(shared, implicit_tls) if isinstance(shared, Reception) else shared()
        self._tls: TlsClient | None = None
        self.protocol.makeConnection(self.wire)
        if implicit_tls and handshake:
            self.shake_hands()
        self.greeting = self.take()

    def shake_hands(self) -> None:
        """Start TLS."""
        self._tls = TlsClient(trusting(), self._deliver)
        self._tls.shake_hands()

    def _deliver(self, data: bytes) -> bytes:
        if data:
            self.protocol.dataReceived(data)
        said: bytes = self.wire.value()
        self.wire.clear()
        return said

    def send(self, data: bytes) -> bytes:
        """What the server says at once."""
        self.protocol.dataReceived(data if self._tls is None else self._tls.seal(data))
        return self.take()

    def take(self) -> bytes:
        """What the server has said since the last call, until it said that it would say no more."""
        said = self._deliver(b"")
        return said if self._tls is None else self._tls.open(said)

    def say_last_word(self) -> bytes:
        """Tell that no more will come (RFC 8446, 6.1); what the server says to that, without its own last word."""
        assert self._tls is not None
        with suppress(ssl.SSLWantReadError):
            self._tls.tls.unwrap()
        self.protocol.dataReceived(self._tls.seal())
        return self.take()

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
