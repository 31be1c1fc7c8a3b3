"""When connections were last used: to a minute, so that a busy one is not written to with every message."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import bindparam, or_, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from postmeter.store.base import table
from postmeter.store.statement import Statement
from postmeter.store.tables import Connection

EVERY = 60.0  # seconds: how exactly it is known


class LastUse:
    """One of the columns that say it, and what this process has written there."""

    def __init__(self, at: InstrumentedAttribute[float | None] = Connection.last_used_at) -> None:
        self._marked: dict[int, float] = {}
        self._mark = Statement(
            update(table(Connection))
            .where(Connection.id == bindparam("connection"), or_(at.is_(None), at <= bindparam("before")))
            .values({at.key: bindparam("now")})
        )

    def mark(self, session: Session, connections: Iterable[int], now: float) -> None:
        """These are used now."""
        before = now - EVERY
        due = sorted(connection for connection in connections if self._marked.get(connection, 0.0) <= before)
        if due:
            self._mark.run(session, [{"connection": one, "before": before, "now": now} for one in due])
            self._marked.update(dict.fromkeys(due, now))
