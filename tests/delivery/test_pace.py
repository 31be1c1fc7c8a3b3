"""Paces: so much in a time, and a little of it at once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postmeter.delivery.pace import Pace


def left(pace: Pace, seconds: float, step: float = 1 / 64) -> list[float]:
    """When things go if one more waits all the time."""
    times, now = [], 0.0
    while now < seconds:
        if pace.wait(now) == 0:
            pace.take(now)
            times.append(round(now, 1))
        else:
            now += step
    return times


def test_a_second_of_them_goes_at_once_and_then_one_by_one() -> None:
    assert left(Pace(10.0), 0.35) == [0.0] * 10 + [0.1, 0.2, 0.3]


def test_less_than_one_a_second_goes_alone() -> None:
    assert left(Pace(0.5), 5.0) == [0.0, 2.0, 4.0]


def test_a_pace_may_begin_with_a_wait() -> None:
    assert left(Pace(0.5, begin=2.0), 5.0) == [2.0, 4.0]


def test_what_may_go_at_once_may_be_more() -> None:
    assert left(Pace(1.0, at_once=5.0), 1.5) == [0.0] * 5 + [1.0]


@given(st.floats(0.01, 1_000), st.lists(st.floats(0, 10), max_size=200))
def test_never_more_goes_than_the_rate_allows(rate: float, waits: list[float]) -> None:
    pace, now, gone = Pace(rate), 0.0, 0
    for wait in waits:
        now += wait
        if pace.wait(now) == 0:
            pace.take(now)
            gone += 1
        assert gone <= now * rate + max(1.0, rate) + 1e-6


@given(st.floats(0.01, 1_000), st.floats(0, 1e9))
def test_after_the_wait_it_may_go(rate: float, now: float) -> None:
    pace = Pace(rate)
    for _ in range(3):
        pace.take(now)
    assert pace.wait(now + pace.wait(now)) == pytest.approx(0.0, abs=1e-6)
