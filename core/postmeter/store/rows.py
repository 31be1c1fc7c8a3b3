"""Adds rows that must be the only ones of their name."""

from __future__ import annotations

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from postmeter.errors import UsageError
from postmeter.store.tables import Base


def add_unique(session: Session, row: Base, taken: str) -> None:
    """Insert ``row``; UsageError with the sentence ``taken`` when its name is in use (the transaction is over then)."""
    session.add(row)
    try:
        session.flush()
    except IntegrityError:
        raise UsageError(taken) from None
