"""The hour, the day and the month of a cap, in UTC."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postmeter.quota.cap import periods


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("now", "ends"),
    [
        ("2027-01-15T08:30:00", ("2027-01-15T09:00:00", "2027-01-16T00:00:00", "2027-02-01T00:00:00")),
        ("2027-12-31T23:59:59", ("2028-01-01T00:00:00", "2028-01-01T00:00:00", "2028-01-01T00:00:00")),
        ("2028-02-29T00:00:00", ("2028-02-29T01:00:00", "2028-03-01T00:00:00", "2028-03-01T00:00:00")),
    ],
)
def test_periods_end_by_the_clock(now: str, ends: tuple[str, str, str]) -> None:
    assert [period.end for period in periods(at(now))] == [at(end) for end in ends]


@given(st.floats(0, 4e9))
def test_every_instant_is_in_its_periods_and_those_in_each_other(now: float) -> None:
    hour, day, month = periods(now)
    assert month.begin <= day.begin <= hour.begin <= now < hour.end <= day.end <= month.end
    assert [period.name for period in (hour, day, month)] == ["hour", "day", "month"]
    assert hour.end - hour.begin == 3600
    assert day.end - day.begin == 86_400
    assert periods(month.end)[2].begin == month.end
    assert all(period.begin % 900 == 0 for period in (hour, day, month))  # as the counters' buckets
