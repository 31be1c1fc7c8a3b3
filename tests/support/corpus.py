"""Complete messages of the kinds that shops, booking systems and forums send, and odd but legal ones, made by code."""

from __future__ import annotations

import base64
import quopri
import textwrap

_PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
_PDF = b"%PDF-1.4\n" + bytes(range(256)) * 40 + b"\n%%EOF\n"

_FROM = "From: Shop <shop@shop.example>"
_TO = "To: Anna Kunde <anna@kunde.example>"
_DATE = "Date: Mon, 23 Nov 2026 10:00:00 +0100"
_ID = "Message-ID: <4711@shop.example>"
_MIME = "MIME-Version: 1.0"
_PLAIN = "Content-Type: text/plain; charset=utf-8"
_8BIT = "Content-Transfer-Encoding: 8bit"
_BASE = (_FROM, _TO, "Subject: Your order 4711", _DATE, _ID)


def content(fields: tuple[str, ...], body: str | bytes) -> bytes:
    """A complete content; line feeds become CRLF, except in a body given as bytes."""
    head = "".join(f"{field}\n" for field in fields).replace("\n", "\r\n").encode()
    return head + b"\r\n" + (body if isinstance(body, bytes) else crlf(body))


def crlf(text: str) -> bytes:
    """The text without its indentation, with CRLF."""
    return textwrap.dedent(text).lstrip("\n").replace("\n", "\r\n").encode()


def _lines(octets: bytes) -> str:
    return base64.encodebytes(octets).decode()


def _multipart(kind: str, boundary: str, *parts: str) -> str:
    whole = "".join(f"--{boundary}\n{part}\n" for part in parts)
    return f'Content-Type: multipart/{kind};\n\tboundary="{boundary}"\n\n{whole}--{boundary}--\n'


def _mime(kind: str, boundary: str, *parts: str) -> bytes:
    """A MIME message whose body has these parts."""
    fields, _, body = _multipart(kind, boundary, *parts).partition("\n\n")
    return content((*_BASE, _MIME, fields), body.replace("\n", "\r\n").encode())


def _part(kind: str, text: str, encoding: str = "8bit", more: str = "") -> str:
    return f"Content-Type: {kind}\nContent-Transfer-Encoding: {encoding}\n{more}\n{text}"


_TEXT_PART = _part("text/plain; charset=utf-8", "Vielen Dank für Ihre Bestellung.\n")
_HTML_PART = _part("text/html; charset=utf-8", '<p>Vielen   Dank!</p>  \n\t<img src="cid:logo">\n')
_IMAGE_PART = _part("image/png", _lines(_PNG), "base64", "Content-ID: <logo>\n")
_PDF_PART = _part(
    "application/pdf", _lines(_PDF), "base64", 'Content-Disposition: attachment; filename="invoice-4711.pdf"\n'
)
_ALTERNATIVE = _multipart("alternative", "alt", _TEXT_PART, _HTML_PART)
_CALENDAR = "BEGIN:VCALENDAR\nMETHOD:REQUEST\nBEGIN:VEVENT\nUID:1@shop.example\nEND:VEVENT\nEND:VCALENDAR\n"

_KINDS: dict[str, bytes] = {
    "order confirmation with an inline image": _mime("related", "rel", _ALTERNATIVE, _IMAGE_PART),
    "invoice with a PDF": _mime("mixed", "mix", _TEXT_PART, _PDF_PART),
    "nested multipart": _mime("mixed", "a", _multipart("related", "b", _ALTERNATIVE, _IMAGE_PART), _PDF_PART),
    "alternative": _mime("alternative", "=_alt 1", _TEXT_PART, _HTML_PART),
    "preamble and epilogue": _mime("mixed", "p", _TEXT_PART) + b"Epilogue\r\n\r\n",
    "appointment": _mime("mixed", "cal", _part("text/calendar; method=REQUEST", _CALENDAR, "7bit")),
    "signed by S/MIME": _mime(
        'signed; protocol="application/pkcs7-signature"; micalg=sha-256',
        "sig",
        "Content-Type: text/plain\n\nHello  \n",
        _part("application/pkcs7-signature; name=smime.p7s", _lines(bytes(range(256)) * 8), "base64"),
    ),
    "delivery report": _mime(
        "report", "dsn", "\nfailed\n", "Content-Type: message/delivery-status\n\nAction: failed\n"
    ),
    "forwarded message": _mime(
        "mixed", "fwd", "Content-Type: message/rfc822\n\nFrom: a@b.example\nSubject: x\n\nbody\n"
    ),
    "password reset": content(_BASE, "https://shop.example/reset?token=abc&x=1\n\nValid for one hour.\n"),
    "shipping notice in 8-bit UTF-8": content((*_BASE, _MIME, _PLAIN, _8BIT), "Grüße aus Köln – Paket ist da €\n"),
    "double opt-in": content(
        (*_BASE, "List-Unsubscribe: <https://shop.example/u/1>", "List-Unsubscribe-Post: List-Unsubscribe=One-Click"),
        "Please confirm: https://shop.example/confirm/1\n",
    ),
    "Latin-1 body": content((*_BASE, _MIME, "Content-Type: text/plain; charset=iso-8859-1", _8BIT), b"Gr\xfc\xdfe\r\n"),
    "Base64 body": content(
        (*_BASE, _MIME, _PLAIN, "Content-Transfer-Encoding: base64"), _lines("Größe".encode() * 300)
    ),
    "quoted-printable body": content(
        (*_BASE, _MIME, _PLAIN, "Content-Transfer-Encoding: quoted-printable"),
        quopri.encodestring("Größe = 10 \n".encode() * 20).replace(b"\n", b"\r\n"),
    ),
    "all octets": content((*_BASE, _8BIT), bytes(o for o in range(1, 256) if o not in (10, 13)) + b"\r\n"),
}

_BODIES: dict[str, bytes] = {
    name: content(_BASE, body)
    for name, body in {
        "empty body": b"",
        "only one empty line": b"\r\n",
        "only empty lines": b"\r\n" * 7,
        "only lines of blanks": b"  \r\n\t\r\n \t \r\n",
        "blank lines at the end": b"text\r\n\r\n \r\n\t\r\n\r\n",
        "blank lines at the beginning": b"\r\n\r\n \r\ntext\r\n",
        "blank lines between": b"a\r\n\r\n\r\n \r\n\r\nb\r\n",
        "blanks at line ends": b"a \r\nb\t\r\nc \t \r\n\r\nd\r\n",
        "blanks at line beginnings": b" a\r\n\tb\r\n  \t c\r\n",
        "blanks inside": b"a  b\tc\t\td   e\r\n",
        "tabs only": b"\t\t\t\r\n\t\ta\t\t\r\n",
        "1,000 short lines": b"short\r\n" * 1000,
        "lines of 998 octets": (b"x" * 998 + b"\r\n") * 20,
        "lines of 998 blanks": (b" " * 998 + b"\r\n") * 20,
        "a dot at every line start": b".\r\n..\r\n.a\r\n. b\r\n" * 50,
        "From at line start": b"From here on\r\n>From there\r\nFrom: x\r\n",
        "looks like a header section": b"Subject: other\r\nFrom: other@evil.example\r\n\r\ntext\r\n",
        "looks like SMTP": b"MAIL FROM:<a@b.example>\r\nDATA\r\nQUIT\r\n",
        "one character": b"x\r\n",
        "larger than a block": b"  line \t with blanks  \r\n" * 20_000,
        "trailing blanks over a block": b"a\r\n" + b" \r\n" * 100_000 + b"b\r\n" + b"\r\n" * 100_000,
    }.items()
}

_LONG = " ".join(f"word{number}" for number in range(120))
_FOLDED = "\n ".join(f"part {number}" for number in range(60))
_REFERENCES = "\n\t".join(f"<{number}@shop.example>" for number in range(40))

_HEADS: dict[str, bytes] = {
    name: content(fields, "Text\n")
    for name, fields in {
        "no To": (_FROM, "Subject: x", _DATE, _ID),
        "missing Date and Message-ID": (_FROM, _TO, "Subject: x"),
        "only From": (_FROM,),
        "From last": (_TO, "Subject: x", _DATE, _FROM),
        "several To lines": (_FROM, _TO, "To: b@kunde.example", "To: c@kunde.example", "Subject: x", _DATE),
        "two Subjects": (_FROM, _TO, "Subject: a", "Subject: b", _DATE),
        "lower-case names": tuple(field[0].lower() + field[1:] for field in _BASE),
        "upper-case names": tuple(field.partition(":")[0].upper() + ":" + field.partition(":")[2] for field in _BASE),
        "no blank behind the colon": tuple(field.replace(": ", ":", 1) for field in _BASE),
        "blanks and tabs behind the colon": tuple(field.replace(": ", ": \t  ", 1) for field in _BASE),
        "blanks at the ends of values": tuple(field + "  \t" for field in _BASE),
        "value begins on the next line": (_FROM, _TO, "Subject:\n The subject", _DATE),
        "long folded Subject": (_FROM, _TO, "Subject: " + _FOLDED, _DATE),
        "folded with tabs": (_FROM, _TO, "Subject: a\n\tb\n\t\tc", _DATE),
        "line of blanks in a folded field": (_FROM, _TO, "Subject: a\n \n b", _DATE),
        "long unfolded Subject": (_FROM, _TO, "Subject: " + _LONG[:900], _DATE),
        "empty Subject": (_FROM, _TO, "Subject:", _DATE),
        "Subject of blanks": (_FROM, _TO, "Subject:   ", _DATE),
        "encoded words": (_FROM, _TO, "Subject: =?utf-8?B?R3LDvMOfZQ==?=\n =?iso-8859-1?Q?_K=F6ln?=", _DATE),
        "encoded display name": ("From: =?utf-8?q?M=C3=BCller_GmbH?= <shop@shop.example>", _TO, _DATE),
        "quoted display name": ('From: "Shop, the \\"best\\"" <shop@shop.example>', _TO, _DATE),
        "bare address": ("From: shop@shop.example", _TO, _DATE),
        "comment behind the address": ("From: shop@shop.example (The (best) Shop)", _TO, _DATE),
        "folded From": ("From: Shop\n <shop@shop.example>", _TO, _DATE),
        "two authors": ("From: shop@shop.example, Sales <sales@shop.example>", "Sender: shop@shop.example", _TO, _DATE),
        "existing DKIM-Signature": (
            *_BASE,
            "DKIM-Signature: v=1; a=rsa-sha256; d=other.example; s=x;\n h=from; bh=; b=",
        ),
        "existing List-Help": (*_BASE, "List-Help: <https://shop.example/why>"),
        "existing Received": ("Received: from php by web1;\n Mon, 23 Nov 2026 09:59:59 +0100", *_BASE),
        "many References": (*_BASE, "In-Reply-To: <1@shop.example>", "References: " + _REFERENCES),
        "Bcc and Return-Path": ("Return-Path: <x@shop.example>", *_BASE, "Bcc: secret@kunde.example"),
        "fields of the relay": (*_BASE, "Feedback-ID: a:b:c:d", "X-CSA-Complaints: x@y.example", "X-Postmeter-Id: 1"),
        "Reply-To and Cc": (*_BASE, "Reply-To: help@shop.example", "Cc: b@kunde.example, c@kunde.example"),
        "200 own fields": (*_BASE, *(f"X-Shop-{number}: value {number}" for number in range(200))),
        "resent": (*_BASE, "Resent-From: shop@shop.example", "Resent-To: d@kunde.example", "Resent-" + _DATE),
    }.items()
}

_UTF8: dict[str, bytes] = {
    "Subject in UTF-8": content((_FROM, _TO, "Subject: Grüße aus Köln", _DATE), "Text\n"),
    "display name in UTF-8": content(("From: Müller <shop@shop.example>", _TO, _DATE), "Text\n"),
    "addresses in UTF-8": content(("From: büro@shop.example", "To: jürgen@küche.example", _DATE), "Grüße\n"),
}

MESSAGES: dict[str, bytes] = {
    **_KINDS,
    **_BODIES,
    **_HEADS,
    **_UTF8,
    "no body at all": b"".join(field.encode() + b"\r\n" for field in _BASE),
}
NEEDS_SMTPUTF8 = frozenset(_UTF8)


def thirty_megabytes() -> bytes:
    """A content of 31,457,280 octets: an attachment in Base64."""
    head = content((*_BASE, _MIME, "Content-Type: application/pdf", "Content-Transfer-Encoding: base64"), b"")
    size = 31_457_280 - len(head)
    line = b"JVBERi0x" * 9 + b"abcd\r\n"
    return head + (line * (size // len(line) + 1))[: size - 2] + b"\r\n"
