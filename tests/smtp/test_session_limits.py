"""The submission session: how much of what it takes before it ends."""

from __future__ import annotations

import pytest

from postmeter.smtp import replies
from postmeter.smtp.events import EndOfContent, Mail
from postmeter.smtp.limits import Limits
from postmeter.smtp.patience import MAX_REFUSED, MAX_SURPLUS
from postmeter.smtp.session import Session
from support.dialogue import Driver, octet_by_octet
from support.submission import BODY, ENVELOPE, LOGIN, codes, logged_in, secure, until_end_of_content

MESSAGE = ENVELOPE + b"DATA\r\n" + BODY
SENT = [250, 250, 354, 250]

# Errors and logins


def test_the_last_error_closes_the_session_and_a_message_forgives_the_others() -> None:
    driver = logged_in(Limits(max_errors=3))
    assert codes(driver.send(b"TURN\r\nTURN\r\n" + MESSAGE)) == [500, 500, *SENT]
    assert codes(driver.send(b"TURN\r\nTURN\r\nTURN\r\nNOOP\r\n")) == [500, 500, 421]
    assert driver.session.closing


def test_login_tries_are_limited() -> None:
    driver = secure(Limits(max_login_failures=2))
    driver.send(b"EHLO client.example\r\n")
    assert codes(driver.send(b"AUTH PLAIN AGEAYg==\r\n" * 3)) == [535, 421]
    assert driver.session.closing
    assert len(driver.events) == 2


# Commands that are not about a message


@pytest.mark.parametrize(
    "line", [b"NOOP", b"RSET", b"VRFY a", b"EXPN a", b"HELP", b"EHLO client.example", b"HELO client.example"]
)
def test_junk_commands_in_a_row_are_limited(line: bytes) -> None:
    driver = secure(Limits(max_junk_commands=10))
    said = codes(driver.send((line + b"\r\n") * 12))
    assert said[:10] == said[:1] * 10
    assert said[10:] == [421]
    assert driver.written.splitlines()[-1].startswith(b"421 4.7.0 Too many commands without a message")


@pytest.mark.parametrize("line", [b"EHLO", b"RSET now", b"AUTH", b"STARTTLS", b"WHAT"])
def test_what_is_refused_is_an_error_and_no_junk(line: bytes) -> None:
    driver = secure(Limits(max_junk_commands=10, max_errors=100))
    driver.send((line + b"\r\n") * 20)
    assert not driver.session.closing
    assert codes(driver.send(b"NOOP\r\n" * 10)) == [250] * 10


def test_a_message_begins_the_count_of_junk_anew_and_a_transaction_does_not() -> None:
    driver = logged_in(Limits(max_junk_commands=10))  # its EHLO counts
    assert codes(driver.send((ENVELOPE + b"RSET\r\n") * 5))[-1] == 250
    assert codes(driver.send(MESSAGE + b"NOOP\r\n" * 11)) == SENT + [250] * 10 + [421]


def test_junk_in_clear_text_counts_inside_tls() -> None:
    driver = Driver(Session("mail.example.net", Limits(max_junk_commands=3)))
    driver.send(b"NOOP\r\nEHLO client.example\r\nSTARTTLS\r\n")
    driver.session.tls_started()
    assert codes(driver.send(b"NOOP\r\nNOOP\r\n")) == [250, 421]


# Messages


def test_a_session_has_so_many_messages_and_no_more() -> None:
    driver = logged_in(Limits(max_messages=2))
    assert codes(driver.send(MESSAGE * 3)) == [*SENT, *SENT, 421]
    assert driver.session.closing
    assert driver.written.splitlines()[-1].startswith(b"421 4.7.0 Enough messages")


def test_refused_messages_do_not_count_for_that() -> None:
    driver = logged_in(Limits(max_messages=1))
    for _ in range(5):
        until_end_of_content(driver)
        driver.session.answer(replies.from_domain_refused("shop.example"))
    driver.flush()
    assert codes(driver.send(MESSAGE)) == SENT


# Refused senders, recipients and messages


def test_refused_recipients_are_limited() -> None:
    driver = logged_in(Limits(max_errors=3))
    said = codes(driver.send(b"MAIL FROM:<>\r\n" + b"RCPT TO:<a@localhost>\r\n" * (MAX_REFUSED + 5)))
    assert said == [250] + [550] * MAX_REFUSED + [421]
    assert driver.session.closing


def test_a_message_forgives_refused_recipients() -> None:
    driver, refused = logged_in(), b"MAIL FROM:<>\r\n" + b"RCPT TO:<a@localhost>\r\n" * (MAX_REFUSED - 1) + b"RSET\r\n"
    driver.send(refused + MESSAGE + refused)
    assert not driver.session.closing


def test_recipients_behind_a_refused_sender_are_limited_and_chunks_behind_them() -> None:
    driver = logged_in(Limits(max_errors=3))
    driver.send(b"RCPT TO:<a@example.org>\r\n" * (MAX_REFUSED - 1) + b"BDAT 3 LAST\r\nabc")
    assert not driver.session.closing
    assert codes(driver.send(b"BDAT 3\r\nabc")) == [421]


def test_refusals_by_the_driver_are_limited() -> None:
    driver = logged_in()
    for _ in range(MAX_REFUSED + 1):
        driver.session.receive(b"MAIL FROM:<>\r\n")
        assert isinstance(driver.session.poll(), Mail)
        driver.session.answer(replies.connection_inactive("no DKIM entry"))
    assert codes(driver.flush()) == [550] * MAX_REFUSED + [421]
    assert driver.session.closing


def test_a_list_that_is_too_long_is_not_punished() -> None:
    driver = logged_in(Limits(max_recipients=2, max_errors=3))
    said = driver.send(b"MAIL FROM:<>\r\n" + b"RCPT TO:<a@example.org>\r\n" * 5000 + b"DATA\r\n" + BODY)
    assert codes(said) == [250, 250, 250] + [452] * 4998 + [354, 250]
    end = driver.events[-1]
    assert isinstance(end, EndOfContent)
    assert len(end.envelope.recipients) == 2


def test_it_may_not_go_on_for_ever_either() -> None:
    driver = logged_in(Limits(max_recipients=1))
    driver.send(b"MAIL FROM:<>\r\n" + b"RCPT TO:<a@example.org>\r\n" * (1 + MAX_SURPLUS))
    assert codes(driver.send(b"RCPT TO:<a@example.org>\r\nDATA\r\n")) == [421]


# Lines


def test_a_command_may_be_as_long_as_the_limits_say() -> None:
    driver = logged_in(Limits(max_command_line=1000, max_errors=100))
    assert codes(driver.send(b"NOOP ".ljust(998, b"x") + b"\r\n")) == [250]
    assert codes(driver.send(b"NOOP ".ljust(999, b"x") + b"\r\n")) == [500]
    assert codes(driver.send(b"MAIL FROM:<>".ljust(2046) + b"\r\nRSET\r\n")) == [250, 250]
    assert codes(driver.send(b"MAIL FROM:<>".ljust(2047) + b"\r\n")) == [500]


def test_a_line_of_a_login_may_be_as_long_as_the_limits_say() -> None:
    for before, start in ((b"", b"AUTH PLAIN "), (b"AUTH PLAIN\r\n", b"")):
        for length, status in ((1022, b"501 5.5.2"), (1023, b"500 5.5.6")):
            driver = secure(Limits(max_login_line=1024))
            driver.send(b"EHLO client.example\r\n" + before)
            assert driver.send(start.ljust(length, b"A") + b"\r\n").startswith(status)


# Who is no SMTP client


@pytest.mark.parametrize("before", [b"", b"NOOP\r\n", b"EHLO client.example\r\n"])
@pytest.mark.parametrize("hello", [b"\x16\x03", b"\x16\x03\x01\x02\0\r\n", b"\x16\x03\n", b"\x16\x03" + b"x" * 5000])
def test_a_tls_client_in_clear_text_is_turned_away_at_its_first_octets(before: bytes, hello: bytes) -> None:
    for cut in (octet_by_octet, lambda data: [data]):
        driver = Driver(Session("mail.example.net"))
        driver.send(before)
        said = b"".join(driver.send(piece) for piece in cut(hello))
        assert said == replies.NOT_TLS_YET.encode()
        assert driver.session.closing


def test_the_rest_of_a_long_line_is_no_tls_client() -> None:
    driver = Driver(Session("mail.example.net"))
    driver.send(b"x" * 600)
    assert driver.send(b"\x16\x03") == b""
    assert codes(driver.send(b"\r\nNOOP\r\n")) == [250]


def test_a_web_browser_is_turned_away() -> None:
    driver = Driver(Session("mail.example.net"))
    assert driver.send(b"GET / HTTP/1.1\r\nHost: mail.example.net\r\n") == replies.NOT_HTTP.encode()


def test_a_login_in_clear_text_does_not_try_the_patience_with_logins() -> None:
    driver = Driver(Session("mail.example.net", Limits(max_login_failures=1)))
    assert codes(driver.send(LOGIN * 3)) == [250, 538] * 3
