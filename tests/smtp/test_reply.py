"""Replies: their form on the wire, and the collection of what the server says."""

from __future__ import annotations

import re

import pytest

from postmeter.smtp import replies
from postmeter.smtp.limits import Limits
from postmeter.smtp.reply import Refused, Reply

NAMED = {name: value for name, value in vars(replies).items() if isinstance(value, Reply)}
MADE = {
    "message_too_large": replies.message_too_large(31457280),
    "connection_inactive": replies.connection_inactive("the DKIM record is missing"),
    "from_domain_refused": replies.from_domain_refused("shop.example"),
    "queued": replies.queued("01M845D52EFTKSJPV36DHCW3RR"),
}
DIALOGUE_ONLY = {"START_CONTENT", "ASK_PLAIN", "ASK_USER_NAME", "ASK_PASSWORD"}


@pytest.mark.parametrize("name", sorted({**NAMED, **MADE}))
def test_every_reply_is_one_short_line_with_an_enhanced_code_of_its_class(name: str) -> None:
    reply = {**NAMED, **MADE}[name]
    wire = reply.encode()
    assert wire.endswith(b"\r\n")
    assert wire.count(b"\n") == 1
    assert len(wire) <= 512
    assert wire.isascii()
    if name not in DIALOGUE_ONLY:
        assert re.fullmatch(rf"{reply.code // 100}\.\d\.\d{{1,2}}", reply.status)
        assert Reply.parse([wire[:-2]]) == reply


def test_our_own_trouble_is_never_permanent() -> None:
    ours = [
        replies.LOCAL_ERROR,
        replies.DISK_FULL,
        replies.OVERLOADED,
        replies.QUOTA_EXHAUSTED,
    ]
    assert all(reply.transient for reply in [*ours, replies.AUTHENTICATION_UNAVAILABLE, replies.ACCESS_CHANGED])


def test_the_queue_id_can_be_read_by_clients() -> None:
    assert replies.queued("01M845D52E").encode() == b"250 2.0.0 Ok: queued as 01M845D52E\r\n"


def test_ehlo_offers_login_inside_tls_only() -> None:
    clear, secure = (
        replies.ehlo("mail.example.net", Limits(max_message_size=1000), tls).encode() for tls in (False, True)
    )
    assert b"AUTH" not in clear
    assert b"250 STARTTLS\r\n" in clear
    assert b"STARTTLS" not in secure
    assert secure.endswith(b"250 AUTH PLAIN LOGIN\r\n")


def test_the_greeting_and_the_answer_to_helo_name_the_host() -> None:
    assert replies.greeting("mail.example.net").encode() == b"220 mail.example.net ESMTP\r\n"
    assert replies.helo("mail.example.net").encode() == b"250 mail.example.net\r\n"


def test_what_others_wrote_cannot_break_a_reply_line() -> None:
    evil = "a\r\n250 2.0.0 Ok\n\0ä" + "x" * 1000
    for make in (replies.connection_inactive, replies.from_domain_refused):
        wire = make(evil).encode()
        assert wire.count(b"\r") == wire.count(b"\n") == 1
        assert wire.isascii()
        assert len(wire) <= 512


def test_a_refusal_carries_its_reply() -> None:
    assert Refused(replies.DISK_FULL).reply is replies.DISK_FULL


def test_permanence_follows_the_code() -> None:
    assert [Reply(code, "", "").permanent for code in (250, 354, 450, 550)] == [False, False, False, True]
    assert [Reply(code, "", "").transient for code in (250, 354, 450, 550)] == [False, False, True, False]
    assert [Reply(code, "", "").positive for code in (250, 354, 450, 550)] == [True, True, False, False]


def test_a_reply_of_several_lines_marks_all_but_the_last() -> None:
    assert Reply(550, "5.7.1", "no\nand no").encode() == b"550-5.7.1 no\r\n550 5.7.1 and no\r\n"


@pytest.mark.parametrize("lines", [[], [b"hello"], [b"250-a", b"550 b"], [b"650 x"], [b"25"]])
def test_what_is_no_reply_is_not_parsed(lines: list[bytes]) -> None:
    with pytest.raises(ValueError):
        Reply.parse(lines)
