"""Which sizes may be booked, which block pays, and how long the quota lasts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postmeter.quota.block import (
    AHEAD,
    DAY,
    HORIZON,
    Available,
    Holding,
    allocate,
    check_size,
    expired,
    expiry,
    first_due,
    in_order_of_payment,
    runs_out,
)

BLOCKS = st.lists(st.integers(0, 1000), max_size=8)


@given(st.one_of(st.integers(0, 1_000_000), st.integers(0, 40).map(lambda steps: steps * 25_000)))
def test_exactly_the_multiples_of_the_step_from_the_smallest_on_may_be_booked(units: int) -> None:
    try:
        check_size(units, 50_000, 25_000)
    except ValueError:
        assert units < 50_000 or units % 25_000
    else:
        assert units in range(50_000, 1_000_001, 25_000)


@pytest.mark.parametrize(("units", "told"), [(24_999, "smallest"), (0, "smallest"), (-25_000, "smallest")])
def test_less_than_the_smallest_block_may_not(units: int, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        check_size(units, 25_000, 25_000)


def test_what_is_no_multiple_of_the_step_may_not() -> None:
    with pytest.raises(ValueError, match="multiple of 25,000"):
        check_size(30_000, 25_000, 25_000)


def test_a_block_expires_to_the_second() -> None:
    end = expiry(1_000.0, 30)
    assert end == 1_000.0 + 2_592_000
    assert not expired(end, end - 1)
    assert expired(end, end)


def test_the_soonest_expiry_pays_first_and_then_the_oldest() -> None:
    late, old, young = Holding(1, 5, 0, 300), Holding(3, 5, 10, 200), Holding(2, 5, 20, 200)
    assert in_order_of_payment([late, young, old]) == [old, young, late]


def test_units_are_taken_from_the_first_block_until_it_is_empty() -> None:
    first, second = Available(1, 3), Available(2, 10)
    assert allocate([first, second], 5) == ([(first, 3), (second, 2)], 0)
    assert (first.left, second.left) == (3, 10)


def test_what_no_block_holds_is_the_rest() -> None:
    block = Available(1, 3)
    assert allocate([block], 5) == ([(block, 3)], 2)
    assert allocate([], 5) == ([], 5)


@given(BLOCKS, st.integers(0, 10_000))
def test_payments_and_rest_are_the_units_and_no_block_gives_more_than_it_has(left: list[int], units: int) -> None:
    payments, rest = allocate([Available(i, n) for i, n in enumerate(left)], units)
    assert sum(taken for _, taken in payments) + rest == units
    assert all(0 < taken <= block.left for block, taken in payments)
    assert rest == max(0, units - sum(left))


@given(BLOCKS, st.integers(0, 10_000))
def test_a_later_block_pays_only_when_all_before_it_are_empty(left: list[int], units: int) -> None:
    payments, _ = allocate([Available(i, n) for i, n in enumerate(left)], units)
    full = [block.id for block, taken in payments[:-1] if taken == block.left]
    assert full == [block.id for block, _ in payments[:-1]]
    skipped = [i for i, n in enumerate(left) if payments and i < payments[-1][0].id and n > 0]
    assert skipped == [block.id for block, _ in payments[:-1]]


def test_at_a_steady_pace_it_runs_out_when_all_is_used() -> None:
    assert runs_out([Holding(1, 100, 0, 1e6), Holding(2, 50, 0, 2e6)], 1.0, 1_000.0) == 1_150.0


def test_what_expires_unused_does_not_help() -> None:
    assert runs_out([Holding(1, 1000, 0, 1_100), Holding(2, 50, 0, 2_000)], 1.0, 1_000.0) == 1_150.0


def test_without_traffic_it_ends_with_the_last_expiry() -> None:
    assert runs_out([Holding(1, 10, 0, 500), Holding(2, 10, 0, 700)], 0.0, 100.0) == 700


@pytest.mark.parametrize("blocks", [[], [Holding(1, 0, 0, 500)], [Holding(1, 10, 0, 100)]])
def test_what_is_used_up_or_expired_cannot_run_out(blocks: list[Holding]) -> None:
    assert runs_out(blocks, 1.0, 100.0) is None


# Renewal


def test_a_block_that_renews_begins_anew_at_the_instant_of_its_end() -> None:
    block = Holding(1, 3, 0, 30 * DAY, 25_000, True)
    assert block.at(30 * DAY - 1) == block
    assert block.at(30 * DAY) == Holding(1, 25_000, 30 * DAY, 60 * DAY, 25_000, True)


def test_a_block_that_does_not_is_gone() -> None:
    assert Holding(1, 3, 0, 30 * DAY, 25_000).at(30 * DAY) is None


@given(st.integers(1, 60), st.integers(0, 10**8), st.integers(0, 10**9))
def test_missed_renewals_are_made_up_without_a_gap(days: int, booked_at: int, later: int) -> None:
    end = expiry(booked_at, days)
    block = Holding(1, 3, booked_at, end, 25_000, True).at(booked_at + later)
    assert block is not None
    assert block.booked_at <= booked_at + later < block.expires_at
    assert block.expires_at - block.booked_at == days * DAY
    assert (block.booked_at - booked_at) % (days * DAY) == 0
    assert block.left == (3 if block.booked_at == booked_at else 25_000)


def test_what_ends_for_good_is_told_three_days_ahead() -> None:
    assert first_due(0, 30 * DAY, False) == 27 * DAY
    assert first_due(0, 30 * DAY, True) == 30 * DAY
    assert first_due(0, AHEAD, False) == AHEAD  # it lasts no longer than that


def test_renewals_that_keep_up_with_the_pace_never_run_out() -> None:
    block = Holding(1, 100, 0, 30 * DAY, 25_000, True)
    assert runs_out([block], 0.0, 1.0) is None
    assert runs_out([Holding(1, 25_000, 0, 30 * DAY, 25_000, True)], 25_000 / (31 * DAY), 0.0) is None


def test_a_pace_above_the_renewals_runs_out_before_the_next_one() -> None:
    assert runs_out([Holding(1, 100, 0, 30 * DAY, 25_000, True)], 1.0, 0.0) == 100
    full = Holding(1, 25_000, 0, 30 * DAY, 25_000, True)
    assert runs_out([full], 25_000 / (29 * DAY), 0.0) == pytest.approx(29 * DAY)


def test_a_renewal_on_the_way_lengthens_what_lasts_until_then() -> None:
    renewing, ending = Holding(1, 10, 0, 100, 50, True), Holding(2, 95, 0, 150, 95)
    assert runs_out([renewing, ending], 1.0, 0.0) == 155  # 10, 90 of the other, its last 5, and the renewed 50


@given(st.lists(st.tuples(st.integers(0, 1_000), st.integers(1, 40), st.booleans()), max_size=4), st.floats(0, 0.01))
def test_every_forecast_ends_within_the_horizon(blocks: list[tuple[int, int, bool]], pace: float) -> None:
    held = [Holding(n, left, 0, days * DAY, 1_000, renews) for n, (left, days, renews) in enumerate(blocks)]
    end = runs_out(held, pace, 0.0)
    assert end is None or 0 <= end <= HORIZON + 41 * DAY
