"""What the relay takes out of and puts in front of a header section; everything else stays byte for byte."""

from __future__ import annotations

import re
from email.utils import parsedate_to_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postmeter.message.editing import PreparedHead, date_time, list_help_value, prepare, received, subject_of
from postmeter.message.header import Field, HeaderSection, split
from postmeter.smtp.reply import Refused
from support.corpus import MESSAGES, NEEDS_SMTPUTF8

NOW = 1_795_428_000
HELP = "<https://shop.example/help>"
LIST_HELP_FORM = re.compile(r"<(https://|mailto:)[^<> ]+>(, <(https://|mailto:)[^<> ]+>)?")
STRIPPED = (
    b"return-path",
    b"bcc",
    b"resent-bcc",
    b"feedback-id",
    b"x-csa-complaints",
    b"x-postmeter-",
    b"postmeter-idempotency-key",
)


def prepared(head: bytes, keep: bool = True, smtputf8: bool = False, extra: tuple[Field, ...] = ()) -> PreparedHead:
    section = HeaderSection.parse(head, smtputf8=smtputf8)
    return prepare(
        section,
        identifier="0ID",
        connection="0CONNECTION",
        hostname="mail.example.net",
        seconds=NOW,
        list_help=HELP,
        keep_list_help=keep,
        smtputf8=smtputf8,
        extra=extra,
    )


def test_a_bare_message_gets_what_it_lacks() -> None:
    extra = (Field.make("X-Tag", "a"),)
    assert prepared(b"From: a@shop.example\r\n\r\n", extra=extra).section.raw == (
        b"Received: from [AUTH:0CONNECTION]\r\n"
        b" by mail.example.net with ESMTPSA\r\n"
        b" id 0ID; Mon, 23 Nov 2026 10:00:00 +0000\r\n"
        b"List-Help: <https://shop.example/help>\r\n"
        b"Date: Mon, 23 Nov 2026 10:00:00 +0000\r\n"
        b"Message-ID: <0ID@mail.example.net>\r\n"
        b"X-Tag: a\r\n"
        b"From: a@shop.example\r\n"
        b"\r\n"
    )


@pytest.mark.parametrize("name", MESSAGES)
def test_the_rest_of_the_corpus_stays_byte_for_byte_and_in_order(name: str) -> None:
    head, _ = split(MESSAGES[name])
    smtputf8 = name in NEEDS_SMTPUTF8
    before = HeaderSection.parse(head, smtputf8=smtputf8)
    after = prepared(head, smtputf8=smtputf8).section
    kept = [field for field in before.fields if not field.name.startswith(STRIPPED)]
    assert after.fields[len(after.fields) - len(kept) :] == tuple(kept)
    assert after.end == before.end
    assert after.count(b"date") == after.count(b"message-id") == after.count(b"list-help") == 1
    assert all(line in head or len(line) < 79 for line in after.raw.split(b"\r\n"))
    assert HeaderSection.parse(after.raw, smtputf8=smtputf8) == after


names = st.sampled_from(["To", "BCC", "bcc", "Return-Path", "Resent-Bcc", "X-Postmeter-Id", "X-Shop", "DKIM-Signature"])
fields = st.tuples(names, st.text(alphabet="ab \t", max_size=9), st.booleans())


@given(st.lists(fields))
def test_stripping_takes_whole_fields_and_nothing_else(made: list[tuple[str, str, bool]]) -> None:
    raw = [f"{name}:{value}{f'{chr(13)}{chr(10)} x' if fold else ''}\r\n".encode() for name, value, fold in made]
    after = prepared(b"From: a@shop.example\r\n" + b"".join(raw) + b"\r\n").section.raw
    stays = [line for line in raw if not line.lower().startswith(STRIPPED)]
    assert after.endswith(b"From: a@shop.example\r\n" + b"".join(stays) + b"\r\n")


def test_what_only_the_relay_may_say_is_stripped_with_its_folding() -> None:
    forged = (
        b"X-POSTMETER-Id: 1\r\n 2\r\nFeedback-ID: a:b\r\nX-CSA-Complaints: x\r\nReturn-Path: <a>\r\nBcc: b\r\n\tc\r\n"
    )
    after = prepared(b"From: a@shop.example\r\n" + forged + b"X-Mailer: shop\r\n\r\n").section
    assert after.raw.endswith(b"From: a@shop.example\r\nX-Mailer: shop\r\n\r\n")
    assert not any(field.name.startswith(STRIPPED) for field in after.fields)


@pytest.mark.parametrize(
    ("own", "keep", "value"),
    [
        (b"List-Help: <mailto:a@shop.example>\r\n", True, b"<mailto:a@shop.example>"),
        (b"LIST-HELP:<https://x.example/?a>,\r\n <mailto:a@b.c>\r\n", True, b"<https://x.example/?a>, <mailto:a@b.c>"),
        (b"List-Help: <mailto:a@shop.example>\r\n", False, HELP.encode()),
        (b"List-Help: <https://a.example>\r\nList-Help: <https://b.example>\r\n", True, HELP.encode()),
        (b"List-Help: <http://a.example>\r\n", True, HELP.encode()),
        (b"List-Help: https://a.example\r\n", True, HELP.encode()),
        (b"List-Help: <https://a.example/a b>\r\n", True, HELP.encode()),
        (b"List-Help: <https://a.example>,<https://b.example>\r\n", True, HELP.encode()),
        (b"List-Help:\r\n", True, HELP.encode()),
        (b"", True, HELP.encode()),
    ],
)  # fmt: skip
def test_exactly_one_valid_list_help_leaves(own: bytes, keep: bool, value: bytes) -> None:
    section = prepared(b"From: a@shop.example\r\n" + own + b"\r\n", keep).section
    assert section.count(b"list-help") == 1
    assert section.get(b"list-help") == value
    assert LIST_HELP_FORM.fullmatch(value.decode())


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("https://shop.example/help", "<https://shop.example/help>"),
        ("HTTPS://Shop.Example", "<https://Shop.Example>"),
        (" https://shop.example:8443/a?b=c,d#e ", "<https://shop.example:8443/a?b=c,d#e>"),
        ("help@shop.example", "<mailto:help@shop.example>"),
        ("mailto:help@shop.example?subject=why%20me", "<mailto:help@shop.example?subject=why%20me>"),
        ("<https://shop.example>, <mailto:a@shop.example>", "<https://shop.example>, <mailto:a@shop.example>"),
        ("<https://shop.example>,<mailto:a@shop.example>", "<https://shop.example>, <mailto:a@shop.example>"),
        ("https://shop.example a@shop.example", "<https://shop.example>, <mailto:a@shop.example>"),
    ],
)
def test_addresses_that_people_give_become_field_values(text: str, value: str) -> None:
    assert list_help_value(text) == value
    assert LIST_HELP_FORM.fullmatch(value)


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "shop.example", "http://shop.example", "ftp://shop.example", "javascript:alert(1)", "https://", "https://x",
        "https://user@shop.example", "https://shop.example/a b", "https://shop.example\r\nBcc: a@b.example",
        "https://shop.example\n", "https://shop.example/<x>", 'https://shop.example/"x"', "https://-.example",
        "https://müller.example", "mailto:", "mailto:a", "a@b", "a@b@shop.example",
        "mailto:a@shop.example,b@shop.example",
        "https://a.example https://b.example https://c.example", "<<https://shop.example>>", "https://shop.example\\@evil",
    ],
)  # fmt: skip
def test_what_is_no_list_help_address_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match=r"^(The|Give) .*\.$"):
        list_help_value(text)


def test_the_trace_field_names_the_protocol_and_no_address() -> None:
    assert b"with UTF8SMTPSA\r\n" in received("0ID", "0C", "mail.example.net", NOW, True).raw


@given(st.integers(0, 4_000_000_000))
def test_dates_are_those_of_rfc_5322(seconds: int) -> None:
    assert parsedate_to_datetime(date_time(seconds)).timestamp() == seconds


@pytest.mark.parametrize(
    ("subject", "text"),
    [
        (b"plain", "plain"),
        (b"=?utf-8?B?R3LDvMOfZQ==?=\r\n =?iso-8859-1?q?_K=F6ln?= !", "Grüße Köln !"),
        (b"=?utf-8?B?R3LDvMOfZQ?=", "Grüße"),
        (b"=?UTF-8*de?Q?=C3=BC?=", "ü"),
        (b"=?nonsense?Q?a?= =?hex?Q?a?=", "=?nonsense?Q?a?==?hex?Q?a?="),
        (b"=?utf-8?B?!!!a?=", "=?utf-8?B?!!!a?="),
        (b"=?utf-8?Q?a=00=1B=0D=0Ab=E2=80=AEc?=", "a  bc"),
        (b"a\tb", "a b"),
        (b"x" * 900, "x" * 200),
        (b"", ""),
    ],
)
def test_the_subject_is_kept_in_readable_form(subject: bytes, text: str) -> None:
    assert prepared(b"From: a@shop.example\r\nSubject: " + subject + b"\r\n\r\n").subject == text


def test_the_message_id_is_the_clients_or_ours() -> None:
    assert prepared(b"From: a@shop.example\r\n\r\n").message_id == "<0ID@mail.example.net>"
    assert prepared(b"From: a@shop.example\r\nMessage-Id: <1@x>\r\n\r\n").message_id == "<1@x>"


# The idempotency key


@pytest.mark.parametrize(
    ("field", "key"),
    [
        (b"", b""),
        (b"Postmeter-Idempotency-Key: order 17/a\r\n", b"order 17/a"),
        (b"POSTMETER-IDEMPOTENCY-KEY:  x \t\r\n", b"x"),
        (b"Postmeter-Idempotency-Key:\r\n order\r\n 17\r\n", b"order 17"),
        (b"Postmeter-Idempotency-Key: " + b"~" * 255 + b"\r\n", b"~" * 255),
        (b"X-Postmeter-Idempotency-Key: other\r\n", b""),
    ],
)
def test_the_key_is_read_and_does_not_leave(field: bytes, key: bytes) -> None:
    head = prepared(b"From: a@shop.example\r\n" + field + b"Subject: x\r\n\r\n")
    assert head.key == key
    assert head.section.raw.endswith(b"From: a@shop.example\r\nSubject: x\r\n\r\n")


@pytest.mark.parametrize(
    ("fields", "smtputf8", "text"),
    [
        ([b"a", b"b"], False, "at most one is allowed, found 2"),
        ([b"same", b"same", b"same"], False, "at most one is allowed, found 3"),
        ([b""], False, "1 to 255 printable ASCII characters are needed"),
        ([b" \t "], False, "1 to 255 printable ASCII characters are needed"),
        ([b"a\tb"], False, "1 to 255 printable ASCII characters are needed"),
        ([b"x" * 256], False, "1 to 255 printable ASCII characters are needed"),
        (["schlüssel".encode()], True, "1 to 255 printable ASCII characters are needed"),
    ],
)
def test_a_key_that_is_none_is_refused_with_a_sentence(fields: list[bytes], smtputf8: bool, text: str) -> None:
    raw = b"".join(b"Postmeter-Idempotency-Key: " + value + b"\r\n" for value in fields)
    with pytest.raises(Refused) as refused:
        prepared(b"From: a@shop.example\r\n" + raw + b"\r\n", smtputf8=smtputf8)
    assert str(refused.value) == f"550 5.6.0 Postmeter-Idempotency-Key: {text}"


@given(st.text(alphabet="=?utf-8BQbq*_ AZ0\t") | st.text(max_size=50))
def test_reading_a_subject_is_total(text: str) -> None:
    raw = b"Subject:" + text.replace("\r", "").replace("\n", "").encode() + b"\r\n"
    assert len(subject_of(HeaderSection((Field(b"subject", raw),)))) <= 200
