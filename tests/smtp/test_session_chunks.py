"""The submission session: content that comes in chunks (RFC 3030)."""

from __future__ import annotations

import pytest

from postmeter.smtp import replies
from postmeter.smtp.events import Abandoned, Content, EndOfContent, Mail, Rcpt
from postmeter.smtp.limits import Limits
from postmeter.smtp.session import Session
from support.dialogue import Driver, octet_by_octet
from support.submission import ENVELOPE, LOGIN, STORED, codes, logged_in, secure

QUEUED = b"250 2.0.0 Ok: queued as 01M845D52EFTKSJPV36DHCW3RR\r\n"


def bdat(octets: bytes, last: bool = False) -> bytes:
    """The command and its chunk."""
    return b"BDAT %d%b\r\n%b" % (len(octets), b" LAST" if last else b"", octets)


def kinds(driver: Driver) -> list[type]:
    return [type(event) for event in driver.events]


def test_the_chunks_of_a_message_are_one_content() -> None:
    driver = logged_in()
    said = driver.send(ENVELOPE + bdat(STORED[:20]) + bdat(STORED[20:]) + b"BDAT 0 LAST\r\nNOOP\r\n")
    assert codes(said) == [250, 250, 250, 250, 250, 250]
    assert said.splitlines()[2] == b"250 2.0.0 20 octets received"
    assert kinds(driver) == [Mail, Rcpt, Content, EndOfContent]
    assert driver.events[2] == Content(STORED)
    end = driver.events[3]
    assert isinstance(end, EndOfContent)
    assert (end.size, end.flaw) == (len(STORED), None)


def test_the_answer_to_the_content_is_the_reply_to_the_last_chunk() -> None:
    driver = logged_in()
    driver.send(ENVELOPE)
    driver.session.receive(bdat(STORED, last=True) + b"NOOP\r\n")
    assert isinstance(driver.session.poll(), Content)
    assert isinstance(driver.session.poll(), EndOfContent)
    assert driver.session.poll() is None
    assert driver.session.outgoing() == b""
    driver.session.answer(replies.DISK_FULL)
    assert driver.session.poll() is None
    assert codes(driver.flush()) == [452, 250]


def test_an_empty_content_has_no_block() -> None:
    driver = logged_in()
    assert codes(driver.send(ENVELOPE + b"BDAT 0 LAST\r\n")) == [250, 250, 250]
    assert kinds(driver) == [Mail, Rcpt, EndOfContent]


def test_a_content_is_being_received_from_the_first_chunk_to_the_last_also_between_them() -> None:
    driver, states = logged_in(), []
    for data in (ENVELOPE, b"BDAT 4\r\n", b"From", b"NOOP\r\n", b"BDAT 2 LAST\r\n", b": "):
        driver.send(data)
        states.append(driver.session.in_content)
    assert states == [False, True, True, True, True, False]


@pytest.mark.parametrize("command", [b"RSET\r\n", b"EHLO client.example\r\n", b"HELO client.example\r\n"])
@pytest.mark.parametrize("chunk", [b"BDAT 0\r\n", bdat(b"From: "), bdat(b"a\nb"), bdat(b"x" * 70_000 + b"\r\n")])
def test_a_transaction_dropped_between_its_chunks_is_told(command: bytes, chunk: bytes) -> None:
    driver = logged_in()
    driver.send(ENVELOPE + chunk)
    assert codes(driver.send(command)) == [250]
    assert driver.events[-1] == Abandoned()
    assert not driver.session.in_content
    assert codes(driver.send(b"BDAT 0 LAST\r\n")) == [503]
    driver.events.clear()
    assert driver.send(ENVELOPE + bdat(STORED, last=True)).endswith(QUEUED)
    assert driver.content == STORED


def test_a_transaction_without_content_is_dropped_in_silence() -> None:
    driver = logged_in()
    driver.send(ENVELOPE + b"RSET\r\n" + bdat(b"NOOP\r\n") + b"EHLO client.example\r\n")
    assert kinds(driver) == [Mail, Rcpt]


@pytest.mark.parametrize("end", [b"QUIT\r\n", b"BDAT x\r\n", b"NOOP\n"])
def test_the_end_of_the_session_is_told_by_nothing_else(end: bytes) -> None:
    driver = logged_in()
    driver.send(ENVELOPE + bdat(b"From: "))
    driver.send(end)
    assert driver.session.closing
    assert kinds(driver) == [Mail, Rcpt]


def test_a_flaw_is_answered_at_every_chunk_and_ends_with_the_last() -> None:
    driver = logged_in()
    said = driver.send(ENVELOPE + bdat(b"a\nb\r\n") + bdat(b"c\r\n") + b"NOOP\r\n" + bdat(b"d\r\n", last=True))
    assert codes(said) == [250, 250, 550, 550, 250, 550]
    assert kinds(driver) == [Mail, Rcpt, EndOfContent]
    assert codes(driver.send(b"BDAT 0 LAST\r\n")) == [503]


def test_flawed_chunks_in_a_row_are_no_errors_but_they_end() -> None:
    driver = logged_in(Limits(max_errors=3))
    assert set(codes(driver.send(ENVELOPE + bdat(b"a\n") * 1000)[20:])) == {250, 550}
    assert not driver.session.closing
    assert codes(driver.send(bdat(b"a\n"))) == [421]
    assert driver.session.closing


def test_empty_chunks_in_a_row_are_junk() -> None:
    driver = logged_in(Limits(max_junk_commands=10))
    driver.send(ENVELOPE)
    assert codes(driver.send(bdat(b"") * 11)) == [250] * 9 + [421]


def test_a_flawed_content_cannot_be_accepted_by_mistake() -> None:
    driver = logged_in()
    driver.send(ENVELOPE + bdat(b"a\n"))
    driver.session.receive(b"BDAT 0 LAST\r\n")
    assert isinstance(driver.session.poll(), EndOfContent)
    driver.session.answer(replies.queued("01M845D52EFTKSJPV36DHCW3RR"))
    assert codes(driver.flush()) == [550]


def test_a_chunk_over_the_limit_is_left_out_and_answered_behind_its_octets() -> None:
    driver = logged_in(Limits(max_message_size=1000))
    driver.send(ENVELOPE + bdat(b"x" * 70 + b"\r\n"))
    assert driver.send(b"BDAT 1000000\r\n") == b""
    for _ in range(10):
        assert driver.send(b"QUIT\r\n" * 10_000) == b""
    assert len(driver.session._lines.buffer) == 0
    assert driver.send(b"QUIT\r\n" * 66_666 + b"QUIT") == b"552 5.3.4 Message size exceeds 1000\r\n"
    assert codes(driver.send(bdat(b"\r\n") + b"BDAT 0 LAST\r\n")) == [552, 552]
    assert driver.content == b""


def test_a_content_of_exactly_the_limit_fits() -> None:
    driver = logged_in(Limits(max_message_size=len(STORED)))
    assert driver.send(ENVELOPE + bdat(STORED, last=True)).endswith(QUEUED)
    assert codes(driver.send(ENVELOPE + bdat(STORED) + bdat(b"\r\n", last=True))) == [250, 250, 250, 552]


@pytest.mark.parametrize(
    ("before", "refusals"),
    [
        (b"", [503]),
        (b"MAIL FROM:<>\r\n", [250, 503]),
        (b"MAIL FROM:<>\r\nRCPT TO:<a@localhost>\r\n", [250, 550, 554]),
        (b"MAIL FROM:<x>\r\nRCPT TO:<a@example.org>\r\n", [501, 503, 503]),
    ],
)
@pytest.mark.parametrize("last", [False, True])
def test_the_octets_of_a_refused_chunk_are_never_executed(before: bytes, refusals: list[int], last: bool) -> None:
    driver = logged_in()
    hidden = ENVELOPE + b"DATA\r\n" + STORED + b".\r\nQUIT\r\n"
    said = driver.send(before + bdat(hidden, last) + b"NOOP\r\n")
    assert codes(said) == [*refusals, 250]
    assert not any(isinstance(event, Content | EndOfContent) for event in driver.events)
    assert not driver.session.in_content


def test_the_octets_of_a_refused_chunk_are_not_kept() -> None:
    driver = logged_in()
    driver.send(b"BDAT 99999999999999999999\r\n")
    for _ in range(50):
        assert driver.send(b"NOOP\r\n" * 10_000) == b""
        assert len(driver.session._lines.buffer) == 0


def test_refused_chunks_behind_a_refused_sender_are_no_errors() -> None:
    driver = logged_in(Limits(max_errors=3))
    said = driver.send(b"MAIL FROM:<x>\r\nRCPT TO:<a@example.org>\r\n" + bdat(b"QUIT\r\n") * 50 + b"NOOP\r\n")
    assert codes(said) == [501, 503] + [503] * 50 + [250]


def test_before_the_login_they_are() -> None:
    driver = secure(Limits(max_errors=3))
    assert codes(driver.send(b"EHLO client.example\r\n" + bdat(b"NOOP\r\n") * 3)) == [250, 530, 530, 421]
    assert driver.session.closing


@pytest.mark.parametrize("line", [b"BDAT 6", b"BDAT 6 LAST", b"BDAT", b"BDAT x", b"bdat 6"])
def test_in_clear_text_a_chunk_ends_the_session(line: bytes) -> None:
    driver = Driver(Session("mail.example.net"))
    driver.send(b"EHLO client.example\r\n")
    assert codes(driver.send(line + b"\r\nNOOP\r\n")) == [530]
    assert driver.session.closing


@pytest.mark.parametrize(
    "line",
    [
        b"BDAT",
        b"BDAT LAST",
        b"BDAT -1",
        b"BDAT 1.5",
        b"BDAT 4 FIRST",
        b"BDAT 4\tLAST",
        b"BDAT\t4",
        b"BDAT 4\0",
        b"BDAT \xd9\xa3",
        b"BDAT 4 L\xc3\x84ST",
        b"BDATA 4",
        b"BDAT:4",
        b"bdat " + b"0" * 600,
        b"BDAT " + b"9" * 21,
    ],
)
@pytest.mark.parametrize("before", [b"", ENVELOPE, ENVELOPE + b"BDAT 0\r\n"])
@pytest.mark.parametrize("cut", [lambda data: [data], octet_by_octet])
def test_a_chunk_that_nobody_can_find_the_end_of_ends_the_session(line: bytes, before: bytes, cut: object) -> None:
    driver = logged_in()
    driver.send(before)
    driver.events.clear()
    said = b"".join(driver.send(piece) for piece in cut(line + b"\r\n" + LOGIN + ENVELOPE))  # type: ignore[operator]
    assert said == replies.BAD_CHUNK.encode()
    assert driver.session.closing
    assert driver.events == []


def test_commands_of_another_transaction_are_out_of_order_between_chunks() -> None:
    driver = logged_in()
    said = driver.send(ENVELOPE + bdat(STORED) + ENVELOPE + b"DATA\r\nNOOP x\r\nVRFY a\r\nHELP\r\nBDAT 0 LAST\r\n")
    assert codes(said) == [250, 250, 250, 503, 503, 503, 250, 252, 214, 250]
    assert driver.content == STORED


def test_a_refused_session_does_not_wait_for_the_next_octets() -> None:
    driver = logged_in()
    driver.send(ENVELOPE + b"BDAT 100\r\nFrom: ")
    driver.session.refuse(replies.TIMED_OUT)
    assert driver.flush() == replies.TIMED_OUT.encode()
    assert driver.session.closing


@pytest.mark.parametrize("command", [b"RSET\r\n", b"EHLO client.example\r\n"])
def test_shutting_down_does_not_wait_for_a_content_that_was_dropped(command: bytes) -> None:
    driver = logged_in()
    driver.send(ENVELOPE + bdat(b"From: "))
    driver.session.shut_down()
    assert codes(driver.send(command + b"NOOP\r\n")) == [250, 421]
    assert driver.events[-1] == Abandoned()
    assert driver.session.closing


def test_a_large_content_is_handed_on_while_it_comes() -> None:
    driver, line = logged_in(), b"x" * 70 + b"\r\n"
    driver.send(ENVELOPE)
    for _ in range(50):
        driver.send(bdat(line * 100))
    assert len([event for event in driver.events if isinstance(event, Content)]) == 5
    assert driver.send(b"BDAT 0 LAST\r\n") == QUEUED
    assert driver.content == line * 5000


def test_line_ends_are_normalised_over_all_chunks() -> None:
    driver = logged_in(Limits(normalise_line_endings=True))
    said = driver.send(ENVELOPE + bdat(b"a\r") + bdat(b"\nb\r") + bdat(b"\r\r") + bdat(b"\nc\n.\nd", last=True))
    assert codes(said) == [250] * 6
    assert driver.content == b"a\r\nb\r\nc\r\n.\r\nd\r\n"


def test_long_lines_may_be_accepted() -> None:
    driver = logged_in(Limits(accept_long_lines=True))
    assert driver.send(ENVELOPE + bdat(b"x" * 5000, last=True)).endswith(QUEUED)
