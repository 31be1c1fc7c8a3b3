"""The submission session: whatever comes as content, in whatever cutting, is content."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postmeter.message.envelope import Envelope, Recipient
from postmeter.smtp import replies
from postmeter.smtp.events import Content, EndOfContent, Mail, Rcpt
from postmeter.smtp.limits import Limits
from postmeter.smtp.session import Session
from support.dialogue import Driver, octet_by_octet
from support.submission import BODY, ENVELOPE, LOGIN, STORED, codes, logged_in, secure

# Content


@pytest.mark.parametrize("length", [999, 16_384, 16_385, 70_000])
def test_a_long_line_in_the_body_never_ends_the_content(length: int) -> None:
    driver = logged_in()
    inner = ENVELOPE + b"DATA\r\nFrom: evil@shop.example\r\n\r\nx\r\n"
    said = driver.send(ENVELOPE + b"DATA\r\n" + b"x" * length + b"\r\n" + inner + b".\r\nNOOP\r\n")
    assert codes(said) == [250, 250, 354, 550, 250]
    assert [type(event) for event in driver.events] == [Mail, Rcpt, EndOfContent]


@given(st.lists(st.sampled_from([b"QUIT", b"RSET", b"MAIL FROM:<a@b.example>", b"DATA", b"..", b"", b"x" * 1200])))
@settings(max_examples=60)
def test_no_line_of_a_body_is_executed(lines: list[bytes]) -> None:
    driver = logged_in()
    said = driver.send(ENVELOPE + b"DATA\r\n" + b"".join(line + b"\r\n" for line in lines) + b".\r\n")
    assert len(codes(said)) == 4
    assert [type(event) for event in driver.events if not isinstance(event, Content)] == [Mail, Rcpt, EndOfContent]
    assert not driver.session.closing


@pytest.mark.parametrize("sequence", [b"\n.\n", b"\n.\r\n", b"\r.\r", b"\r\n.\n", b"\r.\r\n", b"\r\n.\r", b"\n", b"\r"])
def test_bare_cr_and_bare_lf_do_not_pass(sequence: bytes) -> None:
    driver = logged_in()
    said = driver.send(ENVELOPE + b"DATA\r\nHello" + sequence + ENVELOPE + b".\r\n")
    assert said.splitlines()[-1].startswith(b"550 5.5.2 bare <")
    assert driver.content == b""


def test_the_content_comes_as_it_was_meant() -> None:
    driver = logged_in()
    driver.send(ENVELOPE + b"DATA\r\n")
    said = driver.send(BODY)
    assert said == b"250 2.0.0 Ok: queued as 01M845D52EFTKSJPV36DHCW3RR\r\n"
    assert [event for event in driver.events if isinstance(event, Content)] == [Content(STORED)]
    envelope = Envelope("orders@shop.example", (Recipient("customer@example.org"),))
    assert driver.events[-1] == EndOfContent(envelope, len(STORED), None)


def test_the_envelope_keeps_all_that_was_said() -> None:
    driver = logged_in()
    driver.send(
        b"MAIL FROM:<b\xc3\xbcro@shop.example> SMTPUTF8 BODY=8BITMIME RET=HDRS ENVID=4711\r\n"
        b"RCPT TO:<kunde@ex\xc3\xa4mple.org> NOTIFY=never\r\nRCPT TO:<a@localhost>\r\n"
        b"RCPT TO:<B@Example.org> ORCPT=rfc822;b@example.org\r\nDATA\r\n" + BODY
    )
    end = driver.events[-1]
    assert isinstance(end, EndOfContent)
    recipients = (Recipient("kunde@exämple.org", "NEVER"), Recipient("B@Example.org", "", "rfc822;b@example.org"))
    assert end.envelope == Envelope("büro@shop.example", recipients, "8BITMIME", True, "HDRS", "4711")


def test_a_large_message_does_not_wait_for_its_end() -> None:
    driver = logged_in()
    driver.send(ENVELOPE + b"DATA\r\n")
    for _ in range(50):
        driver.send((b"x" * 70 + b"\r\n") * 100)
    assert len([event for event in driver.events if isinstance(event, Content)]) == 5
    assert codes(driver.send(b".\r\n")) == [250]
    assert driver.content == (b"x" * 70 + b"\r\n") * 5000


def test_a_message_over_the_limit_is_refused_at_its_end_only() -> None:
    driver = logged_in(Limits(max_message_size=1000))
    said = driver.send(ENVELOPE + b"DATA\r\n" + (b"x" * 70 + b"\r\n") * 100)
    assert codes(said) == [250, 250, 354]
    assert driver.send(b".\r\n") == b"552 5.3.4 Message size exceeds 1000\r\n"
    assert driver.content == b""


def test_a_flawed_message_cannot_be_accepted_by_mistake() -> None:
    driver = logged_in()
    driver.send(ENVELOPE + b"DATA\r\n")
    driver.session.receive(b"a\nb\r\n.\r\n")
    assert isinstance(driver.session.poll(), EndOfContent)
    driver.session.answer(replies.queued("01M845D52EFTKSJPV36DHCW3RR"))
    assert codes(driver.flush()) == [550]


# Any bytes, any cutting

WORDS = [
    LOGIN,
    ENVELOPE,
    b"DATA\r\n",
    BODY,
    b".\r\n",
    b"RSET\r\n",
    b"NOOP\r\n",
    b"MAIL FROM:<>\r\n",
    b"RCPT TO:<a@localhost>\r\n",
    b"AUTH LOGIN\r\n",
    b"c2hvcA==\r\n",
    b"\r\n",
    b"\r",
    b"\n",
    b"\0",
    b"x" * 600,
    b"\xff",
    b"EHLO [::1]\r\n",
]


@given(st.lists(st.sampled_from(WORDS), max_size=25), st.lists(st.integers(1, 60), max_size=40))
@settings(max_examples=150)
def test_cutting_changes_neither_events_nor_replies(words: list[bytes], sizes: list[int]) -> None:
    data = b"".join(words)
    once, cut = secure(), secure()
    once.send(data)
    for size in sizes:
        cut.send(data[:size])
        data = data[size:]
    for piece in octet_by_octet(data[:200]):
        cut.send(piece)
    cut.send(data[200:])
    assert cut.written == once.written
    assert cut.events == once.events
    assert cut.session.closing is once.session.closing


@given(st.lists(st.one_of(st.binary(max_size=80), st.sampled_from(WORDS)), max_size=30), st.booleans())
@settings(max_examples=150)
def test_random_bytes_never_raise(pieces: list[bytes], tls: bool) -> None:
    driver = Driver(Session("mail.example.net", tls=tls))
    for piece in pieces:
        driver.send(piece)
    assert all(200 <= code < 600 for code in codes(driver.written))
