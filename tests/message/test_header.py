"""The header section: what is read, what is refused, and that no octet changes."""

from __future__ import annotations

import contextlib
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from postmeter.message.header import Field, HeaderLimits, HeaderSection, head_size, split
from postmeter.message.originator import originator_domains
from postmeter.smtp.reply import Refused, Reply
from support.corpus import MESSAGES, NEEDS_SMTPUTF8

FROM = b"From: a@shop.example\r\n"


def refusal(head: bytes, smtputf8: bool = False) -> Reply:
    with pytest.raises(Refused) as refused:
        originator_domains(HeaderSection.parse(head, smtputf8=smtputf8))
    return refused.value.reply


@pytest.mark.parametrize("name", MESSAGES)
def test_the_corpus_is_read_and_stays_byte_for_byte(name: str) -> None:
    head, body = split(MESSAGES[name])
    section = HeaderSection.parse(head, smtputf8=name in NEEDS_SMTPUTF8)
    assert section.raw + body == MESSAGES[name]
    assert originator_domains(section)[0] == "shop.example"


def test_fields_keep_folding_and_order() -> None:
    section = HeaderSection.parse(FROM + b"SUBJECT:a\r\n\tb  \r\nTo: x\r\nto: y\r\n\r\n")
    assert [field.name for field in section.fields] == [b"from", b"subject", b"to", b"to"]
    assert section.fields[1].raw == b"SUBJECT:a\r\n\tb  \r\n"
    assert section.get(b"subject") == b"a\tb"
    assert section.count(b"to") == 2
    assert section.get(b"cc") is None
    assert section.without(b"to", b"from").raw == b"SUBJECT:a\r\n\tb  \r\n\r\n"


def test_a_section_without_an_empty_line_gets_none() -> None:
    assert HeaderSection.parse(FROM).raw == FROM
    assert split(FROM) == (FROM, b"")


def test_a_content_that_begins_with_an_empty_line_has_no_fields() -> None:
    head, body = split(b"\r\nFrom: a@shop.example\r\n\r\n")
    assert (head, HeaderSection.parse(head).fields) == (b"\r\n", ())
    assert body == FROM + b"\r\n"
    assert refusal(head).text == "From: exactly one is needed, found none"


@pytest.mark.parametrize(
    ("head", "text"),
    [
        (b" folded\r\n" + FROM, "folded line"),
        (b"\t\r\n" + FROM, "folded line"),
        (FROM + b"no colon\r\n", "without a colon: no colon"),
        (FROM + b"Bad name: x\r\n", "field name: Bad name"),
        (FROM + b"Subject : x\r\n", "field name: Subject"),
        (FROM + b": x\r\n", "field name: "),
        (FROM + "Größe: x\r\n".encode(), "field name: Gr"),
        (b"From nobody Mon Nov 23 10:00:00 2026\r\n" + FROM, "field name: From nobody Mon Nov 23 10"),
        (FROM + b"Subject: a\0b\r\n", "Subject: control character"),
        (FROM + b"Subject: a\x1b[31mb\r\n", "Subject: control character"),
        (FROM + b"Subject: a\x7f\r\n", "Subject: control character"),
        (FROM + b"Subject: a\rb\r\n", "Subject: control character, bare CR"),
        (FROM + b"Subject: a\nBcc: b\r\n", "Subject: control character, bare CR or LF"),
        (FROM + "Subject: ü\r\n".encode(), "subject: has 8-bit characters, which need SMTPUTF8"),
        (b"", "From: exactly one is needed, found none"),
        (b"To: a@shop.example\r\n", "From: exactly one is needed, found none"),
        (FROM + FROM, "From: exactly one is needed, found 2"),
        (b"From:\r\n", "From: is empty"),
        (b"From: \r\n \r\n", "From: is empty"),
        (b"From: nobody\r\n", "From: is not a list of mail addresses"),
        (FROM + b"Sender: a@shop.example\r\nSender: b@shop.example\r\n", "Sender: at most one is allowed, found 2"),
        (FROM + b"Sender: a@shop.example, b@shop.example\r\n", "Sender: exactly one address is needed"),
        (FROM + b"X: y\r\n" * 1000, "more than 1000 fields"),
        (FROM + b"X: " + b"y" * 900 + b"\r\n" + (b" " + b"y" * 900 + b"\r\n") * 150, "larger than 131072 octets"),
    ],
)
def test_what_is_no_header_section_is_refused_with_the_field_named(head: bytes, text: str) -> None:
    reply = refusal(head + b"\r\n")
    assert (reply.code, reply.status) == (550, "5.6.0")
    assert text in reply.text
    assert reply.text.isprintable()
    assert reply.text.isascii()


@pytest.mark.parametrize(
    ("limits", "text"),
    [
        (HeaderLimits(size=99), "larger than 99 octets"),
        (HeaderLimits(fields=7), "more than 7 fields"),
        (HeaderLimits(received=5), "Routing loop detected"),
    ],
)
def test_the_limits_may_be_set(limits: HeaderLimits, text: str) -> None:
    head = FROM + b"Received: x\r\n" * 6 + b"X: y\r\n\r\n"
    assert len(head) == 108
    with pytest.raises(Refused) as refused:
        HeaderSection.parse(head, limits=limits)
    assert text in refused.value.reply.text
    assert len(HeaderSection.parse(head, limits=HeaderLimits(108, 8, 6)).fields) == 8


def test_a_field_without_a_line_end_is_refused() -> None:
    assert refusal(FROM + b"Subject: a").text == "Subject: control character, bare CR or LF, or no line end"


def test_a_header_section_in_utf8_needs_smtputf8_and_valid_utf8() -> None:
    head = FROM + "Subject: ü\r\n\r\n".encode()
    assert HeaderSection.parse(head, smtputf8=True).get(b"subject") == "ü".encode()
    assert refusal(FROM + b"Subject: \xfc\r\n\r\n", smtputf8=True).text == "subject: is not in UTF-8"


def test_more_than_fifty_servers_are_a_loop_but_fifty_are_not() -> None:
    hop = b"Received: by x; y\r\n"
    assert HeaderSection.parse(FROM + hop * 50).count(b"received") == 50
    assert refusal(FROM + hop * 51) == Reply(554, "5.4.6", "Routing loop detected")
    assert HeaderSection.read(FROM + hop * 51).count(b"received") == 51


@given(st.binary() | st.text(alphabet='aA:\r\n\t @<>\0ü"(,').map(str.encode), st.booleans())
@example(b"\r\n\r\n", True)
def test_parsing_is_total_and_loses_nothing(head: bytes, smtputf8: bool) -> None:
    try:
        section = HeaderSection.parse(head, smtputf8=smtputf8)
    except Refused:
        return  # and nothing else escapes
    assert section.raw == head


@given(st.binary() | st.text(alphabet="a:\r\n").map(str.encode))
def test_splitting_loses_nothing(content: bytes) -> None:
    head, body = split(content)
    assert head + body == content
    assert len(head) == head_size(content)
    assert not body or head == b"\r\n" or head.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    "head",
    [b"a" * 131_000, b"a: " * 40_000, b"a:\r\n" + b" \r\n" * 40_000, FROM + b" \r\n" * 40_000, b":" * 131_000],
)
def test_hostile_sections_take_no_time(head: bytes) -> None:
    begin = time.process_time()
    with contextlib.suppress(Refused):
        originator_domains(HeaderSection.parse(head))
    assert time.process_time() - begin < 0.5


def test_a_made_field_is_folded_at_blanks() -> None:
    field = Field.make("X-Tag", " ".join(["word"] * 40))
    lines = field.raw.decode().split("\r\n")
    assert max(map(len, lines)) <= 78
    assert field.name == b"x-tag"
    assert field.value == b" ".join([b"word"] * 40)
    assert Field.make("X-Url", "u" * 200).raw == b"X-Url: " + b"u" * 200 + b"\r\n"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X", "a\r\nBcc: b"),
        ("X", "a\nb"),
        ("X", "\0"),
        ("X Y", "a"),
        ("X:", "a"),
        ("", "a"),
        ("Ü", "a"),
        ("X", "a" * 999),
    ],
)
def test_a_made_field_cannot_carry_another(name: str, value: str) -> None:
    with pytest.raises(ValueError, match="not a header field"):
        Field.make(name, value)
