"""An invoice as a file: JSON, CSV, PDF, XRechnung, or a PDF with the invoice's data inside (ZUGFeRD)."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from importlib.util import find_spec

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
    return b"".join(csv_of([of]))


def csv_of(invoices: Iterable[Invoice]) -> Iterator[bytes]:
    """The same of many, piece by piece: heads, then the rows of each."""
    yield _written([_HEADS])
    for one in invoices:
        yield _written(_rows(one))


def _written(rows: Iterable[Iterable[object]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def _rows(of: Invoice) -> Iterator[list[object]]:
    before = (of.number, of.day, of.due, of.corrects, of.account, of.buyer.name, of.buyer.vat_id)
    after = (
        of.currency,
        _number(of.rate, prices.RATE),
        *(_number(cents, prices.CENTS) for cents in (of.net, of.vat, of.gross)),
    )
    for line in of.lines:
        item = (line.kind, line.text, line.begin, line.end, line.quantity)
        price, amount = _number(line.price, prices.PRICE), _number(line.amount, prices.CENTS)
        yield [_cell(value) for value in (*before, *item, price, amount, *after)]


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


def possible(of: Invoice) -> tuple[str, ...]:
    """The formats that the invoice can be written in here: some need a library, and facts that not every one has."""
    if find_spec("drafthorse") is None:
        return tuple(kind for kind in FORMATS if kind not in ("xrechnung", "zugferd"))
    from postmeter_billing import einvoice

    lacking = einvoice.lacks(of, einvoice.XRECHNUNG)
    return tuple(kind for kind in FORMATS if not (kind == "xrechnung" and lacking))


def _number(value: int, places: int) -> Decimal:
    return Decimal(prices.decimal(value, places))


def _cell(value: object) -> object:
    """Numbers and days as they are; a text that a spreadsheet would run gets a quote in front."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
