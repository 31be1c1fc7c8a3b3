"""Wishes that a plugin be told events again; they are told before what is new, so that the order stays."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from postmeter.store import cursors, events
from postmeter.store.events import Conditions, Fact, Position
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

    @property
    def conditions(self) -> Conditions:
        """The conditions for them."""
        return [Event.id.between(self.first, self.last), Event.at >= self.since, Event.at < self.until]


@dataclass(frozen=True, slots=True)
class Wish:
    """One of them: the events of ``span`` that are behind ``reached``, up to ``end``."""

    id: int
    span: Span
    reached: Position
    end: Position


def survey(session: Session, plugin: str, span: Span, wanted: Conditions) -> tuple[int, Span]:
    """How many such events the plugin was told, or found when it was new; and the span, no wider than they need."""
    end = cursors.position(session, plugin) or events.newest(session)
    found = events.summary(session, [events.not_behind(session, end), *span.conditions, *wanted])
    return found.count, replace(span, first=found.first, last=found.last)


def wish(session: Session, plugin: str, span: Span) -> None:
    """Have a plugin told again what there is up to where it stands; what comes then is told anyway."""
    if (end := cursors.position(session, plugin)) is None:
        cursors.begin(session, plugin)
        end = cursors.position(session, plugin) or Position(0, 0)
    whole = {"first": span.first, "last": span.last, "since": span.since, "until": span.until}
    session.add(Replay(plugin=plugin, tx=events.BEFORE_ALL, end_tx=end.tx, end_id=end.event_id, **whole))


def oldest(session: Session, plugin: str) -> Wish | None:
    """The wish that is to be fulfilled next."""
    row = session.scalar(select(Replay).where(Replay.plugin == plugin).order_by(Replay.id).limit(1))
    if row is None:
        return None
    span = Span(row.first, row.last, row.since, row.until)
    return Wish(row.id, span, Position(row.tx, row.event_id), Position(row.end_tx, row.end_id))


def after(session: Session, wish: Wish, limit: int, wanted: Conditions) -> list[Fact]:
    """The next such events that are wished for, in order."""
    return events.before(session, wish.reached, wish.end, limit, [*wish.span.conditions, *wanted])


def move(session: Session, wish: Wish, reached: Position | None) -> None:
    """The wish has come so far; None: it is fulfilled."""
    this = Replay.id == wish.id
    if reached is None:
        session.execute(delete(Replay).where(this))
    else:
        session.execute(update(Replay).where(this).values(tx=reached.tx, event_id=reached.event_id))
