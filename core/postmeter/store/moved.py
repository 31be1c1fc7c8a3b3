"""A database that was restored on another PostgreSQL server: its events get numbers that fit that one."""

from __future__ import annotations

import logging
from typing import Any

from sqlalchemy import ColumnElement, Row, func, literal_column, or_, select, union_all, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from postmeter.store import schema
from postmeter.store.plugin_tables import Cursor, Parked, Replay
from postmeter.store.tables import Event

log = logging.getLogger(__name__)

Number = InstrumentedAttribute[int] | InstrumentedAttribute[int | None]

# One snapshot sees no transaction of this number or a later one: whatever has such a number is from elsewhere.
_NEXT: ColumnElement[int] = literal_column("(pg_snapshot_xmax(pg_current_snapshot())::text)::bigint")


def settle_in(session: Session) -> None:
    """Give what comes from another server transaction numbers below all of this one, in the same order.

    Where events are read up to the oldest open transaction, those numbered by a server that had come further would
    not be read for long, and new ones would seem to have been read already.
    """
    if session.get_bind().dialect.name != "postgresql":
        return
    schema.alone(session.connection())
    stranger = _stranger(session)
    if stranger.tx is not None:
        log.warning("the database comes from another PostgreSQL server: its events are numbered anew")
        _renumber(session, stranger)


def _stranger(session: Session) -> Row[Any]:
    """The highest number of a transaction that was never here, the last event until then, and what comes ``next``."""
    found = union_all(
        select(Event.tx.label("tx"), Event.id.label("event_id")).where(Event.tx >= _NEXT),
        select(Cursor.tx, Cursor.event_id).where(Cursor.tx >= _NEXT),
    ).subquery()
    return session.execute(
        select(func.max(found.c.tx).label("tx"), func.max(found.c.event_id).label("event_id"), _NEXT.label("next"))
    ).one()


def _renumber(session: Session, last: Row[Any]) -> None:
    """Make the numbers of the other server 0 and less. What came after its last event was written here already."""
    facts: list[tuple[Number, Number]] = [(Event.tx, Event.id), (Parked.tx, Parked.event_id)]
    places: list[tuple[Number, Number]] = [
        (Cursor.tx, Cursor.event_id),
        (Replay.tx, Replay.event_id),
        (Replay.end_tx, Replay.end_id),
    ]
    for tx, event in facts:
        _lower(session, tx, last.tx, event <= last.event_id)
    for tx, event in places:  # a plugin that was begun here stands at the last event as well
        _lower(session, tx, last.tx, or_(event < last.event_id, tx >= last.next))


def _lower(session: Session, number: Number, by: int, where: ColumnElement[bool]) -> None:
    session.execute(update(number.class_).where(where).values({number: number - by}))
