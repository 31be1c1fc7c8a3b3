"""What time servers announce in their replies."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postmeter.delivery.announced import LEAST, MOST, announced


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Greylisted, please try again in 300 seconds", 300),
        ("Greylisted for 5 minutes", 300),
        ("Greylisting in action, please come back in 00:04:30", 270),
        ("try again after 90s", 90),
        ("Please wait 2 min before you retry", 120),
        ("You must wait at least 45 secs", 45),
        ("Come back in about 1 hour", 3600),
        ("Deferred: retry in 24 hours", MOST),
        ("try again in 1 second", LEAST),
        ("in 999999 h", MOST),
        ("Greylisted, see http://postgrey.example/help", None),
        ("Temporary failure, try again later", None),
        ("queued as 12AB34 in 5.6 ms", None),
        ("try again in five minutes", None),
        ("domain 300 seconds", None),
    ],
)
def test_a_time_in_the_text_is_found(text: str, seconds: float | None) -> None:
    assert announced(text) == seconds


@given(st.text())
def test_any_text_has_a_time_within_bounds_or_none(text: str) -> None:
    assert (found := announced(text)) is None or LEAST <= found <= MOST


@pytest.mark.parametrize("piece", ["in ", "in 9", "9", "in  ", "in 000000", "in 00:00:", " ", "in 5 second "])
def test_a_hostile_text_takes_no_time(piece: str) -> None:
    begun = time.thread_time()
    announced(piece * 100_000)
    assert time.thread_time() - begun < 0.05
