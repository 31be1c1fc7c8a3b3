"""The bars of the last 24 hours."""

from __future__ import annotations

from postmeter.store.statistics import Bucket, Totals
from postmeter_web.account.chart import HEIGHT, HOUR, HOURS, bars

NOW = 1_795_500_000.0 // HOUR * HOUR + 1800


def bucket(start: float, delivered: int, bounced: int) -> Bucket:
    """A quarter of an hour."""
    return Bucket(int(start), Totals(0, delivered, bounced, 0, 0, 0, 0, 0))


def test_quarters_are_added_to_hours_and_the_highest_fills_the_drawing() -> None:
    drawn = bars([bucket(NOW - 900, 5, 1), bucket(NOW, 2, 0), bucket(NOW - HOUR, 4, 0)], NOW)
    assert (drawn[-1].delivered, drawn[-1].bounced, drawn[-2].delivered) == (5 + 2, 1, 4)
    assert drawn[-1].delivered_height + drawn[-1].bounced_height == HEIGHT
    assert drawn[-2].delivered_height == HEIGHT / 2


def test_there_are_24_bars_even_when_nothing_happened() -> None:
    drawn = bars([], NOW)
    assert len(drawn) == HOURS
    assert {bar.delivered_height for bar in drawn} == {0}


def test_what_is_older_is_left_out() -> None:
    assert sum(bar.delivered for bar in bars([bucket(NOW - 25 * HOUR, 5, 0)], NOW)) == 0
