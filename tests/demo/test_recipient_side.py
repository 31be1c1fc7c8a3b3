"""The demo's recipient side: what it takes, what it refuses, what it defers, and that nothing throws it."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet import reactor as _reactor
from twisted.internet.defer import maybeDeferred
from twisted.internet.testing import StringTransport
from twisted.internet.threads import deferToThread

from postmeter.config import Server, Settings
from postmeter.demo.recipient_side import KEPT, RecipientSession, RecipientSide, server_side_tls
from postmeter.server import tls

reactor: Any = _reactor
START = b"EHLO relay.example\r\nMAIL FROM:<shop@example.org>\r\n"
MAIL = b"Subject: hello\r\n\r\n..with a dot\r\n.\r\n"
Say = Callable[[bytes], list[str]]


def session(side: RecipientSide) -> tuple[RecipientSession, Any]:
    """A client's session without a socket, and what stands for its transport."""
    protocol, transport = side.buildProtocol(None), StringTransport()  # type: ignore[no-untyped-call]
    transport.setTcpNoDelay = lambda on: None  # type: ignore[attr-defined]
    protocol.makeConnection(transport)  # type: ignore[no-untyped-call]
    return protocol, transport


@pytest.fixture
def side() -> RecipientSide:
    return RecipientSide()


@pytest.fixture
def say(side: RecipientSide) -> Iterator[Say]:
    """Says something in one session and gives the lines of the answer."""
    protocol, transport = session(side)
    assert transport.value() == b"220 mx.demo.example ESMTP\r\n"

    def say(data: bytes) -> list[str]:
        transport.clear()
        protocol.dataReceived(data)
        lines: list[str] = transport.value().decode().splitlines()
        return lines

    yield say
    protocol.connectionLost()


def test_it_offers_what_a_mail_server_offers_and_no_submission(say: Say) -> None:
    assert say(b"EHLO relay.example\r\n") == [
        "250-mx.demo.example",
        "250-SIZE 31457280",
        "250-8BITMIME",
        "250-SMTPUTF8",
        "250-PIPELINING",
        "250 ENHANCEDSTATUSCODES",
    ]
    assert say(b"AUTH PLAIN AGEAYg==\r\n") == ["500 5.5.2 Command not recognized"]
    assert say(b"STARTTLS\r\n") == ["500 5.5.2 Command not recognized"]


def test_it_keeps_what_it_takes(side: RecipientSide, say: Say) -> None:
    replies = say(START + b"RCPT TO:<a@example.org>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n" + MAIL)
    assert replies[-2:] == ["354 End the message with a line that holds a single dot", "250 2.0.0 Ok: taken as 1"]
    assert side.count == 1
    received = side.last[0]
    assert received.reverse_path == "shop@example.org"
    assert received.recipients == ("a@example.org", "b@example.net")
    assert received.content == b"Subject: hello\r\n\r\n.with a dot\r\n"
    assert not received.tls


def test_it_keeps_only_the_last_mails_and_counts_all(side: RecipientSide, say: Say) -> None:
    say(b"EHLO relay.example\r\n")
    for n in range(KEPT + 5):
        say(b"MAIL FROM:<>\r\nRCPT TO:<a%d@example.org>\r\nDATA\r\n%s" % (n, MAIL))
    assert side.count == KEPT + 5
    assert len(side.last) == KEPT
    assert side.last[-1].recipients == (f"a{KEPT + 4}@example.org",)


@pytest.mark.parametrize("local", ["nobody", "nobody.karin", "unknown", "Unknown-Guest"])
def test_some_users_do_not_exist(say: Say, local: str) -> None:
    say(START)
    assert say(f"RCPT TO:<{local}@example.org>\r\n".encode()) == ["550 5.1.1 No such user"]
    assert say(b"DATA\r\n") == ["554 5.5.1 No valid recipients"]


def test_a_greylisted_recipient_is_deferred_the_first_time(say: Say) -> None:
    say(START)
    assert say(b"RCPT TO:<greylisted.a@example.org>\r\n") == ["450 4.7.1 Greylisted, come back later"]
    assert say(b"RCPT TO:<greylisted.b@example.org>\r\n") == ["450 4.7.1 Greylisted, come back later"]
    assert say(b"RCPT TO:<greylisted.A@example.org>\r\n") == ["250 2.1.5 Recipient ok"]


def test_a_mixed_list_is_answered_one_by_one(side: RecipientSide, say: Say) -> None:
    recipients = b"RCPT TO:<a@example.org>\r\nRCPT TO:<nobody@example.org>\r\nRCPT TO:<greylisted@example.org>\r\n"
    replies = say(START + recipients + b"DATA\r\n" + MAIL)
    assert [line[:3] for line in replies[-5:]] == ["250", "550", "450", "354", "250"]
    assert side.last[0].recipients == ("a@example.org",)


def test_commands_out_of_order_are_refused(say: Say) -> None:
    assert say(b"MAIL FROM:<a@example.org>\r\n") == ["503 5.5.1 Send EHLO first"]
    assert say(b"helo relay\r\n") == ["250 mx.demo.example"]
    assert say(b"RCPT TO:<a@example.org>\r\n") == ["503 5.5.1 Send MAIL first"]
    assert say(b"data\r\n") == ["503 5.5.1 Send MAIL first"]
    assert say(b"mail from:<a@example.org>\r\n") == ["250 2.1.0 Sender ok"]
    assert say(b"MAIL FROM:<a@example.org>\r\n")[0].startswith("503 5.5.1")
    assert say(b"RSET\r\nNOOP\r\nVRFY a\r\n")[:2] == ["250 2.0.0 Ok", "250 2.0.0 Ok"]
    assert say(b"RCPT TO:<a@example.org>\r\n") == ["503 5.5.1 Send MAIL first"]


def test_a_mail_that_is_declared_too_large_is_refused(say: Say) -> None:
    say(b"EHLO relay.example\r\n")
    assert say(b"MAIL FROM:<a@example.org> SIZE=31457281\r\n")[0].startswith("552 5.3.4")


def test_international_addresses_need_smtputf8(side: RecipientSide, say: Say) -> None:
    say(START)
    assert say("RCPT TO:<jörg@bücher.example>\r\n".encode())[0].startswith("553 5.6.7")
    say(b"RSET\r\nMAIL FROM:<a@example.org> BODY=8BITMIME SMTPUTF8\r\n")
    say("RCPT TO:<jörg@bücher.example>\r\nDATA\r\n".encode() + MAIL)
    assert side.last[0].recipients == ("jörg@bücher.example",)


def test_quit_ends_the_session_and_nothing_behind_it_is_done(side: RecipientSide) -> None:
    protocol, transport = session(side)
    protocol.dataReceived(b"QUIT\r\nEHLO relay.example\r\n")
    assert transport.value().splitlines()[1:] == [b"221 2.0.0 Bye"]
    assert transport.disconnecting
    protocol.connectionLost()


def test_a_bare_line_feed_ends_the_session(side: RecipientSide) -> None:
    protocol, transport = session(side)
    protocol.dataReceived(b"EHLO relay.example\nMAIL FROM:<a@example.org>\r\n")
    assert transport.value().splitlines()[1:] == [b"500 5.5.2 Command lines must end in CR LF, not in a bare LF"]
    assert transport.disconnecting
    protocol.connectionLost()


def test_a_silent_client_is_told_goodbye(side: RecipientSide) -> None:
    protocol, transport = session(side)
    protocol.timeoutConnection()
    assert transport.value().splitlines()[1].startswith(b"421 4.4.2")
    assert transport.disconnecting
    protocol.connectionLost()


@given(st.lists(st.integers(0, 200)))
def test_chunks_do_not_matter(places: list[int]) -> None:
    dialogue = START + b"RCPT TO:<a@example.org>\r\nDATA\r\n" + MAIL + b"RSET\r\nQUIT\r\n"
    cuts = [0, *sorted(place for place in places if place < len(dialogue)), len(dialogue)]
    side = RecipientSide()
    protocol, transport = session(side)
    for begin, end in pairwise(cuts):
        protocol.dataReceived(dialogue[begin:end])
    protocol.connectionLost()
    assert side.last[0].content == b"Subject: hello\r\n\r\n.with a dot\r\n"
    assert transport.value().endswith(b"250 2.0.0 Ok\r\n221 2.0.0 Bye\r\n")


@given(
    st.lists(st.sampled_from([b"EHLO x", b"MAIL FROM:<>", b"RCPT TO:<a@b.example>", b"DATA", b".", b"RSET", b"\xff"]))
)
def test_any_order_of_lines_is_answered(lines: list[bytes]) -> None:
    protocol, transport = session(RecipientSide())
    protocol.dataReceived(b"".join(line + b"\r\n" for line in lines))
    protocol.connectionLost()
    assert all(line[:3].isdigit() for line in transport.value().splitlines())


@pytest_twisted.ensureDeferred
async def test_a_session_over_starttls_with_a_certificate(tmp_path: Path) -> None:
    settings = Settings(server=Server(hostname="mx.demo.example", data=str(tmp_path)))
    side = RecipientSide(server_side_tls(tls.files(settings)))
    port = side.listen(reactor)

    def send() -> None:
        context = ssl.create_default_context(cafile=str(tmp_path / "certificate.pem"))
        with smtplib.SMTP("127.0.0.1", port.getHost().port, "relay.example", 10) as client:
            assert client.starttls(context=context)[0] == 220
            client.ehlo()
            assert not client.has_extn("starttls")
            client.sendmail("shop@example.org", ["a@example.org"], b"Subject: hello\r\n\r\nsafe\r\n")

    try:
        assert port.getHost().host == "127.0.0.1"
        await deferToThread(send)
    finally:
        await maybeDeferred(port.stopListening)
    assert side.count == 1
    assert side.last[0].tls


def test_what_came_in_clear_text_behind_starttls_is_forgotten() -> None:
    side = RecipientSide(tls=object())
    protocol, transport = session(side)
    transport.startTLS = lambda factory: None
    protocol.dataReceived(b"EHLO relay.example\r\nSTARTTLS\r\nMAIL FROM:<a@example.org>\r\n")
    assert transport.value().endswith(b"220 2.0.0 Ready to start TLS\r\n")
    protocol.dataReceived(b"MAIL FROM:<a@example.org>\r\n")
    assert transport.value().endswith(b"503 5.5.1 Send EHLO first\r\n")
    protocol.connectionLost()
