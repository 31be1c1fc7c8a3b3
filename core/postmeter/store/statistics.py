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
LATEST = 2 * HOUR  # seconds within which a fact is committed; one that comes later is in ``Ever`` when
MADE_ANEW = 6 * HOUR  # seconds have gone by at the most: long before its row is rolled up into another
MOST_SPANS = 24  # times since which sums are remembered: of a few time zones, by bucket and by account

Name = TypeVar("Name", int, str)
Sums = tuple[int, ...]  # of the columns in NAMES


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
_NONE: Sums = (0,) * len(NAMES)


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

    What is older than an hour boundary well in the past is summed once and then remembered for a while.
    """

    def __init__(self) -> None:
        self._past = _Remembered(None, None)

    def totals(self, session: Session, now: float) -> Totals:
        """The totals at present; ``session`` has written nothing itself."""
        return _totals(self._past.sums(session, now).get(None, _NONE))


class Lately:
    """The same for the figures of all accounts since a time, such as this day's beginning."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._past: dict[tuple[str, float], _Remembered] = {}

    def buckets(self, session: Session, since: float, now: float) -> list[Bucket]:
        """The totals of each time of which there is a row, in order."""
        sums = self._since(Counter.bucket, since).sums(session, now)
        return [Bucket(start, _totals(sums[start])) for start in sorted(sums)]

    def by_account(self, session: Session, since: float, now: float) -> list[Share[int]]:
        """The totals of each account with mail, by its number."""
        sums = self._since(Counter.account_id, since).sums(session, now)
        return [Share(account, _totals(sums[account])) for account in sorted(sums)]

    def _since(self, by: InstrumentedAttribute[int], since: float) -> _Remembered:
        with self._lock:
            found = self._past.pop((by.key, since), None) or _Remembered(by, since)
            self._past[by.key, since] = found  # as the latest
            if len(self._past) > MOST_SPANS:
                del self._past[next(iter(self._past))]
        return found


class _Remembered:
    """Sums by a column (None: of all) since a time (None: ever); what is well in the past is read once in a while."""

    def __init__(self, by: InstrumentedAttribute[int] | None, since: float | None) -> None:
        self._by = by
        self._since = since
        self._lock = threading.Lock()
        self._made = self._until = 0.0
        self._old: dict[Any, Sums] = {}

    def sums(self, session: Session, now: float) -> dict[Any, Sums]:
        """The sums at present."""
        with self._lock:
            self._remember(session, now)
            old, until = self._old, self._until
        return _plus(old, _sums(session, self._by, until, None))

    def _remember(self, session: Session, now: float) -> None:
        boundary = max((now - LATEST) // HOUR * HOUR, self._since or 0.0)
        if not self._made <= now < self._made + MADE_ANEW:
            self._old, self._made = _sums(session, self._by, self._since, boundary), now
        elif boundary > self._until:
            self._old = _plus(self._old, _sums(session, self._by, self._until, boundary))
        else:
            return
        self._until = boundary


def _sums(
    session: Session, by: InstrumentedAttribute[int] | None, since: float | None, until: float | None
) -> dict[Any, Sums]:
    where = _within(None, since, until)
    if by is None:
        return {None: tuple(map(int, session.execute(select(*_SUMS).where(*where)).one()))}
    rows = session.execute(select(by, *_SUMS).where(*where).group_by(by))
    return {row[0]: tuple(map(int, row[1:])) for row in rows}


def _plus(one: dict[Any, Sums], other: dict[Any, Sums]) -> dict[Any, Sums]:
    both = {key: tuple(map(sum, zip(one[key], other[key], strict=True))) for key in one.keys() & other.keys()}
    return {**one, **other, **both}


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
