"""Wishes that a plugin be told events again; they are told before what is new, so that the order stays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, delete, func, select, update
from sqlalchemy.orm import Session

from postmeter.store import cursors, events
from postmeter.store.events import Fact, Position
from postmeter.store.plugin_tables import Replay
from postmeter.store.tables import Event

LAST = 2**63 - 1
FOREVER = 1e15  # seconds since the epoch


@dataclass(frozen=True, slots=True)
class Span:
    """Events by their numbers, ``first`` to ``last``, and by their times, ``since`` to just before ``until``."""

    first: int = 0
    last: int = LAST
    since: float = 0.0
    until: float = FOREVER

    def conditions(self, kinds: Sequence[str]) -> list[ColumnElement[bool]]:
        """Those of these kinds."""
        return [
            Event.id.between(self.first, self.last),
            Event.at >= self.since,
            Event.at < self.until,
            Event.kind.in_(kinds),
        ]


@dataclass(frozen=True, slots=True)
class Wish:
    """One of them: the events of ``span`` that are behind ``reached``, up to ``end``."""

    id: int
    span: Span
    reached: Position
    end: Position


def count(session: Session, plugin: str, kinds: Sequence[str], span: Span) -> int:
    """How many events of these kinds there are that the plugin has been told, or has found when it was new."""
    end = cursors.position(session, plugin) or events.newest(session)
    query = select(func.count()).select_from(Event).where(events.not_behind(session, end), *span.conditions(kinds))
    return session.scalar(query) or 0


def wish(session: Session, plugin: str, span: Span) -> None:
    """Have a plugin told again what there is up to where it stands; what comes then is told anyway."""
    if (end := cursors.position(session, plugin)) is None:
        cursors.begin(session, plugin)
        end = cursors.position(session, plugin) or Position(0, 0)
    whole = {"first": span.first, "last": span.last, "since": span.since, "until": span.until}
    session.add(Replay(plugin=plugin, end_tx=end.tx, end_id=end.event_id, **whole))


def oldest(session: Session, plugin: str) -> Wish | None:
    """The wish that is to be fulfilled next."""
    row = session.scalar(select(Replay).where(Replay.plugin == plugin).order_by(Replay.id).limit(1))
    if row is None:
        return None
    span = Span(row.first, row.last, row.since, row.until)
    return Wish(row.id, span, Position(row.tx, row.event_id), Position(row.end_tx, row.end_id))


def after(session: Session, wish: Wish, limit: int, kinds: Sequence[str]) -> list[Fact]:
    """The next events of these kinds that are wished for, in order."""
    return events.before(session, wish.reached, wish.end, limit, wish.span.conditions(kinds))


def move(session: Session, wish: Wish, reached: Position | None) -> None:
    """The wish has come so far; None: it is fulfilled."""
    this = Replay.id == wish.id
    if reached is None:
        session.execute(delete(Replay).where(this))
    else:
        session.execute(update(Replay).where(this).values(tx=reached.tx, event_id=reached.event_id))
