"""The sample mails are what a careful shop sends: right MIME, readable in both languages, the right recipients."""

from __future__ import annotations

import re
import struct
import zlib
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from itertools import islice
from typing import cast

import pytest

from postmeter.demo.attachments import SIDE, document, logo
from postmeter.demo.samples import CUSTOMERS, KINDS, Sample, samples

CLOCK = 1_800_000_000.0
ALL = list(islice(samples("shop.example", lambda: CLOCK), len(CUSTOMERS) * len(KINDS)))  # every kind to everybody


def parsed(sample: Sample) -> EmailMessage:
    """The mail as the standard library reads it."""
    return message_from_bytes(sample.content, policy=default)


def first_of(kind: int, language: str) -> EmailMessage:
    """The first mail of a kind to a customer of that language."""
    places = (n for n in range(len(ALL)) if n % len(KINDS) == kind)
    return parsed(ALL[next(n for n in places if CUSTOMERS[n % len(CUSTOMERS)].language == language)])


@pytest.mark.parametrize("sample", ALL[:15], ids=range(15))
def test_a_mail_is_well_formed(sample: Sample) -> None:
    message = parsed(sample)
    assert not [defect for part in message.walk() for defect in part.defects]
    assert [
        name for name in ("From", "To", "Subject", "Date", "Message-ID") if len(message.get_all(name, [])) != 1
    ] == []
    assert message["From"].addresses[0].domain == "shop.example"
    assert message["Date"].datetime.timestamp() == CLOCK
    assert b"\n" not in sample.content.replace(b"\r\n", b"")
    assert max(map(len, sample.content.split(b"\r\n"))) <= 998


def test_header_sections_are_ascii() -> None:
    assert all(sample.content.partition(b"\r\n\r\n")[0].isascii() for sample in ALL)


def test_bodies_have_no_gaps() -> None:
    bodies = [
        part.get_content()
        for sample in ALL
        for part in parsed(sample).walk()
        if part.get_content_type() == "text/plain"
    ]
    assert not [body for body in bodies if re.search(r"[{}]", body)]
    assert all("Lindenhof Keramik" in body for body in bodies)


def test_a_confirmation_has_text_and_html_with_an_inline_picture() -> None:
    message = first_of(0, "de")
    assert message["Subject"].startswith("Ihre Bestellung 100")
    assert message.get_content_type() == "multipart/alternative"
    text, related = cast("list[EmailMessage]", list(message.iter_parts()))
    page, picture = cast("list[EmailMessage]", list(related.iter_parts()))
    assert [part.get_content_type() for part in (text, related, page, picture)] == [
        "text/plain",
        "multipart/related",
        "text/html",
        "image/png",
    ]
    assert "vielen Dank für Ihre Bestellung" in text.get_content()
    assert f'src="cid:{picture["Content-ID"][1:-1]}"' in page.get_content()
    assert picture.get_content_disposition() == "inline"
    assert picture.get_content() == logo()


def test_an_invoice_has_a_pdf_attached() -> None:
    message = first_of(1, "en")
    (attached,) = cast("list[EmailMessage]", list(message.iter_attachments()))
    assert attached.get_content_type() == "application/pdf"
    assert re.fullmatch(r"Invoice-R\d+\.pdf", attached.get_filename() or "")
    assert attached.get_content().startswith(b"%PDF-1.4")


def test_an_invoice_goes_to_the_second_address_as_well() -> None:
    invoices = [s for n, s in enumerate(ALL) if CUSTOMERS[n % len(CUSTOMERS)].copy and n % len(KINDS) == 1]
    assert [s.recipients for s in invoices] == [("praxis@weiss.example", "buchhaltung@weiss.example")]
    assert parsed(invoices[0])["Cc"] == "buchhaltung@weiss.example"


def test_a_shipping_notice_is_sent_in_eight_bits_under_an_encoded_subject() -> None:
    message = first_of(3, "de")
    assert message["Content-Transfer-Encoding"] == "8bit"
    assert message["Subject"].startswith("Ihr Päckchen ist unterwegs – Bestellung")
    assert any(not sample.content.isascii() for sample in ALL)
    assert "Große Stücke" in message.get_content()


def test_the_other_kinds_are_plain_text_in_both_languages() -> None:
    assert "eine Stunde lang" in first_of(2, "de").get_content()
    assert "valid for one hour" in first_of(2, "en").get_content()
    assert "bestätigen Sie" in first_of(4, "de").get_content()
    assert first_of(4, "en")["Auto-Submitted"] == "auto-generated"


def test_prices_are_written_as_in_the_customers_language() -> None:
    assert re.search(r"\d+,\d\d €", first_of(0, "de").get_body(("plain",)).get_content())  # type: ignore[union-attr]
    assert re.search(r"€\d+\.\d\d", first_of(0, "en").get_body(("plain",)).get_content())  # type: ignore[union-attr]


def test_recipients_are_at_reserved_domains_and_some_do_not_exist() -> None:
    recipients = {recipient for sample in ALL for recipient in sample.recipients}
    assert all(re.search(r"[@.]example(\.(org|net|com))?$", recipient) for recipient in recipients)  # RFC 2606
    refused = sorted(recipient for recipient in recipients if recipient.startswith(("nobody", "unknown")))
    assert refused == ["nobody.karin@example.com", "unknown.guest@example.net"]
    assert len({recipient.partition("@")[2] for recipient in recipients}) >= 5


def test_every_mail_has_its_own_message_id() -> None:
    assert len({parsed(sample)["Message-ID"] for sample in ALL}) == len(ALL)


def test_the_picture_is_a_valid_png() -> None:
    data = logo()
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    place, chunks = 8, {}
    while place < len(data):
        length = struct.unpack(">I", data[place : place + 4])[0]
        kind, content = data[place + 4 : place + 8], data[place + 8 : place + 8 + length]
        assert struct.unpack(">I", data[place + 8 + length : place + 12 + length])[0] == zlib.crc32(kind + content)
        chunks[kind] = content
        place += 12 + length
    assert list(chunks) == [b"IHDR", b"IDAT", b"IEND"]
    assert len(zlib.decompress(chunks[b"IDAT"])) == SIDE * (1 + 3 * SIDE)


def test_the_document_is_a_valid_pdf() -> None:
    data = document("Rechnung (1)", ["Müslischale: 18,90 €", "back\\slash", "☃"])
    start = int(data.rpartition(b"startxref\n")[2].split(b"\n")[0])
    assert data[start:].startswith(b"xref\n0 6\n")
    places = [int(line[:10]) for line in data[start:].split(b"\n")[3:8]]
    assert [data[place:].split(b"\n")[0] for place in places] == [b"%d 0 obj" % n for n in range(1, 6)]
    length = re.search(rb"/Length (\d+) >>\nstream\n", data)
    assert length is not None
    assert data[length.end() + int(length[1]) :].startswith(b"\nendstream")
    assert rb"(Rechnung \(1\)) Tj" in data
    assert rb"(back\\slash) Tj" in data
    assert b"(M\xfcslischale: 18,90 \x80) Tj" in data
    assert b"(?) Tj" in data
