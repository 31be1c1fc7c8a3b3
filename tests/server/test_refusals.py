"""What the log says of sessions that are turned away: enough to act on, and no flood."""

from __future__ import annotations

import pytest

from postmeter.server.refusals import MOST, Refusals


def test_each_address_has_a_line_a_minute_and_then_how_many_more(caplog: pytest.LogCaptureFixture) -> None:
    now = 1000.0
    refusals = Refusals(lambda: now)
    for _ in range(5):
        refusals.note("192.0.2.1", "Too many sessions")
    refusals.note("2001:db8::1", "Too busy")
    assert caplog.messages == [
        "sessions from 192.0.2.1 are turned away: Too many sessions",
        "sessions from 2001:db8::/64 are turned away: Too busy",
    ]
    caplog.clear()
    now += 60
    refusals.note("192.0.2.1", "Too many sessions")
    assert caplog.messages == [
        "sessions from 192.0.2.1 are turned away: 4 more within a minute",
        "sessions from 192.0.2.1 are turned away: Too many sessions",
    ]


def test_a_flood_from_everywhere_fills_neither_log_nor_memory(caplog: pytest.LogCaptureFixture) -> None:
    refusals = Refusals(lambda: 0.0)
    for n in range(3 * MOST):
        refusals.note(f"10.0.{n // 250}.{n % 250}", "Too busy")
    assert len(caplog.messages) == len(refusals._told) == MOST
