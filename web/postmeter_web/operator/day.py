"""When a day began where the visitor is."""

from __future__ import annotations

from datetime import UTC, datetime

from flask_babel import get_timezone

from postmeter_web.context import now

DAY = 86_400.0  # seconds


def midnight() -> float:
    """The last one, in seconds since the epoch."""
    here = datetime.fromtimestamp(now(), UTC).astimezone(get_timezone())
    return here.replace(hour=0, minute=0, second=0, microsecond=0).timestamp()
