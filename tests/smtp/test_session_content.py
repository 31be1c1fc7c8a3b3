"""The submission session: whatever comes as content, in whatever cutting, is content."""

from __future__ import annotations

import pytest

from postmeter.message.envelope import Envelope, Recipient
from postmeter.smtp import replies
from postmeter.smtp.events import Content, EndOfContent, Mail, Rcpt
from postmeter.smtp.limits import Limits
from support.submission import BODY, ENVELOPE, STORED, codes, logged_in


@pytest.mark.parametrize("length", [999, 16_384, 16_385, 70_000])
def test_a_long_line_in_the_body_never_ends_the_content(length: int) -> None:
    driver = logged_in()
    inner = ENVELOPE + b"DATA\r\nFrom: evil@shop.example\r\n\r\nx\r\n"
    said = driver.send(ENVELOPE + b"DATA\r\n" + b"x" * length + b"\r\n" + inner + b".\r\nNOOP\r\n")
    assert codes(said) == [250, 250, 354, 550, 250]
    assert [type(event) for event in driver.events] == [Mail, Rcpt, EndOfContent]


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


def test_line_ends_may_be_normalised_and_long_lines_accepted() -> None:
    driver = logged_in(Limits(normalise_line_endings=True, accept_long_lines=True))
    said = driver.send(ENVELOPE + b"DATA\r\na\nb\r\r\nc\rd\n.\n" + b"x" * 2000 + b"\r\n.\r\n")
    assert codes(said) == [250, 250, 354, 250]
    assert driver.content == b"a\r\nb\r\nc\r\nd\r\n.\r\n" + b"x" * 2000 + b"\r\n"


def test_commands_must_end_in_crlf_also_when_content_is_normalised() -> None:
    driver = logged_in(Limits(normalise_line_endings=True))
    assert codes(driver.send(b"NOOP\nQUIT\r\n")) == [500]
    assert driver.session.closing
