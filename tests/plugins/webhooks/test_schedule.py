"""Retries over a day and a bit, in the steps of Standard Webhooks."""

from __future__ import annotations

import pytest

from postmeter_webhooks.schedule import (
    DELAYS,
    DELIVERED,
    FAILED,
    WAITING,
    Answer,
    Verdict,
    is_lost,
    rest,
    verdict,
)

NOW = 1_800_000_000.0
NO = Answer(500, "500")


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_every_2xx_is_a_success(status: int) -> None:
    assert verdict(Answer(status, ""), 3, NOW, 0.5) == Verdict(DELIVERED, 4, NOW)


@pytest.mark.parametrize("status", [None, 100, 301, 302, 400, 404, 429, 500, 503])
def test_everything_else_is_tried_again(status: int | None) -> None:
    assert verdict(Answer(status, ""), 0, NOW, 0.0) == Verdict(WAITING, 1, NOW + 5)


def test_the_steps_are_5_s_5_min_30_min_2_h_5_h_10_h_and_10_h() -> None:
    minute, hour = 60, 3600
    steps = [verdict(NO, attempts, NOW, 0.0).next_at - NOW for attempts in range(7)]
    assert steps == [5, 5 * minute, 30 * minute, 2 * hour, 5 * hour, 10 * hour, 10 * hour]
    assert 24 * hour < sum(steps) < 28 * hour


def test_after_the_last_retry_it_has_failed() -> None:
    assert verdict(NO, len(DELAYS), NOW, 0.0) == Verdict(FAILED, len(DELAYS) + 1, NOW)


def test_chance_makes_a_step_longer_by_a_tenth_at_most() -> None:
    assert verdict(NO, 1, NOW, 1.0).next_at - NOW == pytest.approx(330)
    assert verdict(NO, 1, NOW, 0.5).next_at - NOW == pytest.approx(315)


def test_gone_is_final_at_once() -> None:
    assert verdict(Answer(410, ""), 0, NOW, 0.0) == Verdict(FAILED, 1, NOW)


def test_a_wish_to_be_left_alone_makes_a_step_longer_and_never_shorter() -> None:
    assert verdict(Answer(429, "", 120.0), 0, NOW, 0.0).next_at == NOW + 120
    assert verdict(Answer(429, "", 120.0), 1, NOW, 0.0).next_at == NOW + 300


def test_an_endpoint_rests_after_the_third_failure_in_a_row_up_to_five_minutes() -> None:
    assert [rest(failures) for failures in (0, 2, 3, 4, 5, 9, 100_000)] == [0, 0, 5, 10, 20, 300, 300]


def test_an_endpoint_is_lost_when_it_has_failed_as_often_and_as_long_as_an_event_can() -> None:
    often, long = len(DELAYS) + 1, float(sum(DELAYS))
    assert is_lost(often, long)
    assert not is_lost(often - 1, 10 * long)
    assert not is_lost(10 * often, long - 1)
