"""What is done now and then so that the tables do not grow for ever."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.orm import Session

from postmeter.store import (
    conduct,
    failures,
    heard,
    idempotency,
    provider_sessions,
    providers,
    suppressions,
    tls_memory,
    tls_reports,
)
from postmeter.store.rollup import RollUp

FORGETTING = (
    idempotency.forget,
    suppressions.forget,
    failures.forget,
    conduct.forget,
    providers.forget,
    heard.forget,
    provider_sessions.forget,
    tls_memory.forget,
    tls_reports.forget,
)


class Tidying:
    """The change that deletes what is over and rolls old counters up, some rows at a time."""

    def __init__(self) -> None:
        self._roll_up = RollUp()

    def __call__(self, session: Session, times: Sequence[float]) -> list[int]:
        """How many rows went, for each time at which this was asked for."""
        return [self._tidy(session, now) for now in times]

    def _tidy(self, session: Session, now: float) -> int:
        forgotten = sum(forget(session, now) for forget in FORGETTING)
        return forgotten + self._roll_up(session, now)
