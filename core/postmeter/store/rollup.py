"""Old counters take less room: quarter hours become hours and hours become days (UTC), and no sum ever changes."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from sqlalchemy import bindparam, delete, func, select, text
from sqlalchemy.orm import Session

from postmeter.store.base import table
from postmeter.store.counters import KEY, NAMES, Figures, Key, add
from postmeter.store.statistics import DAY, HOUR
from postmeter.store.tables import Counter

AFTER = {HOUR: 8 * DAY, DAY: 32 * DAY}  # from which age on, in seconds, only the hours or the days are left
BATCH = 500  # rows that are rolled up in one go
SPAN = 32 * DAY  # seconds of the past that are looked through in one go
_LOCK = 0x726F6C6C757000  # "rollup": PostgreSQL's advisory lock of whoever does it

_rows = table(Counter).c
_key = [_rows[name] for name in KEY]
_figures = [_rows[name] for name in NAMES]
_DROP = delete(table(Counter)).where(
    *(column == bindparam(column.name) for column in _key),
    *(figure == 0 for figure in _figures),
)
_ALONE = text("SELECT pg_try_advisory_xact_lock(:key)")


def counted_at(at: float, now: float) -> float:
    """A moment in the row in which what happened at ``at`` is counted by now."""
    steps = [step for step, age in AFTER.items() if at < int(now - age) // step * step]
    return at // max(steps) * max(steps) if steps else at


class RollUp:
    """Rolls up some rows at each call; remembers only from where on there may be more.

    It adds to the coarse row and takes away from the fine one as any writer does, so that whatever others count
    meanwhile stays, in the fine row until the next time.
    """

    def __init__(self) -> None:
        self._begin: dict[int, int] = {}  # by step: no row before it is left to be rolled up

    def __call__(self, session: Session, now: float) -> int:
        """How many rows became part of others."""
        if not _alone(session):
            return 0
        return sum(self._roll_up(session, step, int(now - age) // step * step) for step, age in AFTER.items())

    def _roll_up(self, session: Session, step: int, end: int) -> int:
        begin = self._begin.get(step)
        if begin is None:
            begin = session.scalar(select(func.min(_rows.bucket))) or 0
        end = min(end, begin + SPAN)
        fine = _fine(session, step, begin, end)
        self._begin[step] = fine[0].bucket if fine else max(begin, end)
        if fine:
            _move(session, step, fine)
        return len(fine)


def _alone(session: Session) -> bool:
    """Two at once would do the same twice, which the next round had to mend; SQLite has one writer anyway."""
    if session.get_bind().dialect.name != "postgresql":
        return True
    return bool(session.scalar(_ALONE, {"key": _LOCK}))


def _fine(session: Session, step: int, begin: int, end: int) -> list[Any]:
    """The first rows in that time that are no whole step."""
    query = select(*_key, *_figures).where(_rows.bucket >= begin, _rows.bucket < end, _rows.bucket % step != 0)
    return list(session.execute(query.order_by(_rows.bucket).limit(BATCH)))


def _move(session: Session, step: int, fine: list[Any]) -> None:
    changes: dict[Key, Figures] = defaultdict(lambda: dict.fromkeys(NAMES, 0))
    for row in fine:
        for bucket, sign in ((row.bucket - row.bucket % step, 1), (row.bucket, -1)):
            figures = changes[row.account_id, bucket, row.connection_id, row.domain, row.provider]
            for name in NAMES:
                figures[name] += sign * getattr(row, name)
    add(session, changes)
    session.connection().execute(_DROP, [row._asdict() for row in fine])
