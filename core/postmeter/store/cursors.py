"""How far plugins have been told events, and which worker has the duty to tell them."""

from __future__ import annotations

from sqlalchemy import bindparam, text, update
from sqlalchemy.orm import Session

from postmeter.store.base import table
from postmeter.store.events import Position, newest
from postmeter.store.plugin_tables import Cursor
from postmeter.store.statement import Statement
from postmeter.store.worker_tables import Duty

MAX_ERROR = 2048  # characters of a plugin's error that are kept

_TAKE_DUTY = Statement(
    text(
        "INSERT INTO duty (name, owner, until) VALUES (:name, :owner, :until) "
        "ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, until = excluded.until "
        "WHERE duty.owner = excluded.owner OR duty.until < :now"
    )
)
_BEGIN = Statement(
    text(
        "INSERT INTO cursor (plugin, tx, event_id, failures, retry_at, turn, error) "
        "VALUES (:plugin, :tx, :event_id, 0, 0, 0, '') ON CONFLICT (plugin) DO NOTHING"
    )
)
_ADVANCE = Statement(
    update(table(Cursor))
    .where(Cursor.plugin == bindparam("name"), Cursor.turn == bindparam("old_turn"))
    .values(
        tx=bindparam("new_tx"),
        event_id=bindparam("new_id"),
        failures=bindparam("new_failures"),
        retry_at=bindparam("new_retry_at"),
        turn=Cursor.turn + 1,
    )
)


def duty_of_other(session: Session, name: str, worker: int, now: float) -> bool:
    """Whether another worker has the duty, so that there is no need to ask for it in a write transaction."""
    row = session.get(Duty, name)
    return row is not None and row.owner != worker and row.until >= now


def hold_duty(session: Session, name: str, worker: int, now: float, until: float) -> bool:
    """Whether this worker has the duty, taken over if its owner's time has run out; then it has it until ``until``."""
    return _TAKE_DUTY.run(session, [{"name": name, "owner": worker, "until": until, "now": now}]) == 1


def position(session: Session, plugin: str) -> Position | None:
    """Where a plugin stands; None when it was never told anything."""
    row = session.get(Cursor, plugin)
    return None if row is None else Position(row.tx, row.event_id, row.failures, row.retry_at, row.turn)


def begin(session: Session, plugin: str) -> None:
    """A new plugin stands behind all events so far; one that another machine has begun stays where it is."""
    start = newest(session)
    _BEGIN.run(session, [{"plugin": plugin, "tx": start.tx, "event_id": start.event_id}])


def advance(session: Session, plugin: str, before: Position, then: Position) -> bool:
    """Move a plugin from where it stood; False when another worker has told it something meanwhile."""
    row = {
        "name": plugin,
        "old_turn": before.turn,
        "new_tx": then.tx,
        "new_id": then.event_id,
        "new_failures": then.failures,
        "new_retry_at": then.retry_at,
    }
    return _ADVANCE.run(session, [row]) == 1


def failed(session: Session, plugin: str, error: str, now: float) -> None:
    """Keep what a plugin said when it failed last."""
    session.execute(update(Cursor).where(Cursor.plugin == plugin).values(error=storable(error), failed_at=now))


def storable(error: str) -> str:
    """A plugin's words as both databases can keep them."""
    return error.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")[:MAX_ERROR]
