"""An invoice: who, for what and how much; turned round by a correction, written as JSON and read back."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

from postmeter import prices

BLOCK, OVERDRAFT = "block", "overdraft"

_PLACES = {
    "price": prices.PRICE,
    "amount": prices.CENTS,
    "net": prices.CENTS,
    "vat": prices.CENTS,
    "gross": prices.CENTS,
    "rate": prices.RATE,
}
_DAYS = ("day", "due", "begin", "end")


@dataclass(frozen=True)
class Party:
    """Who sells or buys: name and address; the country is two letters (ISO 3166-1)."""

    name: str
    street: str
    postcode: str
    city: str
    country: str
    vat_id: str = ""
    email: str = ""


@dataclass(frozen=True)
class Seller(Party):
    """The operator, and how to be paid and asked."""

    tax_number: str = ""
    register: str = ""
    contact: str = ""
    phone: str = ""
    bank: str = ""
    iban: str = ""
    bic: str = ""


@dataclass(frozen=True)
class Buyer(Party):
    """The customer. ``addition`` is a second line of the name, ``reference`` what the buyer wants to read (BT-10)."""

    addition: str = ""
    reference: str = ""


@dataclass(frozen=True)
class Terms:
    """What the operator's settings say for every invoice: ``rate`` in hundredths of a per cent.

    ``exemption`` says why there is no VAT, when there is none.
    """

    seller: Seller
    currency: str
    rate: int
    exemption: str
    payment_days: int


@dataclass(frozen=True)
class Line:
    """One item: a block or the mails beyond all blocks, between two days.

    ``price`` of one mail in 0.00001 of the currency, ``amount`` in cents.
    """

    kind: str
    text: str
    quantity: int
    price: int
    begin: date
    end: date
    block: int | None = None
    amount: int = 0


@dataclass(frozen=True)
class Invoice:
    """An invoice, or the correction of the one that ``corrects`` names; sums in cents, ``rate`` as in Terms."""

    number: str
    corrects: str
    day: date
    due: date
    account: str
    language: str
    currency: str
    seller: Seller
    buyer: Buyer
    lines: tuple[Line, ...]
    net: int
    rate: int
    vat: int
    gross: int
    reverse_charge: bool
    exemption: str

    @property
    def period(self) -> tuple[date, date]:
        """From the first day of its lines to the last."""
        return min(line.begin for line in self.lines), max(line.end for line in self.lines)


@dataclass(frozen=True)
class Addressee:
    """Whom an invoice is for: the account's name and what is kept for its invoices."""

    account: str
    language: str
    buyer: Buyer
    reverse_charge: bool


def priced(items: Sequence[Line]) -> tuple[Line, ...]:
    """The items with their amounts, which add up to the rounded sum."""
    amounts = prices.shares([item.quantity * item.price for item in items])
    return tuple(replace(item, amount=amount) for item, amount in zip(items, amounts, strict=True))


def invoice(number: str, day: date, to: Addressee, lines: tuple[Line, ...], terms: Terms) -> Invoice:
    """An invoice of priced lines. The VAT is that on the rounded sum, and none when the buyer owes it."""
    net = sum(line.amount for line in lines)
    rate = 0 if to.reverse_charge else terms.rate
    vat = prices.tax(net, rate)
    return Invoice(
        number=number,
        corrects="",
        day=day,
        due=day + timedelta(days=terms.payment_days),
        account=to.account,
        language=to.language,
        currency=terms.currency,
        seller=terms.seller,
        buyer=to.buyer,
        lines=lines,
        net=net,
        rate=rate,
        vat=vat,
        gross=net + vat,
        reverse_charge=to.reverse_charge,
        exemption="" if rate or to.reverse_charge else terms.exemption,
    )


def correction(number: str, day: date, of: Invoice) -> Invoice:
    """The invoice that takes another one back: the same, with everything negative."""
    lines = tuple(replace(line, quantity=-line.quantity, amount=-line.amount, block=None) for line in of.lines)
    sums = replace(of, net=-of.net, vat=-of.vat, gross=-of.gross)
    return replace(sums, number=number, corrects=of.number, day=day, due=day, lines=lines)


def to_json(of: Invoice) -> str:
    """The invoice as JSON: amounts and prices as decimal texts, days in ISO 8601."""
    return json.dumps(_plain(dataclasses.asdict(of)), ensure_ascii=False, indent=2)


def from_json(text: str) -> Invoice:
    """The invoice that ``to_json`` was given."""
    facts = _read(json.loads(text))
    parties = {"seller": Seller(**facts["seller"]), "buyer": Buyer(**facts["buyer"])}
    return Invoice(**{**facts, **parties, "lines": tuple(Line(**_read(line)) for line in facts["lines"])})


def _plain(facts: dict[str, Any]) -> dict[str, Any]:
    return {name: _written(name, value) for name, value in facts.items()}


def _written(name: str, value: Any) -> Any:
    if name in _PLACES:
        return prices.decimal(value, _PLACES[name])
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, dict):
        return _plain(value)
    return [_plain(line) for line in value] if isinstance(value, (list, tuple)) else value


def _read(facts: dict[str, Any]) -> dict[str, Any]:
    numbers = {name: prices.units(facts[name], places) for name, places in _PLACES.items() if name in facts}
    days = {name: date.fromisoformat(facts[name]) for name in _DAYS if name in facts}
    return {**facts, **numbers, **days}
