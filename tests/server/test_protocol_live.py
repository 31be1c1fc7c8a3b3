"""The submission protocol on loopback, with TLS from the start and with STARTTLS: what only a real link shows."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.threads import deferToThread

from postmeter.config import Smtp
from postmeter.server import link as link_module
from postmeter.server.census import Admission
from postmeter.server.protocol import SubmissionProtocol
from postmeter.smtp.limits import Limits
from postmeter.smtp.replies import queued
from support.reception import MESSAGE_ID, FakeAcceptance, Live, go_live, reception, trusting

WAYS = pytest.mark.parametrize("implicit", [True, False], ids=["implicit", "starttls"])
LOGIN = b"EHLO client.example\r\nAUTH PLAIN AHNob3AAc2VjcmV0\r\n"
MAIL = b"MAIL FROM:<orders@shop.example>\r\nRCPT TO:<joe@example.org>\r\nDATA\r\n"
QUICK = Smtp(handshake_timeout=1)
FLOOD = b"EHLO client.example\r\n" * 500


@pytest_twisted.async_yield_fixture
async def live() -> AsyncIterator[Live]:
    """Both kinds of ports."""
    made = go_live(reactor, reception(reactor, FakeAcceptance(), smtp=QUICK, limits=Limits(max_junk_commands=10**9)))
    yield made
    for port in made.ports:
        await port.stopListening()


class Link:
    """A blocking client, for use in a thread."""

    def __init__(self, live: Live, implicit: bool, receive_buffer: int = 0) -> None:
        self.sock = socket.socket()
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.settimeout(10)
        self.sock.connect(("127.0.0.1", live.tls if implicit else live.plain))
        if not implicit:
            self.read(1)
            self.send(b"EHLO client.example\r\n")
            self.read(1)
            self.send(b"STARTTLS\r\n")
            self.read(1)
        self.sock = trusting().wrap_socket(self.sock, server_hostname="localhost")
        if implicit:
            self.read(1)

    def send(self, data: bytes) -> None:
        """Send all of it."""
        self.sock.sendall(data)

    def read(self, replies: int) -> list[int]:
        """The codes of so many replies."""
        said = b""
        while sum(line[3:4] == b" " and line.endswith(b"\n") for line in said.splitlines(keepends=True)) < replies:
            piece = self.sock.recv(65536)
            assert piece, f"closed after {said!r}"
            said += piece
        return [int(line[:3]) for line in said.splitlines() if line[3:4] == b" "]

    def log_in(self) -> None:
        """Be ready for MAIL."""
        self.send(LOGIN)
        assert self.read(2) == [250, 235]


def _sessions(live: Live) -> list[SubmissionProtocol]:
    return [session for session in live.shared.visitors.census if isinstance(session, SubmissionProtocol)]


@WAYS
@pytest_twisted.ensureDeferred
async def test_a_client_that_does_not_read_is_not_read_from_and_then_served(live: Live, implicit: bool) -> None:
    def flood() -> tuple[Link, int]:
        link = Link(live, implicit, receive_buffer=8192)
        link.log_in()
        link.sock.settimeout(0.5)
        sent = 0
        try:
            while sent < 40_000_000:
                link.send(FLOOD)
                sent += len(FLOOD)
        except TimeoutError:
            pass
        return link, sent

    link, sent = await deferToThread(flood)
    [session] = _sessions(live)
    assert session._paused
    assert sent < 30_000_000
    tcp = session.transport
    waiting = len(tcp.dataBuffer) + sum(map(len, tcp._tempDataBuffer))
    assert waiting + len(session._session._lines.buffer) < 4_000_000

    def drain() -> int:
        link.sock.settimeout(0.3)
        octets = 0
        try:
            while piece := link.sock.recv(1 << 20):
                octets += len(piece)
        except TimeoutError:
            pass
        return octets

    assert await deferToThread(drain) > 100_000
    assert not session._paused
    await deferToThread(link.sock.close)


@WAYS
@pytest_twisted.ensureDeferred
async def test_quit_behind_the_final_dot_gets_both_replies_and_the_end(live: Live, implicit: bool) -> None:
    acceptance = live.shared.acceptance
    assert isinstance(acceptance, FakeAcceptance)
    acceptance.late = True

    def submit() -> list[int]:
        link = Link(live, implicit)
        link.log_in()
        link.send(MAIL + b"From: orders@shop.example\r\n\r\nHello\r\n.\r\nQUIT\r\n")
        first = link.read(3)
        reactor.callFromThread(lambda: acceptance.taken[0].answer.callback(queued(MESSAGE_ID)))  # type: ignore[attr-defined]
        rest = link.read(2)
        assert link.sock.recv(100) == b""
        link.sock.close()
        return first + rest

    assert await deferToThread(submit) == [250, 250, 354, 250, 221]


@WAYS
@pytest_twisted.ensureDeferred
async def test_a_large_content_passes_in_blocks_and_unchanged(live: Live, implicit: bool) -> None:
    acceptance = live.shared.acceptance
    assert isinstance(acceptance, FakeAcceptance)
    content = b"From: orders@shop.example\r\n\r\n" + b"".join(b"%070d\r\n" % n for n in range(40_000))

    def submit() -> None:
        link = Link(live, implicit)
        link.log_in()
        link.send(MAIL + content + b".\r\n")
        assert link.read(4) == [250, 250, 354, 250]
        link.send(b"QUIT\r\n")
        assert link.read(1) == [221]
        link.sock.close()

    await deferToThread(submit)
    assert acceptance.taken[0].content == content
    assert not acceptance.taken[0].in_memory


@WAYS
@pytest_twisted.ensureDeferred
async def test_a_handshake_that_never_comes_is_cut_off(
    live: Live, implicit: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_module, "TICK", 0.2)

    def wait_for_the_end() -> bytes:
        link = socket.create_connection(("127.0.0.1", live.tls if implicit else live.plain), 5)
        if not implicit:
            link.sendall(b"EHLO x\r\n")
            link.recv(1000)
            link.sendall(b"STARTTLS\r\n")
        said = b""
        try:
            while piece := link.recv(1000):
                said += piece
        except ConnectionResetError:
            pass
        link.close()
        return said

    said = await deferToThread(wait_for_the_end)
    assert b"421" not in said  # it would be in clear text
    assert len(live.shared.visitors.census) == 0


@pytest_twisted.ensureDeferred
async def test_too_many_sessions_are_told_inside_tls_as_well(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live.shared.visitors.census, "enter", lambda session, address: Admission.FULL)

    def knock() -> bytes:
        plain = socket.create_connection(("127.0.0.1", live.tls), 5)
        with trusting().wrap_socket(plain, server_hostname="localhost") as link:
            said = link.recv(1000)
            assert link.recv(1000) == b""
        return said

    assert (await deferToThread(knock)).startswith(b"421 4.3.2 ")


@pytest_twisted.ensureDeferred
async def test_garbage_instead_of_a_handshake_ends_the_session(live: Live) -> None:
    def rubbish() -> bytes:
        with socket.create_connection(("127.0.0.1", live.tls), 5) as link:
            link.sendall(b"GET / HTTP/1.1\r\n\r\n" * 3)
            said = b""
            while piece := link.recv(1000):
                said += piece
            return said

    said = await deferToThread(rubbish)
    assert b"220" not in said
    assert len(live.shared.visitors.census) == 0


@WAYS
@pytest_twisted.ensureDeferred
async def test_a_client_that_vanishes_during_the_commit_is_forgotten(live: Live, implicit: bool) -> None:
    acceptance = live.shared.acceptance
    assert isinstance(acceptance, FakeAcceptance)
    acceptance.late = True

    def vanish() -> None:
        link = Link(live, implicit)
        link.log_in()
        link.send(MAIL + b"From: orders@shop.example\r\n\r\nHello\r\n.\r\n")
        link.read(3)
        link.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        link.sock.close()

    await deferToThread(vanish)
    sessions = _sessions(live)
    while live.shared.visitors.census:
        await deferToThread(lambda: None)
    acceptance.taken[0].answer.callback(queued(MESSAGE_ID))
    assert not any(session.connected for session in sessions)
    assert not live.shared.visitors.census._by_connection
