"""Looks at what is late are bounded, and the next one goes on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from postmeter.delivery.late_watch import MOST_BATCHES, LateWatch
from postmeter.store.delays import BATCH


@pytest.mark.parametrize(
    ("results", "submitted"),
    [
        ([0], 1),
        ([BATCH - 1], 1),
        ([BATCH, BATCH, 7], 3),
        ([BATCH, OSError("the database is gone")], 2),
        ([BATCH] * (MOST_BATCHES + 1), MOST_BATCHES),
    ],
)
def test_a_look_ends_when_nothing_is_left_or_enough_was_done(results: list[Any], submitted: int) -> None:
    asked: list[float] = []

    def submit(change: Any, at: float, done: Callable[[Any], None]) -> None:
        assert change is tell
        asked.append(at)
        done(results[len(asked) - 1])

    def tell(*_arguments: Any) -> list[int]:
        raise AssertionError("the writer calls it")

    LateWatch(tell, submit, lambda: 5.0).look()
    assert asked == [5.0] * submitted
