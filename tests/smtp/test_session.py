"""The submission session: what must hold whatever a client sends."""

from __future__ import annotations

import pytest

from postmeter.smtp import replies
from postmeter.smtp.events import EndOfContent, Login, Mail, Rcpt, StartTls
from postmeter.smtp.limits import Limits
from postmeter.smtp.reply import Reply
from postmeter.smtp.session import Session
from support.dialogue import Driver
from support.submission import BODY, ENVELOPE, LOGIN, STORED, codes, logged_in, secure, until_end_of_content

# STARTTLS


@pytest.mark.parametrize("behind", [b"\n", b"NOOP\r\n", LOGIN + ENVELOPE, b"\x16\x03\x01"])
def test_nothing_sent_behind_starttls_in_clear_text_is_executed(behind: bytes) -> None:
    driver = Driver(Session("mail.example.net"))
    driver.send(b"EHLO client.example\r\n")
    said = driver.send(b"STARTTLS\r\n" + behind)
    assert codes(said) == [501]
    assert driver.session.closing
    assert driver.events == []


def test_clear_text_between_the_question_and_tls_is_not_executed() -> None:
    session = Session("mail.example.net")
    session.receive(b"EHLO client.example\r\nSTARTTLS\r\n")
    assert isinstance(session.poll(), StartTls)
    session.outgoing()
    session.receive(b"NOOP\r\n")
    session.answer(replies.READY_FOR_TLS)
    assert session.closing
    assert session.outgoing() == b""
    assert session.poll() is None


def test_nothing_survives_starttls() -> None:
    driver = Driver(Session("mail.example.net"))
    driver.send(b"EHLO before.example\r\nSTARTTLS\r\n")
    assert driver.session.helo == "before.example"
    driver.session.tls_started()
    assert driver.session.tls
    assert driver.session.helo == ""
    assert codes(driver.send(b"AUTH PLAIN AHNob3AAc2VjcmV0\r\n")) == [503]
    assert codes(driver.send(LOGIN)) == [250, 235]
    assert driver.session.authenticated


def test_starttls_may_be_put_off() -> None:
    session = Session("mail.example.net")
    session.receive(b"EHLO client.example\r\nSTARTTLS\r\n")
    assert isinstance(session.poll(), StartTls)
    session.answer(Reply(454, "4.7.0", "TLS not available"))
    session.receive(b"MAIL FROM:<a@b.example>\r\n")
    assert session.poll() is None
    assert codes(session.outgoing()) == [220, 250, 454, 530]


def test_tls_cannot_start_unasked() -> None:
    with pytest.raises(RuntimeError):
        Session("mail.example.net").tls_started()


# Order and answers


def test_what_is_behind_the_end_of_content_waits_for_its_answer() -> None:
    driver = logged_in()
    until_end_of_content(driver, b"RSET\r\nQUIT\r\n")
    assert driver.session.poll() is None
    assert driver.session.outgoing() == b""
    driver.session.receive(b"NOOP\r\n")
    assert driver.session.poll() is None
    driver.session.answer(replies.LOCAL_ERROR)
    assert driver.session.poll() is None
    assert codes(driver.flush()) == [451, 250, 221]
    assert driver.session.closing


@pytest.mark.parametrize("reply", [replies.LOCAL_ERROR, replies.DISK_FULL, replies.QUOTA_EXHAUSTED])
def test_trouble_at_the_end_of_content_is_told_as_it_is(reply: Reply) -> None:
    driver = logged_in()
    until_end_of_content(driver)
    driver.session.answer(reply)
    assert driver.flush() == reply.encode()
    assert codes(driver.send(b"DATA\r\n")) == [503]


def test_all_recipients_of_a_transaction_share_one_content() -> None:
    driver = logged_in()
    recipients = b"".join(b"RCPT TO:<c%d@example.org>\r\n" % number for number in range(50))
    driver.send(b"MAIL FROM:<>\r\n" + recipients + b"DATA\r\n" + BODY)
    assert driver.content == STORED
    end = driver.events[-1]
    assert isinstance(end, EndOfContent)
    assert len(end.envelope.recipients) == 50


def test_a_refused_recipient_does_not_get_into_the_envelope() -> None:
    driver = logged_in()
    driver.session.receive(ENVELOPE)
    assert isinstance(driver.session.poll(), Mail)
    driver.session.answer(replies.SENDER_OK)
    assert isinstance(driver.session.poll(), Rcpt)
    driver.session.answer(Reply(556, "5.1.10", "The domain accepts no mail"))
    assert codes(driver.send(b"DATA\r\n")) == [250, 556, 554]


def test_a_refused_sender_begins_nothing() -> None:
    driver = logged_in()
    driver.session.receive(ENVELOPE)
    assert isinstance(driver.session.poll(), Mail)
    driver.session.answer(replies.from_domain_refused("shop.example"))
    assert driver.session.poll() is None
    assert codes(driver.flush()) == [550, 503]


def test_an_answer_needs_a_question() -> None:
    with pytest.raises(RuntimeError):
        Session("mail.example.net").answer(replies.OK)


def test_recipients_over_the_limit_are_put_off_and_the_others_stay() -> None:
    driver = logged_in(Limits(max_recipients=2, max_errors=3))
    said = driver.send(b"MAIL FROM:<>\r\n" + b"RCPT TO:<a@example.org>\r\n" * 40 + b"DATA\r\n" + BODY)
    assert codes(said) == [250, 250, 250] + [452] * 38 + [354, 250]


def test_one_bad_address_in_a_list_does_not_end_the_session() -> None:
    driver = logged_in(Limits(max_errors=3))
    said = driver.send(b"MAIL FROM:<>\r\n" + b"RCPT TO:<a@localhost>\r\n" * 9 + ENVELOPE[33:] + b"DATA\r\n" + BODY)
    assert codes(said) == [250] + [550] * 9 + [250, 354, 250]


# Addresses


@pytest.mark.parametrize("octet", [b"\n", b"\r", b"\0", b"\t", b"\x7f", b"\x0b"])
def test_no_control_character_gets_into_an_address(octet: bytes) -> None:
    driver = logged_in()
    driver.send(b"MAIL FROM:<>\r\n")
    said = driver.send(b'RCPT TO:<"a' + octet + b'b"@example.org>\r\n')
    assert codes(said) == [500 if octet == b"\n" else 501]
    assert not any(isinstance(event, Rcpt) for event in driver.events)


def test_a_line_feed_in_an_address_smuggles_no_second_recipient() -> None:
    driver = logged_in()
    driver.send(b"MAIL FROM:<>\r\nRCPT TO:<a@example.org>\nRCPT TO:<evil@example.org>\r\nDATA\r\n")
    assert [type(event) for event in driver.events] == [Mail]
    assert driver.session.closing


# Limits


def test_bytes_without_a_line_end_are_not_kept_and_close_the_session() -> None:
    driver = Driver(Session("mail.example.net"))
    said = b""
    for _ in range(40):
        said += driver.send(b"x" * 16_384)
        assert len(driver.session._lines.buffer) <= 16_384
    assert codes(said) == [500, 421]
    assert driver.session.closing


def test_what_waits_behind_an_open_event_asks_for_a_pause() -> None:
    driver = logged_in(Limits(max_junk_commands=20_000))
    until_end_of_content(driver)
    driver.session.receive(b"NOOP\r\n" * 10_000)
    assert not driver.session.wants_pause
    driver.session.receive(b"NOOP\r\n" * 2_000)
    assert driver.session.wants_pause
    driver.session.answer(replies.queued("01M845D52EFTKSJPV36DHCW3RR"))
    assert driver.session.poll() is None
    assert codes(driver.flush()) == [250] * 12_001
    assert not driver.session.wants_pause


# Login and odd commands


def test_login_is_neither_offered_nor_taken_in_clear_text() -> None:
    driver = Driver(Session("mail.example.net"))
    assert b"AUTH" not in driver.send(b"EHLO client.example\r\n")
    assert codes(driver.send(b"AUTH PLAIN AHNob3AAc2VjcmV0\r\nAUTH LOGIN\r\n")) == [538, 538]
    assert driver.events == []


def test_a_login_carries_what_the_client_said() -> None:
    driver = secure()
    driver.send(LOGIN)
    assert driver.events == [Login("PLAIN", "shop", "secret")]


@pytest.mark.parametrize(
    "line", [b"AUTH", b"MAIL", b"RCPT", b"\xff\xfe", b"\xc5\xbfEHLO x", b"MAIL FROM:<\xff@b.example>"]
)
def test_an_odd_command_is_refused_and_the_session_goes_on(line: bytes) -> None:
    driver = secure()
    driver.send(b"EHLO client.example\r\n")
    assert 500 <= codes(driver.send(line + b"\r\n"))[0] <= 530
    assert codes(driver.send(b"NOOP\r\n")) == [250]


def test_letters_that_only_look_like_a_verb_in_capitals_are_none() -> None:
    driver = logged_in()
    assert codes(driver.send("RſET\r\n".encode())) == [500]
    assert codes(driver.send("MAıL FROM:<>\r\n".encode())) == [500]


@pytest.mark.parametrize(
    ("argument", "helo"),
    [
        (b"client.example", "client.example"),
        (b"localhost", "localhost"),
        (b"[127.0.0.1]", "[127.0.0.1]"),
        (b"127.0.0.1", "127.0.0.1"),
        (b"[IPv6:2001:db8::1]", "[IPv6:2001:db8::1]"),
        (b"::1", "::1"),
        (b"web_1", "web_1"),
        (b"my shop", "my?shop"),
        (b"(b\xfcro) <pc>; by evil", "?b?ro???pc???by?evil"),
        ("büro".encode(), "b?ro"),
        (b"www.shop.example,www2.shop.example", "www.shop.example?www2.shop.example"),
        (b"http://shop.example/", "http:??shop.example?"),
        (b"=?UTF-8?Q?x?=", "??UTF-8?Q?x??"),
        (b"x" * 505, "x" * 255),
    ],
)
@pytest.mark.parametrize("verb", [b"EHLO", b"HELO", b"ehlo"])
def test_the_name_of_the_client_may_be_anything_and_is_made_fit_for_a_header_field(
    verb: bytes, argument: bytes, helo: str
) -> None:
    driver = secure()
    assert codes(driver.send(verb + b" " + argument + b"\r\n")) == [250]
    assert driver.session.helo == helo


@pytest.mark.parametrize("line", [b"EHLO", b"HELO", b"EHLO  "])
def test_a_client_has_to_name_itself(line: bytes) -> None:
    driver = secure()
    assert driver.send(line + b"\r\n").startswith(b"501 5.5.4")
    assert driver.session.helo == ""


# Ending


def test_shutting_down_waits_for_the_answer_of_an_open_event() -> None:
    driver = logged_in()
    until_end_of_content(driver)
    driver.session.shut_down()
    assert driver.session.outgoing() == b""
    assert not driver.session.closing
    driver.session.answer(replies.queued("01M845D52EFTKSJPV36DHCW3RR"))
    assert codes(driver.flush()) == [250, 421]
    assert driver.session.closing


@pytest.mark.parametrize("before", [b"", LOGIN, LOGIN + ENVELOPE])
def test_shutting_down_closes_at_once_when_nothing_is_open(before: bytes) -> None:
    driver = secure()
    driver.send(before)
    driver.session.shut_down()
    driver.session.refuse(replies.TIMED_OUT)
    assert driver.flush() == replies.SHUTTING_DOWN.encode()
    assert driver.send(b".\r\nNOOP\r\n") == b""
    assert driver.session.closing


@pytest.mark.parametrize("begin", [b"DATA\r\nHello\r\n", b"BDAT 7\r\nHello\r\nNOOP\r\n"])
def test_shutting_down_waits_for_the_end_of_a_content(begin: bytes) -> None:
    driver = logged_in()
    driver.send(ENVELOPE + begin)
    driver.session.shut_down()
    assert driver.flush() == b""
    assert codes(driver.send(b".\r\nNOOP\r\n" if b"DATA" in begin else b"BDAT 0 LAST\r\nNOOP\r\n")) == [250, 421]
    assert driver.session.closing


def test_a_content_that_takes_too_long_is_cut_also_when_the_server_stops() -> None:
    driver = logged_in()
    driver.send(ENVELOPE + b"DATA\r\nHello\r\n")
    driver.session.shut_down()
    driver.session.refuse(replies.SHUTTING_DOWN)
    assert driver.flush() == replies.SHUTTING_DOWN.encode()
    assert driver.session.closing


def test_an_answer_of_421_ends_the_session() -> None:
    driver = secure()
    driver.session.receive(LOGIN + ENVELOPE)
    assert isinstance(driver.session.poll(), Login)
    driver.session.answer(replies.TOO_MANY_SESSIONS)
    assert driver.session.poll() is None
    assert codes(driver.flush()) == [250, 421]
    assert driver.session.closing
    assert not driver.session.authenticated


def test_nothing_is_taken_behind_quit() -> None:
    driver = logged_in()
    assert codes(driver.send(b"QUIT\r\n" + ENVELOPE)) == [221]
    assert driver.events == []
