"""The PDF says what the invoice says, on as many pages as it takes, in any script, and always in the same octets."""

from __future__ import annotations

import io
import re
import time
from dataclasses import replace
from datetime import date

import pytest
from pypdf import PdfReader

from postmeter_billing.invoice import Invoice, correction
from postmeter_billing.pdf import render
from postmeter_billing.texts import ENGLISH, GERMAN
from support.billing import BUYER, TERMS, an_invoice


def pages(of: Invoice) -> list[str]:
    """The text of each page, with single blanks."""
    return [re.sub(r"\s+", " ", page.extract_text()) for page in PdfReader(io.BytesIO(render(of))).pages]


def test_an_english_invoice() -> None:
    (page,) = pages(an_invoice([25_000], 1234))
    for text in (
        *("Elbe Hosting GmbH", "Gasthof Lindenhof OHG", "Dorfstraße 3", "87561 Oberstdorf", "04011000-12345-67"),
        *("Invoice number 2027-000001", "Date 15 January 2027", "Payable until 29 January 2027", "DE987654321"),
        *("1 Block of 25,000 mails 25,000 0.00095 23.75", "15 January 2027 to 14 February 2027"),
        *("2 Mails beyond 1,234 0.00095 1.17", "Net amount 24.92 EUR", "VAT 19 % 4.73 EUR", "Total 29.65 EUR"),
        "Please pay 29.65 EUR until 29 January 2027, quoting the invoice number 2027-000001.",
        *("IBAN DE02 1203 0000 0000 2020 51 BIC BYLADEM1001 Elbebank", "VAT ID DE123456789", "Page 1 of 1"),
    ):
        assert text in page


def test_a_german_invoice() -> None:
    (page,) = pages(an_invoice([1_000_000], language="de"))
    for text in (
        *("Rechnungsnummer 2027-000001", "Datum 15.01.2027", "Zahlbar bis 29.01.2027", "Ihre USt-IdNr. DE987654321"),
        *("1.000.000 0,00075 750,00", "15.01.2027 bis 14.02.2027", "Umsatzsteuer 19 % 142,50 EUR"),
        *("Gesamtbetrag 892,50 EUR", "Bitte zahlen Sie 892,50 EUR bis zum 29.01.2027", "Seite 1 von 1"),
    ):
        assert text in page


def test_many_lines_take_more_pages_each_with_its_head_and_what_came_before() -> None:
    made = an_invoice([25_000] * 60, 7)
    first, *more = pages(made)
    assert len(more) == 3
    assert "Page 1 of 4" in first
    assert "Carried forward" not in first
    for number, page in enumerate(more, 2):
        assert f"Page {number} of 4" in page
        assert "No. Description Mails Price per mail Amount (EUR) Carried forward" in page
        assert "Invoice 2027-000001" in page
    (carried, position) = re.findall(r"Carried forward ([0-9.,]+) ([0-9]+) Block", more[0])[0]
    assert carried == ENGLISH.money(2375 * (int(position) - 1))
    positions = [int(n) for page in (first, *more) for n in re.findall(r"([0-9]+) Block of", page)]
    assert positions == list(range(1, 61))
    assert f"Total {ENGLISH.money(made.gross)} EUR" in more[-1]


def test_a_correction_asks_for_no_payment() -> None:
    (page,) = pages(correction("2027-000002", date(2027, 1, 20), an_invoice()))
    assert "Correction of invoice 2027-000001" in page
    assert "This takes the invoice 2027-000001 back completely." in page
    assert "Total -28.26 EUR" in page
    assert "Please pay" not in page
    assert "Payable" not in page


def test_an_invoice_without_vat_says_why() -> None:
    assert ENGLISH.reverse_charge in pages(an_invoice(reverse_charge=True))[0]
    assert GERMAN.reverse_charge in pages(an_invoice(language="de", reverse_charge=True))[0]
    assert "Small business" in pages(an_invoice(terms=replace(TERMS, rate=0, exemption="Small business")))[0]


def test_other_scripts_are_shown_and_what_the_font_lacks_becomes_a_question_mark() -> None:
    buyer = replace(BUYER, name="Zażółć gęślą jaźń", street="Ελληνική οδός 5", city="Жуковка 🎉 中 \u202e{nb}")
    (page,) = pages(an_invoice(buyer=buyer))
    assert "Zażółć gęślą jaźń" in page
    assert "Ελληνική οδός 5" in page
    assert "Жуковка ? ? ?{nb}" in page


@pytest.mark.parametrize("name", ["W" * 200, "a b " * 50, "'\"\\()<>&%{}", "", "-", "**bold** __line__"])
def test_no_name_breaks_it(name: str) -> None:
    buyer = replace(BUYER, name=name, addition=name, street=name, city=name, reference=name)
    assert pages(replace(an_invoice(buyer=buyer), account=name))


def test_the_same_invoice_is_the_same_octets_at_any_time(monkeypatch: pytest.MonkeyPatch) -> None:
    made = an_invoice([25_000], 7)
    before = render(made, b"<a/>")
    later = time.time() + 86_400 * 400
    monkeypatch.setattr(time, "time", lambda: later)
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert render(made, b"<a/>") == before
    finally:
        monkeypatch.undo()
        time.tzset()


def test_it_is_pdf_a_with_all_fonts_inside() -> None:
    reader = PdfReader(io.BytesIO(render(an_invoice())))
    about = reader.trailer["/Root"]["/Metadata"].get_data().decode()
    assert "<pdfaid:part>3</pdfaid:part><pdfaid:conformance>B</pdfaid:conformance>" in about
    assert ">Invoice 2027-000001</rdf:li>" in about
    fonts = reader.pages[0]["/Resources"]["/Font"].values()
    assert all("/FontFile2" in font["/DescendantFonts"][0]["/FontDescriptor"] for font in fonts)


def test_both_languages_have_the_same_places_to_fill() -> None:
    def places(texts: object) -> dict[str, list[str]]:
        return {name: sorted(re.findall(r"\{\w+\}", text)) for name, text in vars(texts).items()}

    assert places(ENGLISH) == places(GERMAN)
