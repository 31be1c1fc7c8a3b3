"""Whether the relay lives: its workers, and the database's own idea of the time."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from postmeter.store.worker_tables import Worker


@dataclass(frozen=True)
class WorkerFacts:
    """A process that receives and delivers; its heart has beaten when ``lease_until`` is ahead."""

    id: int
    node: str
    pid: int
    started_at: float
    lease_until: float


def workers(session: Session) -> list[WorkerFacts]:
    """All that have not said good-bye, by machine."""
    rows = session.scalars(select(Worker).order_by(Worker.node, Worker.id))
    return [WorkerFacts(row.id, row.node, row.pid, row.started_at, row.lease_until) for row in rows]


def database_time(session: Session) -> float | None:
    """What the database's machine believes the time to be; None: it is this machine (SQLite)."""
    if session.get_bind().dialect.name == "sqlite":
        return None
    return float(session.scalar(text("SELECT extract(epoch FROM clock_timestamp())")) or 0.0)
