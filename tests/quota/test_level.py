"""Low-quota notices: once for each fall below a level, armed again by a refill above it and by nothing else."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from postmeter.quota.level import EXHAUSTED, LOW, OVERDRAFT, Armed

ARMED = Armed(True, True, True)


def test_below_the_threshold_is_told_once() -> None:
    armed, told = ARMED.fallen(10, 10, False)
    assert (armed, told) == (ARMED, ())
    armed, told = armed.fallen(9, 10, False)
    assert told == (LOW,)
    assert armed.fallen(8, 10, False) == (armed, ())


def test_one_step_may_cross_all_levels() -> None:
    armed, told = ARMED.fallen(0, 10, True)
    assert told == (LOW, EXHAUSTED, OVERDRAFT)
    assert armed == Armed(False, False, False)


def test_without_a_threshold_only_nothing_is_told() -> None:
    assert ARMED.fallen(0, 0, False)[1] == (EXHAUSTED,)


def test_a_refill_arms_only_what_it_lifts_above() -> None:
    none = Armed(False, False, False)
    assert none.refilled(0, 10) == none
    assert none.refilled(9, 10) == Armed(False, True, False)
    assert none.refilled(10, 10) == Armed(True, True, False)


@given(st.integers(0, 20), st.lists(st.tuples(st.sampled_from(["take", "book", "release"]), st.integers(1, 15))))
def test_there_are_exactly_as_many_notices_as_falls_after_a_refill(
    threshold: int, steps: list[tuple[str, int]]
) -> None:
    armed, left = Armed(False, False, True), 0
    lifted = {LOW: False, EXHAUSTED: False}  # since the last notice, by the naive rule
    for step, units in steps:
        left = left - min(units, left) if step == "take" else left + units
        expected: tuple[str, ...] = ()
        told: tuple[str, ...] = ()
        if step == "book":
            armed = armed.refilled(left, threshold)
            lifted = {LOW: lifted[LOW] or left >= threshold, EXHAUSTED: lifted[EXHAUSTED] or left > 0}
        elif step == "take":
            below = {LOW: left < threshold, EXHAUSTED: left == 0}
            expected = tuple(kind for kind in below if below[kind] and lifted[kind])
            lifted = {kind: lifted[kind] and kind not in expected for kind in lifted}
            armed, told = armed.fallen(left, threshold, False)
        assert told == expected
