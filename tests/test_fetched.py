"""An answer says when to come again, in one of two forms or in none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postmeter import Fetched
from support.tenants import NOW

MOST = 86_400.0  # seconds


def saying(text: str) -> Fetched:
    return Fetched(503, {"retry-after": text}, b"")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120.0), (" 7 ", 7.0), ("0", 0.0), ("", 0.0), ("soon", 0.0), ("-5", 0.0), ("1.5", 0.0), ("¹²", 0.0),
        ("9" * 400, MOST), ("Fri, 15 Jan 2027 08:02:00 GMT", 120.0), ("Fri, 15 Jan 2027 07:00:00 GMT", 0.0),
        ("Fri, 15 Jan 2047 08:00:00 GMT", MOST), ("Fri, 15 Jan 2027 08:01:00 -0000", 60.0),
        ("Mon, 01 Jan 99999999999999999999 00:00:00 GMT", 0.0), ("Fri, 15 Jan 2027 08:02:00 +9999999999999999", 0.0),
    ],
)  # fmt: skip
def test_retry_after_is_seconds_or_a_date(text: str, seconds: float) -> None:
    assert saying(text).retry_after(NOW, MOST) == seconds


def test_an_answer_without_retry_after_asks_for_nothing() -> None:
    assert Fetched(503, {}, b"").retry_after(NOW, MOST) == 0.0


@given(st.text() | st.from_regex(r"(Mon, )?\d+ Jan \d+ \d+:\d\d(:\d\d)?( [+-]?\d+)?", fullmatch=True))
def test_any_retry_after_is_a_time_within_the_limit(text: str) -> None:
    assert 0.0 <= saying(text).retry_after(NOW, MOST) <= MOST
