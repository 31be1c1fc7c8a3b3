"""Statistics, read from the counters: of everything, of an account, of a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from postmeter.store.counters import NAMES
from postmeter.store.tables import Counter


@dataclass(frozen=True)
class Totals:
    """Recipients by what became of them: arrived = delivered + bounced + queued + suppressed + cancelled.

    ``bounced`` includes expired ones; ``deferred`` is the part of ``queued`` that was tried. Of a window of time
    the numbers say what happened in it, so ``queued`` (and ``deferred``) is how the queue grew or shrank.
    """

    arrived: int
    delivered: int
    bounced: int
    queued: int
    deferred: int
    suppressed: int
    cancelled: int
    complained: int


@dataclass(frozen=True)
class Bucket:
    """The totals of one quarter of an hour from ``start`` (seconds since the epoch)."""

    start: int
    totals: Totals


_SUMS = [func.coalesce(func.sum(getattr(Counter, name)), 0) for name in NAMES]


def totals(session: Session, account_id: int | None, since: float | None = None) -> Totals:
    """The totals of an account (None: of all), since a time or ever."""
    return _totals(session.execute(select(*_SUMS).where(*_within(account_id, since))).one())


def buckets(session: Session, account_id: int | None, since: float | None = None) -> list[Bucket]:
    """The totals of each quarter of an hour in which something happened, in order."""
    query = (
        select(Counter.bucket, *_SUMS)
        .where(*_within(account_id, since))
        .group_by(Counter.bucket)
        .order_by(Counter.bucket)
    )
    return [Bucket(row[0], _totals(tuple(row)[1:])) for row in session.execute(query)]


def _within(account_id: int | None, since: float | None) -> list[ColumnElement[bool]]:
    scope = [] if account_id is None else [Counter.account_id == account_id]
    return scope if since is None else [*scope, Counter.bucket >= since]


def _totals(sums: Any) -> Totals:
    count = {name: int(value) for name, value in zip(NAMES, sums, strict=True)}
    ended = count["delivered"] + count["bounced"] + count["suppressed"] + count["cancelled"]
    return Totals(queued=count["arrived"] - ended, **count)
