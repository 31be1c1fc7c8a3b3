"""How figures, moments and commands are written in the pages: Jinja filters, each a pure function."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime

from flask import Flask

_UNITS = ((86_400, "day"), (3_600, "hour"), (60, "minute"))  # seconds


def init_app(app: Flask) -> None:
    """Make the filters known to the templates of ``app``."""
    app.jinja_env.filters.update(
        number=number, moment=moment, clock=clock, iso=iso, since=since, until=until, shell=shlex.quote
    )


def number(value: int) -> str:
    """Digits in groups of three."""
    return f"{value:,}"


def moment(at: float | str) -> str:
    """A point in time (seconds since the epoch, or ISO 8601 text) in words, to the minute, UTC."""
    return f"{_utc(at):%-d %b %Y, %H:%M} UTC"


def clock(at: float) -> str:
    """The time of day, UTC."""
    return f"{_utc(at):%H:%M}"


def iso(at: float | str) -> str:
    """The same for machines, to the second."""
    return _utc(at).isoformat(timespec="seconds")


def since(at: float, now: float) -> str:
    """How long ago ``at`` was, in its largest unit: "3 minutes ago"."""
    span = _span(now - at)
    return f"{span} ago" if span else "just now"


def until(at: float | str, now: float) -> str:
    """How long it is until ``at``: "in 29 days"."""
    span = _span(_utc(at).timestamp() - now)
    return f"in {span}" if span else "now"


def _span(seconds: float) -> str:
    for size, name in _UNITS:
        count = int(seconds // size)
        if count > 0:
            return f"{count} {name}{'s' if count > 1 else ''}"
    return ""


def _utc(at: float | str) -> datetime:
    if isinstance(at, str):
        parsed = datetime.fromisoformat(at)
        return parsed.astimezone(UTC) if parsed.tzinfo else parsed.replace(tzinfo=UTC)
    return datetime.fromtimestamp(at, UTC)
