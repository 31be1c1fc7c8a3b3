"""The book of invoices: numbers without gaps, every invoice written once, and what is on them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import Select, insert, select, text, tuple_
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


VALID, TAKEN_BACK, CORRECTION = STATES = ("valid", "taken back", "correction")


@dataclass(frozen=True)
class Record:
    """An invoice in the book, whose it is, and the number of the one that takes it back, if one does."""

    invoice: Invoice
    account_id: int
    taken_back_by: str | None

    @property
    def state(self) -> str:
        """One of STATES."""
        return CORRECTION if self.invoice.corrects else TAKEN_BACK if self.taken_back_by else VALID


@dataclass(frozen=True)
class Selection:
    """Which invoices are asked for: of an account, a month such as 2027-01, and one of STATES; empty: any."""

    account_id: int | None = None
    month: str = ""
    state: str = ""


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


def record(session: Session, number: str, account_id: int | None = None) -> Record | None:
    """The invoice of that number; None when there is none, or it is not that account's."""
    query = _records(Selection(account_id)).where(tables.invoice.c.number == number)
    row = session.execute(query).one_or_none()
    return None if row is None else Record(from_json(row[0]), *row[1:])


def records(session: Session, which: Selection, *, before: str = "", limit: int = 50) -> list[Record]:
    """The selected invoices, the highest numbers first, from the one after ``before`` on."""
    rows = tables.invoice.c
    query = _records(which).order_by(rows.year.desc(), rows.sequence.desc()).limit(limit)
    if before:
        last = select(rows.year, rows.sequence).where(rows.number == before)
        found = session.execute(last).one_or_none()
        query = query.where(tuple_(rows.year, rows.sequence) < tuple(found)) if found else query
    return [Record(from_json(row[0]), *row[1:]) for row in session.execute(query)]


def _records(which: Selection) -> Select[Any]:
    rows, later = tables.invoice.c, tables.invoice.alias("later").c
    joined = tables.invoice.outerjoin(later.number.table, later.corrects == rows.number)
    query = select(rows.document, rows.account_id, later.number).select_from(joined)
    if which.account_id is not None:
        query = query.where(rows.account_id == which.account_id)
    if which.month:
        query = query.where(rows.day >= f"{which.month}-01", rows.day <= f"{which.month}-31")
    return query.where(*_IN_STATE[which.state](rows.corrects, later.number)) if which.state else query


_IN_STATE: dict[str, Callable[[Any, Any], tuple[Any, ...]]] = {
    VALID: lambda corrects, by: (corrects.is_(None), by.is_(None)),
    TAKEN_BACK: lambda _corrects, by: (by.is_not(None),),
    CORRECTION: lambda corrects, _by: (corrects.is_not(None),),
}


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
