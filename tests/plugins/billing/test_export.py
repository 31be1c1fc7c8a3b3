"""An invoice as JSON and CSV: what is there can be read back, and no spreadsheet runs it."""

from __future__ import annotations

import csv
import io
import sys
from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

import postmeter_billing
from postmeter import UsageError
from postmeter_billing.export import FORMATS, as_csv, as_json
from postmeter_billing.invoice import correction, from_json
from support.billing import BUYER, an_invoice


def rows(made: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(made.decode(), newline="")))


def test_the_csv_has_a_row_for_each_line() -> None:
    first, second = rows(as_csv(an_invoice([25_000], 1234)))
    assert first == {
        "number": "2027-000001",
        "date": "2027-01-15",
        "due": "2027-01-29",
        "corrects": "",
        "account": "acme",
        "buyer": "Gasthof Lindenhof OHG",
        "vat_id": "DE987654321",
        "kind": "block",
        "description": "Block of 25,000 mails",
        "begin": "2027-01-15",
        "end": "2027-02-14",
        "mails": "25000",
        "price": "0.00095",
        "amount": "23.75",
        "currency": "EUR",
        "vat_rate": "19.00",
        "net": "24.92",
        "vat": "4.73",
        "total": "29.65",
    }
    assert (second["kind"], second["mails"], second["amount"]) == ("overdraft", "1234", "1.17")


@pytest.mark.parametrize("name", ["=1+1", "+49", "-1", "@SUM(A1)", "\tx", "\rx", '=cmd|" /C calc"!A0'])
def test_a_text_that_a_spreadsheet_would_run_gets_a_quote(name: str) -> None:
    (row,) = rows(as_csv(an_invoice(buyer=replace(BUYER, name=name))))
    assert row["buyer"] == f"'{name}"


def test_a_negative_amount_stays_a_number() -> None:
    (row,) = rows(as_csv(correction("2027-000002", date(2027, 1, 16), an_invoice())))
    assert (row["amount"], row["mails"], row["total"]) == ("-23.75", "-25000", "-28.26")


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_no_cell_begins_like_a_formula_and_none_is_lost(name: str) -> None:
    made = an_invoice(buyer=replace(BUYER, name=name))
    (row,) = rows(as_csv(made))
    assert row["buyer"].removeprefix("'") == name.removeprefix("'")
    assert not row["buyer"].startswith(("=", "+", "-", "@", "\t", "\r"))
    assert from_json(as_json(made).decode()) == made


@pytest.mark.parametrize("kind", ["xrechnung", "zugferd"])
def test_without_the_library_it_is_said_what_to_install(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith(("drafthorse", "postmeter_billing.einvoice"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr(postmeter_billing, "einvoice", raising=False)
    monkeypatch.setitem(sys.modules, "drafthorse", None)
    with pytest.raises(UsageError, match=r"pip install 'postmeter\[invoice\]'"):
        FORMATS[kind](an_invoice())
