"""The notes that wait, and the shops they are for: plain functions in a transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, exists, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from postmeter import Event
from postmeter_stores.note import Note
from postmeter_stores.tables import GIVEN_UP, WAITING, NoteRow, ShopRow

BY_HAND = "paused by hand"
BATCH = 50  # notes that a thread takes at a time, and rows that are deleted at once


@dataclass(frozen=True)
class Waiting:
    """A note that is due, with what its attempts have come to."""

    id: int
    note: Note
    reference: str
    number: str
    attempts: int


def add(session: Session, gathered: Sequence[Event], now: float) -> None:
    """Put notes about these events into the queue; those that are in it, or were, stay as they are."""
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    rows = [_row(event, now) for event in gathered]
    session.execute(insert(NoteRow).on_conflict_do_nothing(), rows)


def _row(event: Event, now: float) -> dict[str, Any]:
    return {
        "connection_id": event.connection_id,
        "message_id": event.message_id,
        "recipient": event.recipient,
        "kind": event.kind,
        "at": event.at,
        "reply": str(event.facts.get("reply", "")),
        "reference": event.reference,
        "next_at": now,
        "created_at": now,
    }


def ready(session: Session, now: float, limit: int) -> list[int]:
    """The connections whose shops may be written to and have something due, those without trouble first."""
    return list(
        session.scalars(
            select(ShopRow.connection_id)
            .join(NoteRow, NoteRow.connection_id == ShopRow.connection_id)
            .where(NoteRow.state == WAITING, NoteRow.next_at <= now)
            .where(ShopRow.paused == "", ShopRow.retry_at <= now, ShopRow.leased_until <= now)
            .group_by(ShopRow.connection_id)
            .order_by(ShopRow.failures, func.min(NoteRow.next_at))
            .limit(limit)
        )
    )


def take(session: Session, connection_id: int, now: float, until: float) -> ShopRow | None:
    """The shop, which nobody else writes to until then; None when somebody does."""
    free = (ShopRow.connection_id == connection_id) & (ShopRow.leased_until <= now) & (ShopRow.paused == "")
    taken = session.execute(update(ShopRow).where(free).values(leased_until=until).returning(ShopRow.connection_id))
    return session.get(ShopRow, connection_id) if taken.scalar() is not None else None


def is_same(session: Session, row: ShopRow) -> bool:
    """Whether the shop is still connected as it was taken."""
    same = (ShopRow.connection_id == row.connection_id) & (ShopRow.credentials == row.credentials)
    return bool(session.scalar(select(exists().where(same))))


def due(session: Session, connection_id: int, now: float) -> list[Waiting]:
    """The next notes for a shop."""
    rows = session.scalars(
        select(NoteRow)
        .where(NoteRow.connection_id == connection_id, NoteRow.state == WAITING, NoteRow.next_at <= now)
        .order_by(NoteRow.next_at, NoteRow.id)
        .limit(BATCH)
    )
    return [
        Waiting(
            row.id,
            Note(row.message_id, row.recipient, row.kind, row.at, row.reply),
            row.reference,
            row.number,
            row.attempts,
        )
        for row in rows
    ]


def change_note(session: Session, identifier: int, **values: Any) -> None:
    """Note what an attempt has come to."""
    session.execute(update(NoteRow).where(NoteRow.id == identifier).values(**values))


def change_shop(session: Session, connection_id: int, **values: Any) -> None:
    """Note how a shop behaves."""
    session.execute(update(ShopRow).where(ShopRow.connection_id == connection_id).values(**values))


def resume(session: Session, connection_id: int, now: float) -> None:
    """Let everything that waits for a shop be written now."""
    well = {"paused": "", "said": "", "failures": 0, "refused_since": None, "retry_at": 0.0}
    change_shop(session, connection_id, **well)
    waiting = (NoteRow.connection_id == connection_id) & (NoteRow.state == WAITING)
    session.execute(update(NoteRow).where(waiting).values(next_at=now))


def pause(session: Session, connection_id: int) -> None:
    """Write nothing into a shop until somebody lets it go on."""
    change_shop(session, connection_id, paused=BY_HAND)


def history(session: Session, connection_id: int, limit: int, before: int | None = None) -> list[NoteRow]:
    """A shop's notes before the one of that number, newest first."""
    query = select(NoteRow).where(NoteRow.connection_id == connection_id)
    if before is not None:
        query = query.where(NoteRow.id < before)
    return list(session.scalars(query.order_by(NoteRow.id.desc()).limit(limit)))


def give_up(session: Session, now: float, before: float) -> int:
    """End the notes that have waited since before that time, however their shop is; their number."""
    old = (NoteRow.state == WAITING) & (NoteRow.created_at < before)
    return _number(session.execute(update(NoteRow).where(old).values(state=GIVEN_UP, ended_at=now)))


def forget(session: Session, before: float) -> int:
    """Delete some of the notes that ended before that time; their number."""
    some = select(NoteRow.id).where(NoteRow.ended_at < before).limit(BATCH)
    return _number(session.execute(delete(NoteRow).where(NoteRow.id.in_(some.scalar_subquery()))))


def anything_old(session: Session, created: float, ended: float) -> bool:
    """Whether ``give_up`` or ``forget`` has anything to do."""
    old = ((NoteRow.state == WAITING) & (NoteRow.created_at < created)) | (NoteRow.ended_at < ended)
    return bool(session.scalar(select(exists().where(old))))


def _number(result: Any) -> int:
    return int(result.rowcount)
