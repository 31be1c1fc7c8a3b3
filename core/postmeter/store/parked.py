"""Events that were set aside for a plugin: those it fails with, and behind each the later ones of its lane."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import bindparam, delete, exists, select, text, tuple_
from sqlalchemy.orm import Session, aliased

from postmeter.store import events
from postmeter.store.cursors import storable
from postmeter.store.events import Fact
from postmeter.store.plugin_tables import DeadLetter, Parked
from postmeter.store.statement import Statement

BATCH = 500  # rows handled in one go

_COLUMNS = ("plugin", "event_id", "tx", "lane", "failures", "retry_at")
_INSERT = f"INSERT INTO parked ({', '.join(_COLUMNS)}) VALUES ({', '.join(f':{name}' for name in _COLUMNS)}) "  # noqa: S608 - own names
_PARK = Statement(text(f"{_INSERT} ON CONFLICT (plugin, event_id) DO NOTHING"))
_POSTPONE = Statement(
    text(
        f"{_INSERT} ON CONFLICT (plugin, event_id) DO UPDATE SET "
        "failures = excluded.failures, retry_at = excluded.retry_at"
    )
)
_earlier = aliased(Parked)
_BEHIND = exists().where(
    _earlier.plugin == Parked.plugin,
    _earlier.lane == Parked.lane,
    tuple_(_earlier.tx, _earlier.event_id) < tuple_(Parked.tx, Parked.event_id),
)
_DUE = (
    select(Parked.event_id, Parked.failures)
    .where(Parked.plugin == bindparam("plugin"), Parked.retry_at <= bindparam("now"), ~_BEHIND)
    .order_by(Parked.tx, Parked.event_id)
)


@dataclass(frozen=True, slots=True)
class Waiting:
    """An event that is to be told now, after so many ``failures`` with it."""

    fact: Fact
    failures: int


@dataclass(frozen=True, slots=True)
class DeadFacts:
    """A dead letter: its event (None: it is gone), and what the plugin said when it failed for the last time."""

    fact: Fact | None
    event_id: int
    error: str
    at: float


def due(session: Session, plugin: str, now: float, limit: int) -> list[Waiting]:
    """The first ones of their lanes whose time has come, in order."""
    found = session.execute(_DUE.limit(limit), {"plugin": plugin, "now": now}).all()
    facts = events.these(session, [row.event_id for row in found]) if found else {}
    return [Waiting(facts[row.event_id], row.failures) for row in found]


def lanes(session: Session, plugin: str, facts: Iterable[Fact]) -> set[str]:
    """The lanes of these events in which something waits already."""
    wanted = {fact.lane for fact in facts}
    if not wanted:
        return set()
    query = select(Parked.lane).where(Parked.plugin == plugin, Parked.lane.in_(wanted))
    return set(session.scalars(query.distinct()))


def park(session: Session, plugin: str, waiting: Sequence[Waiting]) -> None:
    """Set events aside that are to be told after the earlier ones of their lanes, else at once."""
    if waiting:
        _PARK.run(session, [_row(plugin, one, 0.0) for one in waiting])


def postpone(session: Session, plugin: str, waiting: Waiting, retry_at: float) -> None:
    """Set an event aside with which the plugin has failed, or failed again."""
    _POSTPONE.run(session, [_row(plugin, waiting, retry_at)])


def release(session: Session, plugin: str, numbers: Sequence[int]) -> None:
    """Events that wait no longer."""
    session.execute(delete(Parked).where(Parked.plugin == plugin, Parked.event_id.in_(numbers)))


def bury(session: Session, plugin: str, event_id: int, error: str, now: float) -> None:
    """Keep an event that a plugin could not take as a dead letter."""
    release(session, plugin, [event_id])
    session.merge(DeadLetter(plugin=plugin, event_id=event_id, error=storable(error), at=now))


def forget_dead(session: Session, plugin: str, numbers: Sequence[int]) -> None:
    """These were taken after all."""
    session.execute(delete(DeadLetter).where(DeadLetter.plugin == plugin, DeadLetter.event_id.in_(numbers)))


def dead(session: Session, plugin: str, limit: int, behind: int = 0) -> list[DeadFacts]:
    """The dead letters of a plugin by their events' numbers, behind that one."""
    query = select(DeadLetter).where(DeadLetter.plugin == plugin, DeadLetter.event_id > behind)
    rows = session.scalars(query.order_by(DeadLetter.event_id).limit(limit)).all()
    facts = events.these(session, [row.event_id for row in rows]) if rows else {}
    return [DeadFacts(facts.get(row.event_id), row.event_id, row.error, row.at) for row in rows]


def revive(session: Session, plugin: str, event_id: int | None = None) -> int:
    """Have a dead letter of a plugin (None: all) told again, as if it were new; how many."""
    query = select(DeadLetter.event_id).where(DeadLetter.plugin == plugin)
    if event_id is not None:
        query = query.where(DeadLetter.event_id == event_id)
    dead = list(session.scalars(query))
    for place in range(0, len(dead), BATCH):
        numbers = dead[place : place + BATCH]
        park(session, plugin, [Waiting(fact, 0) for fact in events.these(session, numbers).values()])
        forget_dead(session, plugin, numbers)
    return len(dead)


def _row(plugin: str, waiting: Waiting, retry_at: float) -> dict[str, object]:
    fact = waiting.fact
    return {
        "plugin": plugin,
        "event_id": fact.id,
        "tx": fact.tx,
        "lane": fact.lane,
        "failures": waiting.failures,
        "retry_at": retry_at,
    }
