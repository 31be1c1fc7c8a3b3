"""Mail for the operator as it is passed on: every octet of it, in a mail that nothing in it can break out of."""

from __future__ import annotations

import email
import email.policy
from email.message import EmailMessage

import pytest

from postmeter.message.parts import Mail
from postmeter.message.passing_on import PassedOn, goes_round

IDENTIFIER = "01M845D52EFTKSJPV36DHCW3RR"
ORIGINAL = b"From: joe@example.org\r\nSubject: Stop it\r\n\r\nThis is spam.\r\n"


def passed(original: bytes, sender: str = "joe@example.org") -> bytes:
    mail = PassedOn("abuse@mail.example.net", sender, original)
    return mail.content(to="op@example.net", hostname="mail.example.net", identifier=IDENTIFIER, seconds=0)


def parsed(content: bytes) -> EmailMessage:
    message = email.message_from_bytes(content, policy=email.policy.SMTP)
    assert isinstance(message, EmailMessage)
    return message


@pytest.mark.parametrize("original", [ORIGINAL, ORIGINAL + b"\xff\x80", b"", b"no header\r\n", b"--x\r\n--x--"])
def test_the_original_is_in_it_octet_for_octet(original: bytes) -> None:
    content = passed(original)
    assert b"message/rfc822" in content
    start = content.rindex(b"\r\n\r\n", 0, content.index(original) + 4 if original else len(content)) if original else 0
    assert original in content[start:]
    assert content.endswith(b"--\r\n")


def test_who_has_sent_it_to_where_is_said() -> None:
    message = parsed(passed(ORIGINAL))
    assert message["Subject"] == "Mail to abuse@mail.example.net: Stop it"
    assert message["To"] == "op@example.net"
    text, attached = message.iter_parts()
    assert "<joe@example.org>" in text.get_content()
    assert attached.get_content_type() == "message/rfc822"


@pytest.mark.parametrize(
    "subject",
    [
        b"a\r\n\tb",
        b"=?utf-8?q?a=0D=0ABcc:_x@y.example?=",
        "Größe und mehr als das, was in ein einziges Wort hineingeht, das kodiert ist".encode(),
        b"x" * 5_000,
        b"\x00\x1b[2J",
    ],
)
def test_a_hostile_subject_stays_a_subject(subject: bytes) -> None:
    content = passed(b"Subject: " + subject + b"\r\n\r\nHello\r\n")
    head = content.partition(b"\r\n\r\n")[0]
    names = [line.partition(b":")[0] for line in head.split(b"\r\n") if line[:1] not in (b" ", b"\t")]
    assert names == [
        b"From", b"To", b"Subject", b"Date", b"Message-ID", b"Auto-Submitted", b"X-Auto-Response-Suppress",
        b"X-Postmeter-Passed-On", b"MIME-Version", b"Content-Type",
    ]  # fmt: skip
    assert head.isascii()
    assert max(map(len, head.split(b"\r\n"))) < 998


def test_a_subject_beyond_ascii_can_be_read() -> None:
    original = "Subject: Größe und mehr als das, was in ein einziges Wort geht\r\n\r\nHello\r\n".encode()
    assert parsed(passed(original))["Subject"].endswith(": Größe und mehr als das, was in ein einziges Wort geht")


@pytest.mark.parametrize(
    ("original", "round_"),
    [
        (ORIGINAL, False),
        (passed(ORIGINAL), True),
        (b"x-postmeter-passed-on: other.example\r\n\r\n", True),
        (b"Received: from a by b\r\n" * 51 + b"\r\n", True),
        (b"Received: from a by b\r\n" * 50 + b"\r\n", False),
    ],
)
def test_what_goes_round_is_known(original: bytes, round_: bool) -> None:
    assert goes_round(Mail.read(original)) is round_
