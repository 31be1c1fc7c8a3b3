"""An invoice as a file: JSON, CSV, PDF, XRechnung, or a PDF with the invoice's data inside (ZUGFeRD)."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal

from postmeter import UsageError, prices
from postmeter_billing.invoice import Invoice, to_json

_HEADS = (
    *("number", "date", "due", "corrects", "account", "buyer", "vat_id", "kind", "description", "begin", "end"),
    *("mails", "price", "amount", "currency", "vat_rate", "net", "vat", "total"),
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what makes a spreadsheet take a text for a formula


def as_json(of: Invoice) -> bytes:
    """The invoice as it is kept."""
    return f"{to_json(of)}\n".encode()


def as_csv(of: Invoice) -> bytes:
    """A row for each line (RFC 4180, UTF-8), with the invoice's own facts in every one."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(_HEADS)
    before = (of.number, of.day, of.due, of.corrects, of.account, of.buyer.name, of.buyer.vat_id)
    after = (
        of.currency,
        _number(of.rate, prices.RATE),
        *(_number(cents, prices.CENTS) for cents in (of.net, of.vat, of.gross)),
    )
    for line in of.lines:
        item = (line.kind, line.text, line.begin, line.end, line.quantity)
        price, amount = _number(line.price, prices.PRICE), _number(line.amount, prices.CENTS)
        writer.writerow([_cell(value) for value in (*before, *item, price, amount, *after)])
    return text.getvalue().encode()


def as_pdf(of: Invoice) -> bytes:
    """The invoice to be read and printed."""
    from postmeter_billing import pdf  # takes its time, like the one below

    return pdf.render(of)


def as_xrechnung(of: Invoice) -> bytes:
    """The invoice in XML as German authorities want it."""
    with _library():
        from postmeter_billing import einvoice

    return einvoice.xml(of, einvoice.XRECHNUNG)


def as_zugferd(of: Invoice) -> bytes:
    """The PDF with the invoice in XML inside."""
    from postmeter_billing import pdf

    with _library():
        from postmeter_billing import einvoice

    return pdf.render(of, einvoice.xml(of, einvoice.ZUGFERD))


@contextmanager
def _library() -> Iterator[None]:
    """UsageError when the library that writes XML is not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "drafthorse":
            raise
        raise UsageError("this format needs a library more: pip install 'postmeter[invoice]'") from None


FORMATS: dict[str, Callable[[Invoice], bytes]] = {
    "json": as_json,
    "csv": as_csv,
    "pdf": as_pdf,
    "xrechnung": as_xrechnung,
    "zugferd": as_zugferd,
}


def _number(value: int, places: int) -> Decimal:
    return Decimal(prices.decimal(value, places))


def _cell(value: object) -> object:
    """Numbers and days as they are; a text that a spreadsheet would run gets a quote in front."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
