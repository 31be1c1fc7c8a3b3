"""A breaker opens after failures in a row, tries now and then, and closes with the first success."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from postmeter.breaker import FAILURES, LONGEST_PAUSE, PAUSE, Breaker, doubled


def opened() -> Breaker:
    """A breaker that has just opened, at 0."""
    breaker = Breaker()
    assert [breaker.failed(0.0) for _ in range(FAILURES)] == [False] * (FAILURES - 1) + [True]
    return breaker


def test_it_opens_after_failures_in_a_row() -> None:
    breaker = Breaker()
    for _ in range(3):
        for _ in range(FAILURES - 1):
            assert not breaker.failed(0.0)
        assert not breaker.open
        assert not breaker.succeeded()
    assert opened().open


def test_there_is_one_probe_at_a_time_and_a_success_closes_it() -> None:
    breaker = opened()
    assert not breaker.probe(PAUSE - 0.1)
    assert breaker.probe(PAUSE)
    assert not breaker.probe(PAUSE * 100)
    assert breaker.succeeded()
    assert not breaker.open
    assert not breaker.succeeded()


def test_the_pause_doubles_with_each_probe_that_fails() -> None:
    breaker, now, pauses = opened(), 0.0, []
    for _ in range(6):
        pauses.append(next(pause for pause in range(1000) if breaker.probe(now + pause)))
        now += pauses[-1]
        assert not breaker.failed(now)
    assert pauses == [30, 60, 120, 240, LONGEST_PAUSE, LONGEST_PAUSE]


def test_what_was_asked_before_it_opened_does_not_count_as_a_probe() -> None:
    breaker = opened()
    for _ in range(50):
        assert not breaker.failed(1.0)
    assert breaker.probe(PAUSE)


def test_an_answer_to_what_was_asked_before_it_opened_closes_it() -> None:
    breaker = opened()
    assert breaker.succeeded()
    assert [breaker.failed(0.0) for _ in range(FAILURES)][-1]


@given(st.integers(0, 10**9))
def test_a_pause_is_never_longer_than_the_longest(times: int) -> None:
    assert 2.0 <= doubled(2.0, times, 300.0) <= 300.0


@given(st.lists(st.booleans()))
def test_it_is_open_exactly_after_failures_in_a_row(outcomes: list[bool]) -> None:
    breaker, row = Breaker(), 0
    for n, success in enumerate(outcomes):
        if breaker.open:
            assert breaker.probe(n * 1000.0)
        changed = breaker.succeeded() if success else breaker.failed(n * 1000.0)
        before, row = row, 0 if success else row + 1
        assert breaker.open == (row >= FAILURES)
        assert changed == ((before >= FAILURES) != (row >= FAILURES))
