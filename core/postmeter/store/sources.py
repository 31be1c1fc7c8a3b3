"""What left from which of our addresses: a row for each address, day and receiving provider."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from postmeter.store.operator_tables import SourceDay
from postmeter.store.statement import Statement

DAY = 86_400
NAMES = ("attempts", "delivered", "refused", "deferred", "encrypted", "limited")

_ADD = Statement(
    text(
        f"INSERT INTO source_day (address, day, provider, {', '.join(NAMES)}, last_at) "  # noqa: S608 - own names
        f"VALUES (:address, :day, :provider, {', '.join(':' + name for name in NAMES)}, :last_at) "
        "ON CONFLICT (address, day, provider) DO UPDATE SET "
        + ", ".join(f"{name} = source_day.{name} + excluded.{name}" for name in NAMES)
        + ", last_at = CASE WHEN excluded.last_at > source_day.last_at THEN excluded.last_at "
        "ELSE source_day.last_at END"
    )
)


class Key(NamedTuple):
    """One of our addresses, a day (its first second, UTC), and who receives."""

    address: str
    day: int
    provider: str


@dataclass
class Figures:
    """Recipients of attempts at a mail server: taken, refused for good, deferred, and over TLS; the last one when.

    ``limited`` are those deferred because it was too much, or because we are not trusted enough.
    """

    attempts: int = 0
    delivered: int = 0
    refused: int = 0
    deferred: int = 0
    encrypted: int = 0
    limited: int = 0
    last_at: float = 0.0

    def __add__(self, other: Figures) -> Figures:
        sums = (getattr(self, name) + getattr(other, name) for name in NAMES)
        made = Figures(*sums)
        made.last_at = max(self.last_at, other.last_at)
        return made


@dataclass(frozen=True)
class Receiver:
    """What one of our addresses did at a provider; ``today``: attempts of the last day that was asked for."""

    provider: str
    figures: Figures
    today: int


@dataclass(frozen=True)
class Source:
    """One of our addresses: when it was first and last used (``first_day``: a day's first second), and how it did.

    ``days`` are the attempts of each day since the asked one, the first of them first.
    """

    address: str
    first_day: int
    last_at: float
    figures: Figures
    days: tuple[tuple[int, int], ...]
    receivers: tuple[Receiver, ...]


def add(session: Session, reports: Sequence[Mapping[Key, Figures]]) -> list[None]:
    """Add what workers have counted, in an order in which nobody deadlocks."""
    sums: dict[Key, Figures] = {}
    for report in reports:
        for key, figures in report.items():
            sums[key] = sums.get(key, Figures()) + figures
    if sums:
        _ADD.run(session, [{**key._asdict(), **vars(sums[key])} for key in sorted(sums)])
    return [None] * len(reports)


def by_provider(session: Session, since: float) -> dict[str, Figures]:
    """What was tried at each provider since the day of ``since``."""
    sums = [func.sum(getattr(SourceDay, name)) for name in NAMES]
    query = select(SourceDay.provider, *sums, func.max(SourceDay.last_at)).where(SourceDay.day >= day_of(since))
    rows = session.execute(query.group_by(SourceDay.provider))
    return {provider: _figures(rest) for provider, *rest in rows}


def sources(session: Session, now: float, days: int = 30) -> list[Source]:
    """All addresses that mail has ever left from, with their figures of the last days, today among them (UTC)."""
    today = day_of(now)
    span = range(today - (days - 1) * DAY, today + DAY, DAY)
    known = select(SourceDay.address, func.min(SourceDay.day), func.max(SourceDay.last_at)).group_by(SourceDay.address)
    rows = session.scalars(select(SourceDay).where(SourceDay.day >= span[0])).all()
    return [
        _source(address, first, last, span, [row for row in rows if row.address == address])
        for address, first, last in session.execute(known.order_by(SourceDay.address))
    ]


def first_days(session: Session) -> dict[str, int]:
    """The first second of the day on which mail first left from each address."""
    query = select(SourceDay.address, func.min(SourceDay.day)).group_by(SourceDay.address)
    return {row[0]: row[1] for row in session.execute(query)}


def _source(address: str, first: int, last: float, span: range, rows: Sequence[SourceDay]) -> Source:
    total, days = Figures(), dict.fromkeys(span, 0)
    providers: dict[str, Figures] = {}
    today: dict[str, int] = {}
    for row in rows:
        figures = _figures([*(getattr(row, name) for name in NAMES), row.last_at])
        total += figures
        days[row.day] = days.get(row.day, 0) + row.attempts
        today[row.provider] = row.attempts if row.day == span[-1] else today.get(row.provider, 0)
        providers[row.provider] = providers.get(row.provider, Figures()) + figures
    receivers = [Receiver(name, figures, today[name]) for name, figures in providers.items()]
    largest = sorted(receivers, key=lambda one: (-one.figures.attempts, one.provider))
    return Source(address, first, last, total, tuple(days.items()), tuple(largest))


def _figures(values: Sequence[float]) -> Figures:
    *sums, last = values
    made = Figures(*map(int, sums))
    made.last_at = float(last)
    return made


def day_of(at: float) -> int:
    """The first second of a day (UTC)."""
    return int(at) // DAY * DAY
