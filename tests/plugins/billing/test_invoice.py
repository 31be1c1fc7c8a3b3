"""An invoice adds up, is read back as it was written, and its correction is its opposite."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from postmeter_billing.invoice import correction, from_json, to_json
from support.billing import TERMS, an_invoice

SIZES = st.lists(st.integers(1, 10**7), min_size=1, max_size=20)


def test_an_invoice_of_one_block() -> None:
    made = an_invoice([25_000])
    assert (made.net, made.rate, made.vat, made.gross) == (2375, 1900, 451, 2826)
    assert (made.day, made.due) == (date(2027, 1, 15), date(2027, 1, 29))
    assert [line.amount for line in made.lines] == [2375]


@given(SIZES, st.integers(0, 10**7))
def test_an_invoice_adds_up(sizes: list[int], overdraft: int) -> None:
    made = an_invoice(sizes, overdraft)
    exact = sum(line.quantity * line.price for line in made.lines)
    assert made.net == sum(line.amount for line in made.lines) == (exact + 500) // 1000
    assert made.vat == (made.net * 19 + 50) // 100
    assert made.gross == made.net + made.vat


@given(SIZES, st.integers(0, 10**7), st.booleans())
def test_an_invoice_is_read_as_it_was_written(sizes: list[int], overdraft: int, reverse_charge: bool) -> None:
    made = an_invoice(sizes, overdraft, reverse_charge=reverse_charge)
    assert from_json(to_json(made)) == made
    taken_back = correction("2027-000002", date(2027, 2, 1), made)
    assert from_json(to_json(taken_back)) == taken_back


@given(SIZES, st.integers(0, 10**7))
def test_a_correction_is_the_opposite(sizes: list[int], overdraft: int) -> None:
    made = an_invoice(sizes, overdraft)
    back = correction("2027-000002", date(2027, 2, 1), made)
    assert (made.net + back.net, made.vat + back.vat, made.gross + back.gross) == (0, 0, 0)
    assert [line.amount + other.amount for line, other in zip(made.lines, back.lines, strict=True)] == [0] * len(
        made.lines
    )
    assert (back.number, back.corrects, back.day, back.due) == ("2027-000002", made.number, *[date(2027, 2, 1)] * 2)
    assert (back.buyer, back.seller, back.rate) == (made.buyer, made.seller, made.rate)
    assert {line.block for line in back.lines} == {None}


def test_a_buyer_who_owes_the_vat_pays_none() -> None:
    made = an_invoice(reverse_charge=True)
    assert (made.rate, made.vat, made.gross, made.exemption) == (0, 0, 2375, "")


def test_an_invoice_without_vat_says_why() -> None:
    made = an_invoice(terms=replace(TERMS, rate=0, exemption="Small business, § 19 UStG"))
    assert (made.vat, made.gross, made.exemption) == (0, 2375, "Small business, § 19 UStG")
    assert an_invoice(terms=replace(TERMS, exemption="not said")).exemption == ""


def test_the_json_has_money_as_text_and_days_in_iso() -> None:
    facts = json.loads(to_json(an_invoice([25_000], 7)))
    assert (facts["net"], facts["vat"], facts["gross"], facts["rate"]) == ("23.76", "4.51", "28.27", "19.00")
    assert facts["due"] == "2027-01-29"
    assert facts["lines"][0] == {
        "kind": "block",
        "text": "Block of 25,000 mails",
        "quantity": 25_000,
        "price": "0.00095",
        "begin": "2027-01-15",
        "end": "2027-02-14",
        "block": 1,
        "amount": "23.75",
    }
    assert (facts["lines"][1]["amount"], facts["lines"][1]["block"]) == ("0.01", None)
    assert facts["buyer"]["reference"] == "04011000-12345-67"
