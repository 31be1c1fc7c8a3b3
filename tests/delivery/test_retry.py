"""When the next attempt is made."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postmeter.delivery.retry import (
    DAY,
    GREYLISTED,
    HOUR,
    IN_DOUBT,
    LATER,
    MINUTE,
    SCHEDULE,
    Pause,
    draw,
    next_attempt,
    pause_after,
)
from postmeter.message.identifier import IdFactory
from postmeter.smtp.mail import Outcome
from postmeter.smtp.reply import Reply

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
    at = next_attempt(now, attempts, accepted, lifetime, random, pause=Pause(pause) if pause else None)
    if now >= accepted + lifetime:
        assert at is None
        return
    wait = pause or (SCHEDULE[attempts - 1] if attempts <= len(SCHEDULE) else LATER)
    least, most = (1.0, 1.2) if pause else (0.9, 1.1)
    assert at is not None
    assert now <= at <= accepted + lifetime
    assert at == accepted + lifetime or least * wait - 1e-3 <= at - now <= most * wait + 1e-3


def test_the_schedule_is_dense_first_and_then_every_four_hours() -> None:
    waits = [next_attempt(0, n, 0, 4 * DAY, 0.5) for n in range(1, 9)]
    assert waits == [MINUTE, 5 * MINUTE, 15 * MINUTE, 30 * MINUTE, HOUR, 2 * HOUR, 4 * HOUR, 4 * HOUR]


def test_the_last_attempt_is_made_at_the_end_of_the_lifetime() -> None:
    assert next_attempt(DAY - 1, 9, 0, DAY, 1.0) == DAY
    assert next_attempt(DAY, 10, 0, DAY, 1.0) is None


def test_a_clock_that_went_back_does_not_shorten_the_wait() -> None:
    assert next_attempt(1000, 1, 5000, DAY, 0.5) == 1060


@given(st.floats(0, 1), st.floats(0, 1))
def test_a_one_time_password_is_tried_at_once_after_a_minute_in_between_and_at_its_end(one: float, two: float) -> None:
    times = [0.0]
    for attempts, random in enumerate((one, two, one), 1):
        at = next_attempt(times[-1], attempts, 0, 10 * MINUTE, random)
        assert at is not None
        times.append(at)
    assert 54 <= times[1] <= 66
    assert 4.5 * MINUTE <= times[2] - times[1] <= 5.5 * MINUTE
    assert times[3] == 10 * MINUTE
    assert next_attempt(times[3], 4, 0, 10 * MINUTE, one) is None


@given(st.floats(0, 1))
def test_a_copy_in_doubt_has_a_quarter_of_an_hour_whatever_the_jitter(random: float) -> None:
    at = next_attempt(0, 1, 0, DAY, random, pause=IN_DOUBT)
    assert at is not None
    assert 15 * MINUTE <= at <= 18 * MINUTE


def test_a_copy_in_doubt_is_not_followed_sooner_because_the_time_is_over() -> None:
    assert next_attempt(0, 1, 0, 10 * MINUTE, 0.0, pause=IN_DOUBT) is None
    assert next_attempt(0, 1, 0, 15 * MINUTE, 0.0, pause=IN_DOUBT) == 15 * MINUTE
    assert next_attempt(0, 1, 0, 2 * MINUTE, 0.0, pause=GREYLISTED) == 2 * MINUTE


@given(st.floats(0, 1))
def test_who_is_greylisted_for_five_minutes_gets_his_mail_within_seven(random: float) -> None:
    refused = Outcome(0, Reply(450, "4.7.1", "Greylisted"), "rcpt")
    for earlier, failure in ((0, ""), (1, "greylist"), (1, "net"), (7, "net")):  # it may have been out of reach before
        pause = pause_after(refused, earlier, failure, greylisted=True)
        at = next_attempt(0, earlier + 1, 0, DAY, random, pause=pause)
        assert at is not None
        assert 5 * MINUTE <= at <= 7 * MINUTE


@pytest.mark.parametrize(
    ("reply", "attempts", "pause"),
    [
        (Reply(450, "4.7.1", "Greylisted"), 0, GREYLISTED),
        (Reply(450, "4.7.1", "Greylisted"), 2, None),
        (Reply(451, "4.7.1", "Greylisted for 90 seconds"), 1, Pause(90)),
        (Reply(450, "4.2.0", "Try again in 2 minutes"), 0, Pause(120)),
        (Reply(450, "4.2.0", "Try again in 2 minutes"), 2, None),
        (Reply(452, "4.2.2", "Try again in 2 minutes"), 0, None),
        (Reply(451, "4.3.0", "Try again later"), 0, None),
    ],
)
def test_the_schedule_gives_way_to_what_the_server_asks_for_twice(
    reply: Reply, attempts: int, pause: Pause | None
) -> None:
    grey = "Grey" in reply.text
    assert pause_after(Outcome(0, reply, "rcpt"), attempts, "greylist", greylisted=grey) == pause
    assert pause_after(Outcome(0, reply, "content", in_doubt=True), attempts, "net", greylisted=grey) == IN_DOUBT


@given(st.text(max_size=26), st.integers(0, 100))
def test_the_recipients_of_a_message_draw_the_same_number(message_id: str, attempts: int) -> None:
    assert 0 <= draw(message_id, attempts) == draw(message_id, attempts) <= 1


def test_messages_and_attempts_draw_numbers_that_spread_evenly() -> None:
    ids = IdFactory(lambda: 1e9, Random(1).randbytes)
    made = [ids() for _ in range(2_000)]
    for numbers in ([draw(one, 1) for one in made], [draw(made[0], attempts) for attempts in range(2_000)]):
        tenths = Counter(int(number * 10) for number in numbers)
        assert all(150 < tenths[tenth] < 250 for tenth in range(10)), tenths
    # An early attempt says nothing about the next: else some would be late again and again, and all of these at once.
    pairs = Counter((int(draw(one, 1) * 3), int(draw(one, 2) * 3)) for one in made)
    assert len(pairs) == 9
    assert all(170 < number < 275 for number in pairs.values()), pairs
