"""The bars of the last 24 hours: how high each one is, drawn by the template as SVG."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from postmeter.store.statistics import Bucket

HOUR = 3_600
HOURS = 24
HEIGHT = 100  # units of the drawing


@dataclass(frozen=True)
class Bar:
    """One hour from ``start`` (seconds since the epoch): its figures and the heights they are drawn with."""

    start: int
    delivered: int
    bounced: int
    delivered_height: float
    bounced_height: float


def bars(buckets: Iterable[Bucket], now: float) -> list[Bar]:
    """One bar for each of the last 24 clock hours, the current one last; the highest fills the drawing."""
    last = int(now) // HOUR * HOUR
    delivered = {last - back * HOUR: 0 for back in reversed(range(HOURS))}
    bounced = dict(delivered)
    for bucket in buckets:
        hour = bucket.start // HOUR * HOUR
        if hour in delivered:
            delivered[hour] += bucket.totals.delivered
            bounced[hour] += bucket.totals.bounced
    scale = HEIGHT / max(1, *(delivered[hour] + bounced[hour] for hour in delivered))
    return [
        Bar(hour, delivered[hour], bounced[hour], round(delivered[hour] * scale, 2), round(bounced[hour] * scale, 2))
        for hour in delivered
    ]
