"""Statistics, read from the counters: of everything, of an account, of a time, and by what they are parted."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil, inf
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, func, literal_column, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from postmeter.store.counters import BUCKET, NAMES
from postmeter.store.tables import Counter

HOUR, DAY = 3600, 86_400  # seconds: the other steps of ``buckets``
LATEST = 2 * HOUR  # seconds within which a fact is committed
MADE_ANEW = 6 * HOUR  # seconds until ``Ever`` and ``Lately`` have what came later than that
MOST_KNOWN = 500  # sums that are remembered: those that were asked for last

Name = TypeVar("Name", int, str)
Sums = tuple[int, ...]  # of the columns in NAMES
By = tuple[ColumnElement[Any] | InstrumentedAttribute[Any], ...]
_BY_BUCKET: By = (Counter.bucket,)
# Not the bare column: SQLite would read all of the table in its order.
_BY_ACCOUNT: By = ((Counter.account_id + literal_column("0")).label("account"),)


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


@dataclass(frozen=True)
class Parts:
    """The same totals, parted in three ways."""

    connections: list[Share[int]]
    domains: list[Share[str]]
    providers: list[Share[str]]


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
    start = _start(step, offset)
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
    return _of_providers(_shares(session, Counter.provider, account_id, since))


class Ever:
    """Totals since the beginning, of an account or of all, without reading all rows each time; for many threads.

    What is older than an hour boundary well in the past is summed once and then remembered for a while, in which no row
    of later times grows so old that it is rolled up into an earlier one.
    """

    def __init__(self) -> None:
        self._known = _Known()

    def totals(self, session: Session, now: float, account_id: int | None = None) -> Totals:
        """The totals at present; ``session`` has written nothing itself."""
        if account_id is None:
            sums = _folded(((), figures) for figures in self._known.by_bucket(session, now).values())
        else:
            sums = self._known.sums(session, (), account_id, None, now)
        return _totals(sums.get((), _NONE))


class Lately:
    """The same for the figures since a time, such as this day's beginning."""

    def __init__(self, ever: Ever | None = None) -> None:
        """``ever``: who remembers the same of all accounts, so that it is not read twice."""
        self._known = ever._known if ever else _Known()

    def buckets(
        self, session: Session, account_id: int | None, since: float, now: float, step: int = BUCKET, offset: int = 0
    ) -> list[Bucket]:
        """As ``buckets``, up to now."""
        if account_id is None:
            ever = self._known.by_bucket(session, now)
            sums = _folded(((at - (at + offset) % step,), ever[at,]) for (at,) in ever if at >= since)
        else:
            sums = self._known.sums(session, (_start(step, offset),), account_id, since, now, (step, offset))
        return [Bucket(key[0], _totals(sums[key])) for key in sorted(sums)]

    def by_account(self, session: Session, since: float, now: float) -> list[Share[int]]:
        """The totals of each account with mail, by its number."""
        return _parted(self._known.sums(session, _BY_ACCOUNT, None, since, now), 0)

    def parts(self, session: Session, account_id: int, since: float, now: float) -> Parts:
        """The totals of an account, parted."""
        by = (Counter.connection_id, Counter.domain, Counter.provider)
        sums = self._known.sums(session, by, account_id, since, now)
        return Parts(_parted(sums, 0), _parted(sums, 1), _of_providers(_parted(sums, 2)))


class _Known:
    """Sums that were asked for lately, each remembered by itself."""

    def __init__(self) -> None:
        self._all = _Remembered(_BY_BUCKET, None, None)
        self._lock = threading.Lock()
        self._past: dict[Any, _Remembered] = {}

    def by_bucket(self, session: Session, now: float) -> dict[Any, Sums]:
        """The sums of all accounts: once for every time and step that operators look at."""
        return self._all.sums(session, now)

    def sums(
        self, session: Session, by: By, account_id: int | None, since: float | None, now: float, more: Any = None
    ) -> dict[Any, Sums]:
        """The sums by these columns; ``more`` tells columns of the same name apart."""
        key = (tuple(column.key for column in by), account_id, since, more)
        with self._lock:
            found = self._past.pop(key, None) or _Remembered(by, account_id, since)
            self._past[key] = found  # as the latest
            if len(self._past) > MOST_KNOWN:
                del self._past[next(iter(self._past))]
        return found.sums(session, now)


class _Remembered:
    """Sums by columns of an account (None: of all) since a time (None: ever); what is well in the past is read once."""

    def __init__(self, by: By, account_id: int | None, since: float | None) -> None:
        self._by = by
        self._account_id = account_id
        self._since = since
        self._lock = threading.Lock()
        self._made = self._until = 0.0
        self._old: dict[Any, Sums] = {}

    def sums(self, session: Session, now: float) -> dict[Any, Sums]:
        """The sums at present."""
        with self._lock:
            self._remember(session, now)
            old, until = self._old, self._until
        if self._by is _BY_BUCKET:
            return _plus(old, _recent(session, until))
        return _plus(old, _read(session, self._by, self._account_id, until, None))

    def _remember(self, session: Session, now: float) -> None:
        boundary = max((now - LATEST) // HOUR * HOUR, self._since or 0.0)
        if not self._made <= now < self._made + MADE_ANEW:
            self._old, self._made = _read(session, self._by, self._account_id, self._since, boundary), now
        elif boundary > self._until:
            self._old = _plus(self._old, _read(session, self._by, self._account_id, self._until, boundary))
        else:
            return
        self._until = boundary


def _recent(session: Session, since: float) -> dict[Any, Sums]:
    """The sums of all accounts by bucket, which a session reads once: it sees one state of the database."""
    begin, sums = session.info.get(_recent, (inf, {}))
    if since < begin:
        begin, sums = session.info[_recent] = since, _read(session, _BY_BUCKET, None, since, None)
    return {key: figures for key, figures in sums.items() if key[0] >= since}


def _read(
    session: Session, by: By, account_id: int | None, since: float | None, until: float | None
) -> dict[Any, Sums]:
    query = select(*by, *_SUMS).where(*_within(account_id, since, until)).group_by(*by)
    width = len(by)
    return {tuple(row[:width]): tuple(map(int, row[width:])) for row in session.execute(query)}


def _folded(figures: Iterable[tuple[Any, Sums]]) -> dict[Any, Sums]:
    """The sums of what has the same key."""
    groups: dict[Any, list[Sums]] = defaultdict(list)
    for key, sums in figures:
        groups[key].append(sums)
    return {key: tuple(map(sum, zip(*group, strict=True))) for key, group in groups.items()}


def _plus(one: dict[Any, Sums], other: dict[Any, Sums]) -> dict[Any, Sums]:
    both = {key: tuple(map(sum, zip(one[key], other[key], strict=True))) for key in one.keys() & other.keys()}
    return {**one, **other, **both}


def _parted(sums: dict[Any, Sums], by: int) -> list[Share[Any]]:
    """Sums of several columns, by one of them."""
    parts = _folded((key[by], figures) for key, figures in sums.items())
    return [Share(of, _totals(parts[of])) for of in sorted(parts)]


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


def _start(step: int, offset: int) -> ColumnElement[int]:
    """When the step of a row begins."""
    return (Counter.bucket - (Counter.bucket + offset) % step).label("start")


def _of_providers(shares: list[Share[str]]) -> list[Share[str]]:
    tried = [Share(share.of, _tried(share.totals)) for share in shares]
    return [share for share in tried if any(vars(share.totals).values())]


def _tried(totals: Totals) -> Totals:
    count = vars(totals)
    return Totals(**{**count, "arrived": _ended(count) + totals.deferred, "queued": totals.deferred})


def _ended(count: dict[str, int]) -> int:
    return count["delivered"] + count["bounced"] + count["suppressed"] + count["cancelled"]
