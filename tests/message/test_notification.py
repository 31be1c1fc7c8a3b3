"""A notification says what became of each recipient, to people and to machines, whatever servers have said."""

from __future__ import annotations

import email
import re
from dataclasses import replace
from email import policy
from email.message import EmailMessage
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postmeter.message.advice import ADVICE, advice
from postmeter.message.header import LINE_LENGTH, MAX_LINE, HeaderSection, split
from postmeter.message.notification import CLASSES, Original, Report, compose, from_xtext, head_of

ACCEPTED, TRIED, NOW = 1_800_000_000.0, 1_800_000_300.0, 1_800_000_301.0
HEAD = (
    b"Received: from [AUTH:7]\r\n by mail.test\r\n"
    b"From: a@shop.example\r\nSubject: Order\r\nMessage-ID: <1@shop.example>\r\n\r\n"
)
ORIGINAL = Original(HEAD, ACCEPTED, "QQ+2B314159")
FAILED = Report(
    "joe@kunde.example", "failed", "550 5.1.1 No such user", TRIED, "rfc822;Joe+2Bx@kunde.example", "mx.kunde.example"
)


def octets(*reports: Report, original: Original = ORIGINAL, to: str = "bounce@shop.example") -> bytes:
    return compose(original, reports or (FAILED,), to=to, hostname="mail.test", identifier="01M845D5", now=NOW)


def read(*reports: Report, **more: Any) -> EmailMessage:
    found = email.message_from_bytes(octets(*reports, **more), policy=policy.default)
    assert isinstance(found, EmailMessage)
    assert [part.defects for part in (found, *found.iter_parts())] == [[]] * 4
    return found


def parts(mail: EmailMessage) -> list[Any]:
    return list(mail.iter_parts())


def groups(mail: EmailMessage) -> list[dict[str, str]]:
    """The groups of fields for machines."""
    return [dict(group.items()) for group in parts(mail)[1].get_payload()]


def test_it_has_what_every_notification_has() -> None:
    mail = read()
    assert (mail["From"], mail["To"]) == ("MAILER-DAEMON <postmaster@mail.test>", "bounce@shop.example")
    assert (mail["Subject"], mail["Auto-Submitted"]) == ("Your mail could not be delivered", "auto-replied")
    assert parsedate_to_datetime(mail["Date"]).timestamp() == int(NOW)
    assert mail["Message-ID"] == "<01M845D5@mail.test>"
    assert (mail["In-Reply-To"], mail["References"]) == ("<1@shop.example>", "<1@shop.example>")
    assert (mail.get_content_type(), mail.get_param("report-type")) == ("multipart/report", "delivery-status")
    assert [part.get_content_type() for part in parts(mail)] == [
        "text/plain",
        "message/delivery-status",
        "text/rfc822-headers",
    ]
    assert octets().isascii()


def test_machines_read_what_became_of_each_recipient() -> None:
    late = Report("ann@example.net", "delayed", "451 4.7.1 Greylisted", None, retry_until=NOW + 86_400)
    passed = Report("bob@example.net", "relayed", "250 Ok", TRIED, remote="192.0.2.1")
    assert groups(read(FAILED, late, passed)) == [
        {
            "Reporting-MTA": "dns; mail.test",
            "Original-Envelope-Id": "QQ+314159",
            "Arrival-Date": "Fri, 15 Jan 2027 08:00:00 +0000",
        },
        {
            "Original-Recipient": "rfc822; Joe+x@kunde.example",
            "Final-Recipient": "rfc822; joe@kunde.example",
            "Action": "failed",
            "Status": "5.1.1",
            "Remote-MTA": "dns; mx.kunde.example",
            "Diagnostic-Code": "smtp; 550 5.1.1 No such user",
            "Last-Attempt-Date": "Fri, 15 Jan 2027 08:05:00 +0000",
        },
        {
            "Final-Recipient": "rfc822; ann@example.net",
            "Action": "delayed",
            "Status": "4.7.1",
            "Diagnostic-Code": "x-postmeter; 451 4.7.1 Greylisted",
            "Will-Retry-Until": "Sat, 16 Jan 2027 08:05:01 +0000",
        },
        {
            "Final-Recipient": "rfc822; bob@example.net",
            "Action": "relayed",
            "Status": "2.0.0",
            "Remote-MTA": "dns; [192.0.2.1]",
            "Diagnostic-Code": "smtp; 250 Ok",
            "Last-Attempt-Date": "Fri, 15 Jan 2027 08:05:00 +0000",
        },
    ]


def test_people_read_which_address_why_and_what_to_do() -> None:
    text = parts(read())[0].get_content().replace("\r\n", "\n")
    assert "Fri, 15 Jan 2027 08:00:00 +0000 with the subject\n\n    Order\n" in text
    assert "    joe@kunde.example\n        mx.kunde.example answered: 550 5.1.1 No such user\n" in text
    assert text.rstrip().endswith(advice("failed", "5.1.1")[-20:])
    assert max(map(len, text.splitlines())) <= LINE_LENGTH


def test_the_worst_is_in_the_subject() -> None:
    passed, late = (replace(FAILED, action=action) for action in ("relayed", "delayed"))  # type: ignore[arg-type]
    subjects = [read(*reports)["Subject"] for reports in ((passed, FAILED), (passed, late), (passed,))]
    assert subjects == ["Your mail could not be delivered", "Your mail is late", "Your mail was passed on"]


@pytest.mark.parametrize(
    ("reply", "action", "status"),
    [
        ("550 5.1.1 No such user", "failed", "5.1.1"),
        ("550-5.7.26 in\n550 5.7.26 lines", "failed", "5.7.26"),
        ("554 5.4.7 Delivery time expired; the last answer was: 451 4.4.1 No", "failed", "5.4.7"),
        ("550 No such user", "failed", "5.0.0"),
        ("550 2.1.1 odd", "failed", "5.0.0"),
        ("550 5.1.1.1 odd", "failed", "5.0.0"),
        ("451 4.4.1 No", "delayed", "4.4.1"),
        ("", "delayed", "4.0.0"),
        ("250 2.1.5 Ok", "relayed", "2.1.5"),
    ],
)
def test_the_status_is_of_the_actions_class(reply: str, action: Any, status: str) -> None:
    assert Report("joe@kunde.example", action, reply, TRIED).status == status


def test_the_header_section_comes_back_or_the_whole_mail() -> None:
    assert parts(read())[2].get_payload().strip().encode() == HEAD.strip()
    whole = replace(ORIGINAL, content=HEAD + b"Hello\r\n.\r\n")
    returned = parts(read(original=whole))[2]
    assert returned.get_content_type() == "message/rfc822"
    assert returned.get_payload(0)["Subject"] == "Order"
    assert b"\r\n\r\n" + HEAD + b"Hello\r\n.\r\n\r\n--=_" in octets(original=whole)


def test_a_body_with_8_bit_octets_comes_back_as_it_is() -> None:
    whole = replace(ORIGINAL, content=HEAD + "Grüße\r\n".encode())
    mail = read(original=whole)
    assert (mail["Content-Transfer-Encoding"], parts(mail)[2]["Content-Transfer-Encoding"]) == ("8bit", "8bit")
    assert HEAD + "Grüße\r\n".encode() in octets(original=whole)


def test_what_needs_utf8_is_encoded_while_the_senders_address_does_not() -> None:
    head = HEAD.replace(b"Order", "Größe".encode())
    mail = read(replace(FAILED, path="dörte+1@kunde.example", orcpt=""), original=replace(ORIGINAL, head=head))
    assert octets(original=replace(ORIGINAL, head=head)).isascii()
    assert groups(mail)[1]["Final-Recipient"] == r"utf-8; d\x{F6}rte\x{2B}1@kunde.example"
    assert parts(mail)[0].get_content().count("Größe") == 1
    assert parts(mail)[2].get_content_type() == "message/global-headers"
    encoded = octets(original=replace(ORIGINAL, head=head)).split(b"base64\r\n\r\n")[1].partition(b"\r\n\r\n")[0]
    assert email.base64mime.decode(encoded) == head


def test_an_address_in_utf8_gets_a_notification_in_utf8() -> None:
    found = octets(replace(FAILED, path="dörte@kunde.example"), to="käufer@shop.example").decode()
    assert "\r\nTo: <käufer@shop.example>\r\n" in found
    assert "Content-Type: message/global-delivery-status\r\nContent-Transfer-Encoding: 8bit\r\n" in found
    assert "\r\nFinal-Recipient: utf-8; dörte@kunde.example\r\n" in found


@pytest.mark.parametrize(
    "value", [b"no-brackets@shop.example", b"<a b@c>", b"<a@b> <c@d>", b"<" + b"a" * 300 + b"@b>", b""]
)
def test_an_odd_message_id_is_not_referred_to(value: bytes) -> None:
    head = HEAD.replace(b"<1@shop.example>", value)
    assert "References" not in read(original=replace(ORIGINAL, head=head))


replies = st.text(st.characters(exclude_categories=["Cs"]), max_size=3000)
paths = st.sampled_from(
    ["joe@kunde.example", '"a \\"b"@kunde.example', "dörte@kunde.example", "a" * 64 + "@kunde.example"]
)


@given(
    st.lists(st.builds(Report, paths, st.sampled_from(list(CLASSES)), replies, st.just(TRIED)), min_size=1, max_size=5)
)
def test_whatever_servers_have_said_it_is_well_formed_and_says_the_same(reports: list[Report]) -> None:
    made = octets(*reports)
    assert made.isascii()
    assert max(map(len, made.split(b"\r\n"))) <= MAX_LINE
    assert not re.search(rb"(?<!\r)\n|\r(?!\n)|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", made)
    HeaderSection.parse(split(made)[0])
    told = groups(read(*reports))[1:]
    assert [(one["Action"], one["Status"]) for one in told] == [(report.action, report.status) for report in reports]


@given(st.text(st.characters(codec="ascii", exclude_categories=["Cc"])))
def test_xtext_is_read_as_it_was_written(text: str) -> None:
    written = "".join(f"+{ord(one):02X}" if one in "+= " else one for one in text)
    assert from_xtext(written) == text


def test_a_header_section_that_was_cut_ends_with_a_whole_line() -> None:
    assert head_of(HEAD + b"Hello\r\n") == HEAD
    assert head_of(HEAD[:60]) == b"Received: from [AUTH:7]\r\n by mail.test\r\n"


@pytest.mark.parametrize("action", CLASSES)
def test_there_is_advice_for_every_status(action: Any) -> None:
    said = {advice(action, f"{CLASSES[action]}.{subject}.{detail}") for subject in range(8) for detail in range(40)}
    assert said == {text for of, _, text in ADVICE if of == action}
