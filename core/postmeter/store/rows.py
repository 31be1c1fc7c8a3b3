"""Adds rows that must be the only ones of their name, and deletes those whose time is over."""

from __future__ import annotations

from sqlalchemy import ColumnElement, bindparam, delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from postmeter.errors import UsageError
from postmeter.store.base import Base, table

BATCH = 500  # rows deleted in one go


def add_unique(session: Session, row: Base, taken: str) -> None:
    """Insert ``row``; UsageError with the sentence ``taken`` when its name is in use (the transaction is over then)."""
    session.add(row)
    try:
        session.flush()
    except IntegrityError:
        raise UsageError(taken) from None


def delete_some(session: Session, entity: type[Base], over: ColumnElement[bool]) -> int:
    """Delete at most ``BATCH`` rows whose time is over; how many. What others hold is passed over: no one waits."""
    key = list(table(entity).primary_key.columns)
    found = session.execute(select(*key).where(over).limit(BATCH).with_for_update(skip_locked=True)).all()
    if found:
        one = delete(table(entity)).where(*(column == bindparam(column.name) for column in key))
        session.connection().execute(one, [row._asdict() for row in found])
    return len(found)
