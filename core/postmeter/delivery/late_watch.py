"""Looks after recipients that are late, and has that told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy.orm import Session

from postmeter.committing import Submit
from postmeter.store.delays import BATCH

LATE_EVERY = 10.0  # seconds between two looks
MOST_BATCHES = 10  # of one look: after an outage of many providers the rest has its turn later


class LateWatch:
    """Of one worker; ``change`` tells of what is late at a time, and gives how many there were."""

    def __init__(
        self, change: Callable[[Session, Sequence[float]], list[int]], submit: Submit, clock: Callable[[], float]
    ) -> None:
        self._change = change
        self._submit = submit
        self._clock = clock
        self._left = 0  # batches of this look

    def look(self) -> None:
        """Have all told that is late, one batch after the other."""
        self._left = MOST_BATCHES
        self._next()

    def _next(self) -> None:
        self._left -= 1
        self._submit(self._change, self._clock(), self._told)

    def _told(self, result: Any) -> None:
        """After an exception, which the writer has logged, the next look tries it again."""
        if result == BATCH and self._left > 0:
            self._next()
