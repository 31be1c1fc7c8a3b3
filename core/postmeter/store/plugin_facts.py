"""How plugins fare with what they are told: where each stands, what waits, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from postmeter.store import events, troubles
from postmeter.store.events import Conditions, Position
from postmeter.store.plugin_tables import Cursor, DeadLetter, Parked, Replay
from postmeter.store.troubles import Trouble


@dataclass(frozen=True)
class CursorFacts:
    """Where a plugin stands: behind ``event_id``, with ``lag`` events to come, the oldest since ``behind`` seconds.

    ``parked`` events were set aside, ``dead`` are given up, ``replays`` are wishes that are not fulfilled; of
    ``failures`` in a row the next try is at ``retry_at``.
    """

    event_id: int
    lag: int
    behind: int
    parked: int
    dead: int
    replays: int
    failures: int
    retry_at: float | None


@dataclass(frozen=True)
class FailureFacts:
    """What a plugin said when it failed."""

    at: float
    error: str


@dataclass(frozen=True)
class TroubleFacts:
    """A hook by which a worker does not ask a plugin, or in which it hangs there, since then and why."""

    hook: str
    worker: int
    since_at: float
    error: str


@dataclass(frozen=True)
class PluginFacts:
    """How a plugin fares; ``cursor`` None: it is told nothing, or no relay has run with it yet."""

    cursor: CursorFacts | None
    last_failure: FailureFacts | None
    troubles: tuple[TroubleFacts, ...]


def plugin_facts(session: Session, wanted: Mapping[str, Conditions], now: float) -> dict[str, PluginFacts]:
    """How each of these plugins fares, with the conditions for the events that they are told."""
    present = troubles.present(session)
    return {name: _facts(session, name, own, present, now) for name, own in wanted.items()}


def _facts(session: Session, name: str, wanted: Conditions, present: list[Trouble], now: float) -> PluginFacts:
    row = session.get(Cursor, name)
    own = tuple(TroubleFacts(one.hook, one.worker, one.since, one.error) for one in present if one.plugin == name)
    failures = [FailureFacts(one.since_at, one.error) for one in own]
    if row is not None and row.failed_at is not None:
        failures.append(FailureFacts(row.failed_at, row.error))
    cursor = None if row is None else _cursor(session, row, wanted, now)
    return PluginFacts(cursor, max(failures, key=lambda failure: failure.at, default=None), own)


def _cursor(session: Session, row: Cursor, wanted: Conditions, now: float) -> CursorFacts:
    lag = events.summary(session, [events.behind(session, Position(row.tx, row.event_id)), *wanted])
    waiting = [
        session.scalar(select(func.count()).select_from(table).where(table.plugin == row.plugin)) or 0
        for table in (Parked, DeadLetter, Replay)
    ]
    return CursorFacts(
        event_id=row.event_id,
        lag=lag.count,
        behind=max(0, int(now - lag.oldest)) if lag.count else 0,
        parked=waiting[0],
        dead=waiting[1],
        replays=waiting[2],
        failures=row.failures,
        retry_at=row.retry_at if row.retry_at > now else None,
    )
