"""What people read in a message is found, and nobody can make that take long."""

from __future__ import annotations

import encodings
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postmeter_stores.mime import MAX_FIELD, MAX_PARTS, subject, texts

MULTIPART = b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n"
HEADER, BODY = 131_072, 65_536  # octets, the most that a plugin is shown


def multiparts(depth: int) -> bytes:
    """Each within the one before; the innermost has empty lines."""
    begin = MULTIPART % 0 + b"".join(b"--b%d\r\n" % n + MULTIPART % (n + 1) for n in range(depth))
    return begin + b"--b%d\r\n\r\n" % depth + b"\r\n" * ((BODY - len(begin)) // 2)


def prefixes(depth: int) -> bytes:
    """Multiparts whose boundaries are each the beginning of the next one."""
    begin = MULTIPART % 1 + b"".join(
        b"--b%s\r\nContent-Type: multipart/mixed; boundary=b%s\r\n\r\n" % (b"1" * n, b"1" * (n + 1))
        for n in range(1, depth)
    )
    return begin + (b"--b" + b"1" * 69 + b"\r\n") * ((BODY - len(begin)) // 74)


@pytest.mark.parametrize(
    "mail",
    [
        multiparts(20), multiparts(49), multiparts(600), multiparts(1_200), prefixes(49),
        MULTIPART % 0 + b"--b0\n\n" * (BODY // 6),
        MULTIPART % 0 + b"--b0" + b" " * BODY,
        MULTIPART % 0 + b"--b0--x\n" * (BODY // 8),
        MULTIPART % 0 + b"--b0\r\nContent-Type: text/plain; a=\"" + b";" * BODY + b"\r\n\r\nx",
        b"Content-Type: text/plain; a=\"" + b";" * HEADER + b"\r\n\r\nx",
        b"Content-Type: multipart/mixed; a=\"" + b";" * HEADER + b"\r\n\r\nx",
        b"Content-Type: text/plain" + b"".join(b";a*%d=x" % n for n in range(14_000)) + b"\r\n\r\nx",
        b"Content-Type: text/plain; charset*=" + b"'" * HEADER + b"\r\n\r\nx",
        b"a:\r\n" * (HEADER // 4) + b"\r\n",
        b"Subject:\r\n" * (HEADER // 10) + b"\r\n",
        b"Subject: x" + b"\r\n " * (HEADER // 3) + b"\r\n\r\n",
        b"Subject" + b" " * HEADER + b"\r\n\r\n",
        b"Subject: " + b"=?a?q?" * (HEADER // 6) + b"\r\n\r\n",
        b"Subject: " + b"=?utf-8?b?eA==?= " * (HEADER // 17) + b"\r\n\r\n",
        b"Content-Type: message/rfc822\r\n\r\n" * (BODY // 32),
        b"Content-Type: message/delivery-status\r\n\r\n" + b"a:\n\n" * (BODY // 4),
        b"\r\n" + b"x" * BODY, b"\r\n" + b"\r" * BODY, b"\r\n" * (BODY // 2),
        b"Content-Type: text/html\r\n\r\n" + b"&" * BODY,
        b"Content-Type: text/html\r\n\r\n" + b"<a " * (BODY // 3),
        b"Content-Transfer-Encoding: base64\r\n\r\n" + b"A\n" * (BODY // 2),
        b"Content-Transfer-Encoding: quoted-printable\r\n\r\n" + b" " * BODY,
        b"Content-Transfer-Encoding: x-uuencode\r\n\r\nbegin 644 x\n" + b"!\n" * (BODY // 2),
        *(b"Content-Type: text/plain; charset=%s\r\n\r\n" % name + b"\\a-" * (BODY // 3)
          for name in (b"punycode", b"idna", b"unicode-escape", b"raw_unicode_escape", b"utf-7", b"hz", b"utf-16")),
    ],
)  # fmt: skip
def test_nothing_takes_long(mail: bytes) -> None:
    begun = time.thread_time()
    subject(mail)
    for _ in texts(mail):
        pass
    assert time.thread_time() - begun < 0.3  # a twentieth of it is usual


@pytest.mark.parametrize(
    ("mail", "found"),
    [
        (b"\r\nhello", ["hello"]),
        (b"Content-Type: image/png\r\n\r\nhello", []),
        (MULTIPART % 0 + b"before\r\n--b0\r\n\r\none\r\n--b0 \t\r\n\r\ntwo\r\n--b0--\r\n", ["one", "two"]),
        (MULTIPART % 0 + b"--b0\n\none\n--b0\nContent-Type: text/html\n\n<p>t<b>w</b>o\n--b0--", ["one", "two"]),
        (MULTIPART % 1 + b"--b1\n" + MULTIPART % 12 + b"--b12\n\nin\n--b12--\n--b1\n\nout", ["in", "out"]),
        (b"Content-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\nforwarded", ["forwarded"]),
        (b"Content-Type: multipart/mixed\r\n\r\n--\r\n\r\nno boundary", []),
        (b"Content-Type: multipart/mixed; boundary=%s\r\n\r\n--%s\r\n\r\nx" % (b"b" * 71, b"b" * 71), []),
        (b"Content-Type: multipart/mixed;\r\n boundary*0=b; boundary*1=.c\r\n\r\n--b.c\r\n\r\nfolded", ["folded"]),
        (b"Content-Type: text/plain; charset*=x'y'latin-1\r\n\r\n\xfc", ["ü"]),
        (b"Content-Type: text/plain; charset=unicode_escape\r\n\r\n\\x41", ["\\x41"]),
        (MULTIPART % 0 + b"--b0\r\n\r\nx --b0\r\n--b01", ["x --b0\r\n--b01"]),
    ],
)  # fmt: skip
def test_texts_are_found_where_they_are(mail: bytes, found: list[str]) -> None:
    assert [text.strip() for text in texts(mail) if text] == found


def test_so_many_parts_are_looked_at() -> None:
    assert len([*texts(MULTIPART % 0 + b"--b0\r\n\r\nx\r\n" * 999)]) == MAX_PARTS - 1


@pytest.mark.parametrize(
    ("header", "text"),
    [
        (b"Subject: Order\r\n #5\r\n", "Order #5"), (b"SUBJECT : x\r\nSubject: y\r\n", "x"), (b"X-Subject: x\r\n", ""),
        ("Subject: für Sie\r\n".encode(), "für Sie"), (b"Subject: f\xfcr Sie\r\n", "f\ufffdr Sie"),
        (b"Subject: =?utf-8?q?f=C3=BCr?= Sie\r\n", "für Sie"),
        (b"Subject: =?utf-8?q?f=C3?=\r\n =?utf-8?q?=BCr?=\r\n", "für"),
        (b"Subject: a =?iso-8859-15?q?=A4?= 5\r\n", "a € 5"),
        (b"Subject: =?hex?q?41?= 5\r\n", "=?hex?q?41?= 5"),
        (b"Subject: " + b"x" * 9_999, "x" * MAX_FIELD),
    ],
)  # fmt: skip
def test_a_subject_is_unfolded_and_decoded(header: bytes, text: str) -> None:
    assert subject(header) == text


def test_python_is_not_made_to_remember_names_that_strangers_made_up() -> None:
    known = len(encodings._cache)  # type: ignore[attr-defined]
    for number in range(9):
        list(texts(b"Content-Type: text/plain; charset=made-up-%d\r\n\r\nx" % number))
        list(texts(b"Content-Type: text/plain; charset=utf-%s8\r\n\r\nx" % (b"-" * number)))
        subject(b"Subject: =?made-up-%d?q?x?=\r\n" % number)
    assert len(encodings._cache) <= known + 1  # type: ignore[attr-defined]


@given(st.binary(max_size=300), st.sampled_from([b"", MULTIPART % 0, b"Content-Type: text/html; charset", b"Subject:"]))
def test_whatever_comes_can_be_read(octets: bytes, begin: bytes) -> None:
    assert isinstance(subject(begin + octets), str)
    assert all(isinstance(text, str) for text in texts(begin + octets))
