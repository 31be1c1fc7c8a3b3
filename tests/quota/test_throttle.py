"""Slots: never more than so many in any rolling hour, nobody before his turn, and nobody waits without need."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from postmeter.quota.throttle import HOUR, slots

ARRIVALS = st.lists(st.tuples(st.floats(0, 5_000), st.integers(1, 70)), min_size=1, max_size=12)


def test_of_60_at_once_25_leave_now_25_an_hour_later_and_10_after_two() -> None:
    assert slots([], 60, 25, 7.0) == [7.0] * 25 + [7.0 + HOUR] * 25 + [7.0 + 2 * HOUR] * 10


def test_the_hour_rolls() -> None:
    taken = [100.0, 200.0]
    assert slots(taken, 3, 2, 300.0) == [100 + HOUR, 200 + HOUR, 100 + 2 * HOUR]
    assert slots(taken, 1, 2, 100 + HOUR) == [100 + HOUR]
    assert slots(taken, 2, 2, 99_999.0) == [99_999.0] * 2


def test_a_limit_that_was_raised_holds_at_once() -> None:
    assert slots([5.0, 5.0], 3, 4, 6.0) == [6.0, 6.0, 5.0 + HOUR]


def given_out(arrivals: list[tuple[float, int]], per_hour: int) -> list[tuple[float, float]]:
    """When each recipient came and may leave."""
    taken: list[float] = []
    made: list[tuple[float, float]] = []
    now = 0.0
    for pause, recipients in arrivals:
        now += pause
        new = slots(taken, recipients, per_hour, now)
        taken = [*taken, *new][-per_hour:]  # no more is kept
        made += [(now, slot) for slot in new]
    return made


@given(ARRIVALS, st.integers(1, 30))
def test_no_rolling_hour_has_more_than_the_limit(arrivals: list[tuple[float, int]], per_hour: int) -> None:
    given = [slot for _, slot in given_out(arrivals, per_hour)]
    assert given == sorted(given)
    assert all(later >= slot + HOUR for slot, later in zip(given, given[per_hour:], strict=False))


@given(ARRIVALS, st.integers(1, 30))
def test_nobody_waits_without_need(arrivals: list[tuple[float, int]], per_hour: int) -> None:
    made = given_out(arrivals, per_hour)
    for n, (came, slot) in enumerate(made):
        assert slot >= came
        if slot > came:  # the hour before is full, or somebody who came earlier waits as well
            before = made[n - per_hour][1] if n >= per_hour else None
            assert before is not None
            assert slot in (before + HOUR, made[n - 1][1])


def test_who_is_served_later_with_an_earlier_time_waits_for_nobody() -> None:
    assert slots([10.0], 1, 25, 9.5) == [9.5]
    assert slots([10.0, 11.0], 2, 3, 9.5) == [9.5, 9.5 + HOUR]
    assert slots([10.0, 10.0 + HOUR], 1, 2, 9.0 + HOUR) == [10.0 + HOUR]


@given(st.lists(st.tuples(st.floats(0, 9_000), st.integers(1, 9)), max_size=20), st.integers(1, 12))
def test_times_in_any_order_leave_every_rolling_hour_exact_and_nobody_waits_while_it_is_not_full(
    arrivals: list[tuple[float, int]], per_hour: int
) -> None:
    taken: list[float] = []
    for now, recipients in arrivals:
        for slot in slots(taken, recipients, per_hour, now):
            assert slot == now or sum(slot <= other + HOUR for other in taken) >= per_hour
            taken = sorted([*taken, slot])
    assert all(later >= slot + HOUR for slot, later in zip(taken, taken[per_hour:], strict=False))
