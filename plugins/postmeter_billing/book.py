"""The book of invoices: numbers without gaps, every invoice written once, and what is on them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date

from sqlalchemy import insert, select, text
from sqlalchemy.orm import Session

from postmeter import UsageError
from postmeter_billing import tables
from postmeter_billing.invoice import Invoice, from_json, to_json

# Who raises the year's number has it alone until the commit; a rollback takes it back. A day that is before that of
# the last number gets none.
_NEXT = text(
    "INSERT INTO billing_counter (year, last, day) VALUES (:year, 1, :day) ON CONFLICT (year) DO UPDATE "
    "SET last = billing_counter.last + 1, day = excluded.day WHERE billing_counter.day <= excluded.day RETURNING last"
)


@dataclass(frozen=True)
class Entry:
    """An invoice in the list; sums in cents, days in ISO 8601."""

    number: str
    day: str
    account_id: int
    corrects: str | None
    net: int
    vat: int
    gross: int


def check_day(session: Session, day: date) -> None:
    """UsageError when an invoice of a later day of that year has a number already: numbers go with days."""
    counter = tables.counter.c
    later = select(counter.day).where(counter.year == day.year, counter.day > day.isoformat())
    if session.scalar(later):
        raise _comes_late(day)


def write(
    session: Session, account_id: int, prefix: str, day: date, make: Callable[[str], Invoice], now: float
) -> Invoice:
    """Give the next number of the day's year to an invoice, and write that; UsageError when a later day has one."""
    sequence = session.scalar(_NEXT, {"year": day.year, "day": day.isoformat()})
    if sequence is None:
        raise _comes_late(day)
    written = make(f"{prefix}{day.year}-{sequence:06d}")
    row = {
        "number": written.number,
        "year": day.year,
        "sequence": sequence,
        "account_id": account_id,
        "corrects": written.corrects or None,
        "day": day.isoformat(),
        "net": written.net,
        "vat": written.vat,
        "gross": written.gross,
        "document": to_json(written),
        "created_at": now,
    }
    session.execute(insert(tables.invoice).values(row))
    lines = [
        {
            "number": written.number,
            "position": position,
            "kind": line.kind,
            "block_id": line.block,
            "quantity": line.quantity,
            "price": line.price,
            "amount": line.amount,
        }
        for position, line in enumerate(written.lines, 1)
    ]
    session.execute(insert(tables.line), lines)
    return written


def read(session: Session, number: str) -> Invoice:
    """The invoice of that number; UsageError when there is none."""
    document = session.scalar(select(tables.invoice.c.document).where(tables.invoice.c.number == number))
    if document is None:
        raise UsageError(f"there is no invoice {number!r}")
    return from_json(document)


def lock(session: Session, number: str) -> int:
    """The account of an invoice that is to be taken back, with that locked; UsageError when it cannot be (again)."""
    rows = tables.invoice
    query = select(rows.c.account_id, rows.c.corrects).where(rows.c.number == number).with_for_update()
    found = session.execute(query).one_or_none()
    if found is None:
        raise UsageError(f"there is no invoice {number!r}")
    if found.corrects:
        raise UsageError(f"{number} takes the invoice {found.corrects} back; it cannot be taken back itself")
    by = session.scalar(select(rows.c.number).where(rows.c.corrects == number))
    if by:
        raise UsageError(f"the invoice {number} was taken back already, by {by}")
    return int(found.account_id)


def entries(session: Session, account_id: int | None, since: date | None, until: date | None) -> list[Entry]:
    """The invoices (of one account, between two days), in the order of their numbers."""
    rows = tables.invoice
    query = select(*(rows.c[name] for name in Entry.__dataclass_fields__)).order_by(rows.c.year, rows.c.sequence)
    if account_id is not None:
        query = query.where(rows.c.account_id == account_id)
    if since:
        query = query.where(rows.c.day >= since.isoformat())
    if until:
        query = query.where(rows.c.day <= until.isoformat())
    return [Entry(*row) for row in session.execute(query)]


def billed(session: Session, blocks: Iterable[int]) -> set[int]:
    """Those of the blocks that are on an invoice."""
    return set(session.scalars(select(tables.line.c.block_id).where(tables.line.c.block_id.in_(list(blocks)))))


def _comes_late(day: date) -> UsageError:
    return UsageError(f"an invoice of {day} cannot be written: there is one of a later day, and numbers go with days")
