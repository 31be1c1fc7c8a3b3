"""The link to a client: proxies, TLS at the wrong moment, and an end that the client can read."""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator
from typing import cast

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.task import Clock
from twisted.internet.threads import deferToThread

from postmeter.config import Smtp
from postmeter.server.channel import NOISE, Channel
from postmeter.server.link import MOST_OF_STRANGERS
from postmeter.server.protocol import LOGIN_FAILURE_TIME, SubmissionProtocol
from postmeter.smtp.limits import Limits
from postmeter.smtp.replies import queued
from support.reception import MESSAGE_ID, Client, FakeAcceptance, Live, go_live, logged_in, reception, trusting

PROXIED = Smtp(proxies=("127.0.0.0/8", "2001:db8::1"))
HEADER = b"PROXY TCP4 203.0.113.9 127.0.0.1 4711 587\r\n"
MAIL = b"MAIL FROM:<orders@shop.example>\r\nRCPT TO:<joe@example.org>\r\nDATA\r\n"
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
    return [session for session in live.shared.visitors.census if isinstance(session, SubmissionProtocol)]


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
    assert len(live.shared.visitors.census) == 0


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
    client.send(b"NOOP\r\n")
    assert client.say_last_word() == b""
    assert client.closing
    client.protocol.shut_down()
    client.protocol.cut()
    client.protocol.dataReceived(b"more")
    assert client.take() == b""


def test_a_client_that_says_its_last_word_behind_the_final_dot_hears_the_answer() -> None:
    acceptance = FakeAcceptance(late=True)
    client = logged_in(reception(Clock(), acceptance))
    client.send(MAIL + b"From: orders@shop.example\r\n\r\n.\r\n")
    assert client.say_last_word() == b""
    assert not client.closing
    acceptance.taken[0].answer.callback(queued(MESSAGE_ID))
    assert client.take().startswith(b"250 2.0.0 Ok: queued as ")
    assert client.closing


def test_a_client_that_closes_its_direction_behind_the_final_dot_hears_the_answer() -> None:
    acceptance = FakeAcceptance(late=True)
    client = logged_in(reception(Clock(), acceptance))
    client.send(MAIL + b"From: orders@shop.example\r\n\r\n.\r\n")
    client.protocol.readConnectionLost()
    assert not client.wire.disconnecting
    acceptance.taken[0].answer.callback(queued(MESSAGE_ID))
    assert client.take().startswith(b"250 2.0.0 Ok: queued as ")
    assert client.closing


@WAYS
def test_a_client_that_closes_and_waits_for_nothing_is_gone(implicit: bool) -> None:
    for begin in (b"", b"EHLO x\r\n"):
        client = Client(reception(Clock()), implicit_tls=implicit)
        client.send(begin)
        client.protocol.readConnectionLost()
        assert client.closing


def test_a_client_that_says_its_last_word_during_a_log_in_leaves_nothing_behind() -> None:
    clock = Clock()
    client = Client(reception(clock))
    client.send(b"EHLO x\r\nAUTH PLAIN AHNob3AAd3Jvbmc=\r\n")
    client.say_last_word()
    clock.advance(LOGIN_FAILURE_TIME)
    assert client.take().startswith(b"535 ")
    assert client.closing
    client.hang_up()
    assert not clock.getDelayedCalls()


def test_a_broken_record_ends_the_link_also_when_the_client_does_not_read() -> None:
    clock = Clock()
    acceptance = FakeAcceptance(late=True)
    client = logged_in(reception(clock, acceptance))
    client.send(MAIL + b"From: orders@shop.example\r\n\r\n.\r\n")
    client.protocol.dataReceived(b"\x17\x03\x03\x00\x20" + bytes(32))
    assert client.wire.disconnecting
    acceptance.taken[0].answer.callback(queued(MESSAGE_ID))  # nobody hears it, and nothing breaks
    clock.pump([10, 10, 9])
    assert not client.wire.aborting
    clock.advance(1)
    assert client.wire.aborting
    client.hang_up()
    assert len(client.protocol._reception.visitors.census) == 0
    assert not clock.getDelayedCalls()


class Busy:
    """OpenSSL when a client asks again and again for new keys or another handshake: an answer, and no clear text."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def read(self, _octets: int) -> bytes:
        """Nothing to read."""
        self._channel._incoming.read()
        self._channel._outgoing.write(b"answer")
        raise ssl.SSLWantReadError


def test_a_client_that_only_keeps_tls_busy_is_answered_and_then_cut_off() -> None:
    client = Client(reception(Clock()))
    channel = client.protocol._channel
    assert channel is not None
    channel._tls = cast(ssl.SSLObject, Busy(channel))
    for _ in range(NOISE // 32 - 150):
        client.protocol.dataReceived(bytes(32))
        assert client.wire.value() == b"answer"  # none of it waits for something else to be said
        client.wire.clear()
        assert not client.wire.disconnecting
    for _ in range(150):
        client.protocol.dataReceived(bytes(32))
    assert client.wire.disconnecting
    assert client.wire.value().count(b"answer") < 145


def test_a_stranger_may_not_send_much_whatever_it_is() -> None:
    for begin in (b"", b"EHLO x\r\nAUTH PLAIN AHNob3AAc2VjcmV0\r\n"):
        client = Client(reception(Clock(), limits=Limits(max_junk_commands=10**6)))
        client.send(begin)
        for _ in range(MOST_OF_STRANGERS // 6 // 1000 + 1):
            client.send(b"NOOP\r\n" * 1000)
        assert client.wire.aborting is (begin == b"")


def test_clear_text_in_small_records_is_no_noise() -> None:
    client = logged_in(reception(Clock(), limits=Limits(max_junk_commands=100_000)))
    for _ in range(5_000):
        for octet in b"NOOP\r\n":
            client.send(bytes([octet]))
    assert not client.wire.disconnecting


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
