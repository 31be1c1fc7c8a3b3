"""How far plugins have been told events, what they could not take, and which worker has the duty to tell them."""

from __future__ import annotations

from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from postmeter.store.events import Fact, Position, newest
from postmeter.store.tables import Cursor, DeadLetter, Duty, Recipient


def hold_duty(session: Session, name: str, worker: int, now: float, until: float) -> bool:
    """Whether this worker has the duty, taken over if its owner's time has run out; then it has it until ``until``."""
    row = session.get(Duty, name, with_for_update=True)
    if row is None:
        session.add(Duty(name=name, owner=worker, until=until))
    elif row.owner == worker or row.until < now:
        row.owner, row.until = worker, until
    else:
        return False
    return True


def position(session: Session, plugin: str) -> Position | None:
    """Where a plugin stands; None when it was never told anything."""
    row = session.get(Cursor, plugin)
    return None if row is None else Position(row.tx, row.event_id, row.failures, row.retry_at)


def begin(session: Session, plugin: str) -> None:
    """A new plugin stands behind all events so far."""
    tx, event_id = newest(session)
    session.execute(insert(Cursor).values(plugin=plugin, tx=tx, event_id=event_id, failures=0, retry_at=0.0))


def advance(session: Session, plugin: str, told: Fact | None) -> None:
    """The plugin has been told all up to this event."""
    if told is not None:
        values = {"tx": told.tx, "event_id": told.id, "failures": 0, "retry_at": 0.0}
        session.execute(update(Cursor).where(Cursor.plugin == plugin).values(values))


def failed(session: Session, plugin: str, fact: Fact, error: str, now: float, retry_at: float, tries: int) -> None:
    """The plugin could not take this event: later again, or after ``tries`` tries put aside as a dead letter."""
    row = session.get_one(Cursor, plugin)
    row.failures, row.retry_at = row.failures + 1, retry_at
    if row.failures >= tries:
        session.add(DeadLetter(plugin=plugin, event_id=fact.id, error=error[:2048], at=now))
        row.tx, row.event_id, row.failures, row.retry_at = fact.tx, fact.id, 0, 0.0


def forward_path(session: Session, fact: Fact) -> str | None:
    """The address that an event is about."""
    if fact.recipient is None:
        return None
    query = select(Recipient.forward_path).where(Recipient.message_id == fact.message_id)
    return session.scalar(query.where(Recipient.account_id == fact.account_id, Recipient.n == fact.recipient))
