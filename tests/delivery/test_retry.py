"""When the next attempt is made."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from postmeter.delivery.retry import DAY, HOUR, IN_DOUBT, LATER, MINUTE, SCHEDULE, next_attempt

moments = st.floats(0, 4e9, allow_nan=False)


@given(
    moments,
    st.integers(1, 100),
    st.floats(-10 * DAY, 10 * DAY),
    st.floats(60, 10 * DAY),
    st.floats(0, 1),
    st.none() | st.floats(1, DAY),
)
def test_the_next_attempt_is_within_a_tenth_of_its_time_and_within_the_lifetime(
    accepted: float, attempts: int, since: float, lifetime: float, random: float, pause: float | None
) -> None:
    now = accepted + since
    at = next_attempt(now, attempts, accepted, lifetime, random, pause=pause)
    if now >= accepted + lifetime:
        assert at is None
        return
    wait = pause or (SCHEDULE[attempts - 1] if attempts <= len(SCHEDULE) else LATER)
    assert at is not None
    assert now <= at <= accepted + lifetime
    assert at == accepted + lifetime or 0.9 * wait - 1e-3 <= at - now <= 1.1 * wait + 1e-3


def test_the_schedule_is_dense_first_and_then_every_four_hours() -> None:
    waits = [next_attempt(0, n, 0, 4 * DAY, 0.5) for n in range(1, 9)]
    assert waits == [MINUTE, 5 * MINUTE, 15 * MINUTE, 30 * MINUTE, HOUR, 2 * HOUR, 4 * HOUR, 4 * HOUR]


def test_the_last_attempt_is_made_at_the_end_of_the_lifetime() -> None:
    assert next_attempt(DAY - 1, 9, 0, DAY, 1.0) == DAY
    assert next_attempt(DAY, 10, 0, DAY, 1.0) is None


def test_a_clock_that_went_back_does_not_shorten_the_wait() -> None:
    assert next_attempt(1000, 1, 5000, DAY, 0.5) == 1060


def test_a_copy_in_doubt_has_a_quarter_of_an_hour_whatever_the_jitter() -> None:
    at = next_attempt(0, 1, 0, DAY, 0.0, pause=IN_DOUBT)
    assert at is not None
    assert at >= 15 * MINUTE
