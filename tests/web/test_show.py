"""How figures and moments are written."""

from __future__ import annotations

import pytest

from postmeter_web import show

AT = 1_795_500_000.0


def test_moments_are_utc_to_the_minute() -> None:
    assert (
        show.moment(AT) == show.moment(show.iso(AT)) == show.moment("2026-11-24T06:00:00Z") == "24 Nov 2026, 06:00 UTC"
    )
    assert show.clock(AT) == "06:00"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "just now"), (59, "just now"), (60, "1 minute ago"), (7199, "1 hour ago"), (200_000, "2 days ago")],
)
def test_the_past_is_told_in_its_largest_unit(seconds: float, words: str) -> None:
    assert show.since(AT - seconds, AT) == words


def test_the_future_is_told_in_its_largest_unit() -> None:
    assert show.until("2026-12-24T06:00:00Z", AT) == "in 30 days"
    assert show.until(AT, AT) == "now"


def test_numbers_are_grouped() -> None:
    assert show.number(1234567) == "1,234,567"
