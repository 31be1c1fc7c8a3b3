"""The link to a client: proxies, TLS at the wrong moment, and an end that the client can read."""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.task import Clock
from twisted.internet.threads import deferToThread

from postmeter.config import Smtp
from postmeter.server.protocol import SubmissionProtocol
from support.reception import Client, Live, go_live, logged_in, reception, trusting

PROXIED = Smtp(proxies=("127.0.0.0/8", "2001:db8::1"))
HEADER = b"PROXY TCP4 203.0.113.9 127.0.0.1 4711 587\r\n"
WAYS = pytest.mark.parametrize("implicit", [True, False], ids=["implicit", "starttls"])


@pytest_twisted.async_yield_fixture
async def live() -> AsyncIterator[Live]:
    """Both kinds of ports, behind a proxy on the loopback."""
    made = go_live(reactor, reception(reactor, smtp=PROXIED))
    yield made
    for port in made.ports:
        await port.stopListening()


def sessions(live: Live) -> list[SubmissionProtocol]:
    """Those that are open."""
    return [session for session in live.shared.census if isinstance(session, SubmissionProtocol)]


def dial(live: Live, implicit: bool, header: bytes) -> socket.socket:
    """A link on which the proxy has said whom it speaks for; with TLS if that is first."""
    link = socket.create_connection(("127.0.0.1", live.tls if implicit else live.plain), 10)
    for octet in header[:-1]:
        link.sendall(bytes([octet]))
    if not implicit:
        link.sendall(header[-1:] + b"EHLO client.example\r\n")  # all in one segment
        return link
    link.sendall(header[-1:])
    return trusting().wrap_socket(link, server_hostname="localhost")


@WAYS
@pytest_twisted.ensureDeferred
async def test_a_session_behind_a_proxy_has_the_clients_address(live: Live, implicit: bool) -> None:
    link = await deferToThread(dial, live, implicit, HEADER)
    assert (await deferToThread(link.recv, 1000)).startswith(b"220 ")
    [session] = sessions(live)
    assert session.address == "203.0.113.9"
    await deferToThread(link.close)


@pytest_twisted.ensureDeferred
async def test_the_proxys_own_health_check_has_the_proxys_address(live: Live) -> None:
    link = await deferToThread(dial, live, False, b"\r\n\r\n\0\r\nQUIT\n\x20\x00\0\0")
    assert (await deferToThread(link.recv, 1000)).startswith(b"220 ")
    [session] = sessions(live)
    assert session.address == "127.0.0.1"
    await deferToThread(link.close)


@WAYS
@pytest_twisted.ensureDeferred
async def test_a_proxy_that_says_nothing_of_a_client_is_dropped(
    live: Live, implicit: bool, caplog: pytest.LogCaptureFixture
) -> None:
    def knock() -> bytes:
        with socket.create_connection(("127.0.0.1", live.tls if implicit else live.plain), 10) as link:
            link.sendall(b"EHLO client.example\r\n")
            try:
                return link.recv(1000)
            except ConnectionResetError:
                return b""

    assert await deferToThread(knock) == b""
    assert "a session from the proxy 127.0.0.1 was dropped" in caplog.text
    assert len(live.shared.census) == 0


def test_a_header_from_an_address_that_is_not_listed_is_no_command() -> None:
    client = Client(reception(Clock(), smtp=Smtp(proxies=("198.51.100.1",))), implicit_tls=False)
    assert client.greeting.startswith(b"220 ")
    assert client.send(HEADER).startswith(b"530 5.7.0 ")
    assert client.protocol.address == "192.0.2.1"


def test_a_proxy_that_never_says_for_whom_it_calls_is_cut_off() -> None:
    clock = Clock()
    client = Client(reception(clock, smtp=PROXIED), implicit_tls=False, address="127.0.0.1")
    client.protocol.dataReceived(HEADER[:20])
    assert client.greeting == b""
    clock.pump([5] * 5)
    assert not client.wire.aborting
    clock.advance(5)
    assert client.wire.aborting
    client.hang_up()
    assert not clock.getDelayedCalls()


def test_limits_count_the_clients_of_a_proxy_and_not_the_proxy() -> None:
    shared = reception(Clock(), smtp=Smtp(proxies=("127.0.0.1",), max_sessions_per_ip=1))

    def greeting(client: bytes) -> bytes:
        session = Client(shared, implicit_tls=False, address="127.0.0.1")
        return session.send(b"PROXY TCP4 %s 127.0.0.1 4711 587\r\n" % client)

    assert greeting(b"203.0.113.9").startswith(b"220 ")
    assert greeting(b"203.0.113.10").startswith(b"220 ")
    assert greeting(b"203.0.113.9").startswith(b"421 ")


@WAYS
def test_a_handshake_that_does_not_come_is_cut_off_without_a_word(implicit: bool) -> None:
    clock = Clock()
    client = Client(reception(clock), implicit_tls=implicit, handshake=False)
    if not implicit:
        client.send(b"EHLO x\r\n")
        client.send(b"STARTTLS\r\n")
    clock.pump([10, 10, 9])
    assert not client.wire.aborting
    clock.advance(1)
    assert client.wire.aborting
    assert client.take() == b""
    client.hang_up()


def test_bytes_in_clear_text_where_a_handshake_should_be_end_the_link() -> None:
    client = Client(reception(Clock()), implicit_tls=False)
    client.send(b"EHLO x\r\n")
    client.send(b"STARTTLS\r\n")
    said = client.send(b"EHLO again\r\n")
    assert b"250" not in said
    assert client.wire.disconnecting


def test_a_client_that_says_its_last_word_is_told_ours() -> None:
    client = logged_in(reception(Clock()))
    assert client._tls is not None
    with pytest.raises(ssl.SSLWantReadError):
        client._tls.tls.unwrap()
    client.protocol.dataReceived(client._tls.seal())
    assert client.closing


@pytest_twisted.ensureDeferred
async def test_a_client_that_still_sends_can_read_why_the_session_ends() -> None:
    live = go_live(reactor, reception(reactor))

    def post() -> bytes:
        with socket.create_connection(("127.0.0.1", live.plain), 10) as link:
            link.sendall(b"POST / HTTP/1.1\r\nContent-Length: 4000000\r\n\r\n" + b"x" * 4_000_000)
            said = b""
            while piece := link.recv(1000):
                said += piece
            return said

    said = await deferToThread(post)
    assert said.splitlines()[-1].startswith(b"500 5.5.2 ")
    for port in live.ports:
        await port.stopListening()
