"""The caps of a connection: how many recipients it may submit in a clock hour, a day and a month (UTC)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta


@dataclass(frozen=True, slots=True)
class Period:
    """A span of time by the clock, in seconds since the epoch; ``end`` does not belong to it."""

    name: str
    begin: float
    end: float


def periods(now: float) -> tuple[Period, Period, Period]:
    """The clock hour, the day and the month that ``now`` is in."""
    hour = datetime.fromtimestamp(now, UTC).replace(minute=0, second=0, microsecond=0)
    day = hour.replace(hour=0)
    month = day.replace(day=1)
    following = (month + timedelta(days=31)).replace(day=1)
    spans = (
        ("hour", hour, hour + timedelta(hours=1)),
        ("day", day, day + timedelta(days=1)),
        ("month", month, following),
    )
    hourly, daily, monthly = (Period(name, begin.timestamp(), end.timestamp()) for name, begin, end in spans)
    return hourly, daily, monthly
