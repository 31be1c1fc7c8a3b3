"""Statistics, read from the counters: of everything, of an account, of a time, and by what they are parted."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from math import ceil
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from postmeter.store.counters import BUCKET, NAMES
from postmeter.store.tables import Counter

HOUR, DAY = 3600, 86_400  # seconds: the other steps of ``buckets``
LATEST = 2 * HOUR  # seconds within which a fact is committed
MADE_ANEW = 6 * HOUR  # seconds until ``Ever`` has what came later than that

Name = TypeVar("Name", int, str)


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
    """The totals of one step of time from ``start`` (seconds since the epoch)."""

    start: int
    totals: Totals


@dataclass(frozen=True)
class Share(Generic[Name]):
    """The totals of one connection (its number), sending domain or receiving provider (its name)."""

    of: Name
    totals: Totals


_SUMS = [func.coalesce(func.sum(getattr(Counter, name)), 0) for name in NAMES]


def totals(
    session: Session,
    account_id: int | None,
    since: float | None = None,
    until: float | None = None,
    *,
    connection_id: int | None = None,
    domain: str | None = None,
) -> Totals:
    """The totals of an account (None: of all), from one time to before another, or ever."""
    where = _within(account_id, since, until, connection_id, domain)
    return _totals(session.execute(select(*_SUMS).where(*where)).one())


def buckets(
    session: Session,
    account_id: int | None,
    since: float | None = None,
    until: float | None = None,
    *,
    connection_id: int | None = None,
    domain: str | None = None,
    step: int = BUCKET,
    offset: int = 0,
) -> list[Bucket]:
    """The totals of each step in which something happened, in order.

    ``step`` is a quarter of an hour, an HOUR or a DAY; days begin at midnight where clocks are ``offset`` seconds ahead
    of UTC. What is so old that only hours or days are left counts where those begin.
    """
    start = Counter.bucket - (Counter.bucket + offset) % step
    where = _within(account_id, since, until, connection_id, domain)
    query = select(start, *_SUMS).where(*where).group_by(start).order_by(start)
    return [Bucket(row[0], _totals(tuple(row)[1:])) for row in session.execute(query)]


def by_connection(session: Session, account_id: int | None, since: float | None = None) -> list[Share[int]]:
    """The totals of each connection with mail, by its number."""
    return _shares(session, Counter.connection_id, account_id, since)


def by_domain(session: Session, account_id: int | None, since: float | None = None) -> list[Share[str]]:
    """The totals of each sending domain with mail, by name; an empty one has what older versions have counted."""
    return _shares(session, Counter.domain, account_id, since)


def by_provider(session: Session, account_id: int | None, since: float | None = None) -> list[Share[str]]:
    """The totals of each receiving provider, by name; an empty one has attempts at nobody's mail server.

    Whose a recipient is turns out when it is tried: ``arrived`` has the recipients that were, and ``queued`` those that
    are deferred.
    """
    shares = _shares(session, Counter.provider, account_id, since)
    tried = [Share(share.of, _tried(share.totals)) for share in shares]
    return [share for share in tried if any(vars(share.totals).values())]


class Ever:
    """The totals of all accounts since the beginning, without reading all of them each time; for many threads.

    What is older than an hour boundary well in the past is summed once and then remembered for a while, in which no row
    of later times grows so old that it is rolled up into an earlier one.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made = self._until = 0.0
        self._old: tuple[int, ...] = ()

    def totals(self, session: Session, now: float) -> Totals:
        """The totals at present; ``session`` has written nothing itself."""
        with self._lock:
            self._remember(session, now)
            old, until = self._old, self._until
        return _totals(_plus(old, _sums(session, until, None)))

    def _remember(self, session: Session, now: float) -> None:
        boundary = (now - LATEST) // HOUR * HOUR
        if not self._made <= now < self._made + MADE_ANEW:
            self._old, self._made = _sums(session, None, boundary), now
        elif boundary > self._until:
            self._old = _plus(self._old, _sums(session, self._until, boundary))
        else:
            return
        self._until = boundary


def _sums(session: Session, since: float | None, until: float | None) -> tuple[int, ...]:
    return tuple(map(int, session.execute(select(*_SUMS).where(*_within(None, since, until))).one()))


def _plus(one: tuple[int, ...], other: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(map(sum, zip(one, other, strict=True)))


def _shares(
    session: Session, by: InstrumentedAttribute[Name], account_id: int | None, since: float | None
) -> list[Share[Name]]:
    query = select(by, *_SUMS).where(*_within(account_id, since)).group_by(by).order_by(by)
    return [Share(row[0], _totals(tuple(row)[1:])) for row in session.execute(query)]


def _within(
    account_id: int | None,
    since: float | None = None,
    until: float | None = None,
    connection_id: int | None = None,
    domain: str | None = None,
) -> list[ColumnElement[bool]]:
    equal = ((Counter.account_id, account_id), (Counter.connection_id, connection_id), (Counter.domain, domain))
    conditions: list[ColumnElement[bool]] = [column == value for column, value in equal if value is not None]
    # PostgreSQL uses no index of whole numbers for one that is none.
    conditions += [] if since is None else [Counter.bucket >= ceil(since)]
    return conditions if until is None else [*conditions, Counter.bucket < ceil(until)]


def _totals(sums: Any) -> Totals:
    count = {name: int(value) for name, value in zip(NAMES, sums, strict=True)}
    return Totals(queued=count["arrived"] - _ended(count), **count)


def _tried(totals: Totals) -> Totals:
    count = vars(totals)
    return Totals(**{**count, "arrived": _ended(count) + totals.deferred, "queued": totals.deferred})


def _ended(count: dict[str, int]) -> int:
    return count["delivered"] + count["bounced"] + count["suppressed"] + count["cancelled"]
