"""Which order a message is about: by its reference, or by a customer's pattern that cannot hold anybody up."""

from __future__ import annotations

import time
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postmeter import UsageError
from postmeter_stores.reference import MAX_PATTERN, NUMBER, Pattern, order_in, order_of

PATTERN = Pattern(r"(?i)(?:order|Bestellung)\s*(?:number:|#)?\s*([A-Z0-9-]*\d+)")
PARTED = b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n'


@pytest.mark.parametrize(
    ("reference", "number"),
    [
        ("order:1234", "1234"), ("1234", "1234"), ("Order #10023", "10023"), ("order: SW-10023 ", "SW-10023"),
        ("shop:de:order:2024/0815", "2024/0815"), ("order:", ""), ("", ""), ("#", ""), ("order:a|b", ""),
        ("order:[1]", ""), ("order:1,2", ""), ("order:%", ""), ("order:" + "1" * 65, ""), ("order:é", ""),
    ],
)  # fmt: skip
def test_the_last_part_of_a_reference_is_the_number(reference: str, number: str) -> None:
    assert order_of(reference) == number


def mail(text: str, subject: str = "Thank you", html: str = "", charset: str = "utf-8", cte: str = "8bit") -> bytes:
    made = EmailMessage()
    made["Subject"] = subject
    made.set_content(text, charset=charset, cte=cte)
    if html:
        made.add_alternative(html, subtype="html", cte="base64")
    return made.as_bytes().replace(b"\n", b"\r\n")


def found(octets: bytes, pattern: Pattern = PATTERN) -> str:
    head, line, body = octets.partition(b"\r\n\r\n")
    return order_in(pattern, head + line, body)


@pytest.mark.parametrize(
    ("octets", "number"),
    [
        (mail("nothing here"), ""),
        (mail("order 99", subject="Your order #1234"), "1234"),
        (mail("order 99", subject="Ihre Bestellung #1234 für Sie"), "1234"),
        (mail("Thank you for order #77"), "77"),
        (mail("Käufer, Bestellung 78", charset="iso-8859-15", cte="quoted-printable"), "78"),
        (mail("Käufer, Bestellung 79", cte="base64"), "79"),
        (mail("see below", html="<p>Order&nbsp;#<b>80</b> &amp; more</p>"), "80"),
        (mail("order 1 or", html="<p>order 2</p>"), "1"),
        (b"Subject: =?utf-8?q?Order_=2381?=\r\n\r\n", "81"),
        (b"Subject: x\r\nContent-Type: text/plain; charset=nobody\r\n\r\norder 82", "82"),
        (b"Subject: x\r\nContent-Type: text/plain; charset=hex\r\n\r\norder 83", "83"),
        (b"Subject: x\r\nContent-Type: text/plain; charset=punycode\r\n\r\norder 87", "87"),
        (b"Subject: x\r\nContent-Type: application/pdf\r\n\r\norder 84", ""),
        (PARTED + b"--b\r\n\r\norder 85, and the rest is cut o", "85"),
        (b"\r\norder 86", "86"),
        (b"Subject: =?nobody?q?Order_=2388?=\r\n\r\norder 89", "89"),
        (b"Subject: =?utf-8?b?x?= order 90\r\n\r\norder 91", "90"),
        (b"", ""),
    ],
)
def test_a_number_is_found_in_the_subject_or_in_the_decoded_text(octets: bytes, number: str) -> None:
    assert found(octets) == number


@given(st.binary(max_size=400))
def test_whatever_comes_has_a_number_or_none(octets: bytes) -> None:
    assert found(octets) == "" or NUMBER.fullmatch(found(octets))
    assert found(PARTED + octets) is not None


def test_what_a_shop_could_take_for_a_query_is_no_number() -> None:
    assert found(mail("order [1|2]"), Pattern(r"order (.*)")) == ""
    assert found(mail("nothing"), Pattern(r"order( \d+)?|nothing")) == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("(", r"missing \)"), (r"Order #\d+", "one group"), (r"(a)(b)", "one group"), (r"(\d+)(?=x)", "invalid perl"),
        (r"(a)\1", "invalid escape"), ("(" + "a" * MAX_PATTERN + ")", "more than 200"),
        (r"((?:.{1,30}){1,30})", "too large"), (r"(a{1001})", "invalid repetition"),
    ],
)  # fmt: skip
def test_a_pattern_that_cannot_be_is_refused_with_the_reason(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Pattern(text)


@pytest.mark.parametrize("text", [r"(a+)+$", r"^(?:a|aa)+(b)$", r"(?:.?){100}(b)c", r"(.*)*x", r"(?:a*)*(b)c"])
@pytest.mark.parametrize("letter", ["a", "é", "ab"])
def test_no_pattern_holds_anybody_up(text: str, letter: str) -> None:
    octets = mail(letter * (60_000 // len(letter)))
    begun = time.thread_time()
    found(octets, Pattern(text))
    assert time.thread_time() - begun < 1.5  # of the two seconds that the relay waits


@pytest.mark.parametrize(
    "octets",
    [
        b"Subject: " + b"=?a?q?" * 20_000 + b"\r\n\r\n",
        b"Content-Type: text/plain" + b';"' * 60_000 + b"\r\n\r\n",
        b"\r\n\r\n".join(b"--b\r\n" + PARTED[:-4] for _ in range(1_000)),
        PARTED + b"".join(b"--b\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" for _ in range(1_200)),
        PARTED + b"--b\r\n\r\n" * 7_000,
        b"Content-Type: text/html\r\n\r\n" + b"<" * 65_000,
        b"Content-Type: text/html\r\n\r\n" + b"<a" * 32_000 + b"&amp" * 100,
    ],
)
def test_no_message_holds_anybody_up(octets: bytes) -> None:
    begun = time.thread_time()
    assert found(octets) == ""
    assert time.thread_time() - begun < 1.5
