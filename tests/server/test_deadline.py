"""The deadline of a session: what moves it on, and what does not."""

from __future__ import annotations

from postmeter.config import Smtp
from postmeter.server.deadline import FAREWELL, GRACE, Deadline

LIMITS = Smtp()


def test_until_log_in_there_is_one_minute_whatever_is_said() -> None:
    deadline = Deadline(LIMITS, 1000.0)
    assert deadline.at == 1060.0
    deadline.answered(1059.0, in_content=False)
    assert deadline.at == 1060.0


def test_a_handshake_has_its_own_time_but_not_more_than_is_left() -> None:
    deadline = Deadline(LIMITS, 1000.0)
    deadline.shaking_hands(1001.0)
    assert deadline.at == 1031.0
    deadline.secured()
    assert deadline.at == 1060.0
    deadline.shaking_hands(1050.0)
    assert deadline.at == 1060.0


def test_after_log_in_every_answer_gives_the_next_command_its_time() -> None:
    deadline = Deadline(LIMITS, 1000.0)
    deadline.logged_in()
    for now in (1010.0, 1300.0):
        deadline.answered(now, in_content=False)
        assert deadline.at == now + 300


def content(limits: Smtp = LIMITS) -> Deadline:
    """A session whose content has begun at 2000."""
    deadline = Deadline(limits, 1000.0)
    deadline.logged_in()
    deadline.answered(2000.0, in_content=True)
    return deadline


def test_a_content_has_a_minute_before_its_rate_counts() -> None:
    deadline = content()
    assert deadline.at == 2000 + GRACE
    deadline.heard(2001.0, 500 * 59)
    assert deadline.at == 2000 + GRACE


def test_octets_buy_time_at_the_least_rate_until_half_an_hour_is_over() -> None:
    deadline = content()
    deadline.heard(2100.0, 500 * 200)
    assert deadline.at == 2200.0
    deadline.heard(3700.0, 30_000_000)
    assert deadline.at == 2000 + 1800


def test_a_content_that_stops_has_no_more_time_than_a_command() -> None:
    deadline = content()
    deadline.heard(2010.0, 30_000_000)
    assert deadline.at == 2010 + 300


def test_replies_between_the_chunks_of_a_content_give_it_no_more_time() -> None:
    deadline = content()
    deadline.heard(2010.0, 500 * 100)
    deadline.answered(2090.0, in_content=True)
    assert deadline.at == 2100.0


def test_the_next_content_begins_anew() -> None:
    deadline = content()
    deadline.heard(2010.0, 500 * 100)
    deadline.answered(2050.0, in_content=False)
    assert deadline.at == 2050 + 300
    deadline.answered(2060.0, in_content=True)
    assert (deadline.octets, deadline.at) == (0, 2060 + GRACE)


def test_without_a_least_rate_only_the_whole_time_counts() -> None:
    deadline = content(Smtp(min_data_rate=0))
    deadline.heard(3600.0, 1)
    assert deadline.at == 2000 + 1800


def test_the_farewell_has_its_own_time_in_every_state() -> None:
    for deadline in (Deadline(LIMITS, 1000.0), content()):
        deadline.shaking_hands(2000.0)
        deadline.leaving(2001.0)
        assert deadline.at == 2001 + FAREWELL
        deadline.answered(2010.0, in_content=False)
        assert deadline.at == 2001 + FAREWELL
