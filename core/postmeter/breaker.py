"""When somebody who may be broken is worth asking: not after failures in a row, but for a try now and then."""

from __future__ import annotations

import math

FAILURES = 5  # in a row: then it is taken for broken
PAUSE, LONGEST_PAUSE = 30.0, 300.0  # seconds between two tries of somebody broken: the first ones, the last ones


class Breaker:
    """Closed while all is well, open after ``FAILURES`` in a row; then one try, the probe, at a time.

    Between probes there is a pause that doubles with each that fails; one that succeeds closes it.
    """

    def __init__(self) -> None:
        self._failures = 0
        self._probe_at = math.inf  # while a probe is under way there is no other

    @property
    def open(self) -> bool:
        """Whether nobody should wait for an answer."""
        return self._failures >= FAILURES

    def probe(self, now: float) -> bool:
        """Whether it is time for a probe; who is told so makes it, and says what came of it."""
        if now < self._probe_at:
            return False
        self._probe_at = math.inf
        return True

    def succeeded(self) -> bool:
        """An answer came; whether that has closed it."""
        closed, self._failures, self._probe_at = self.open, 0, math.inf
        return closed

    def failed(self, now: float) -> bool:
        """No answer came; whether that has opened it. What was asked before it opened counts no more."""
        if self._probe_at < math.inf:
            return False
        self._failures += 1
        if self.open:
            self._probe_at = now + doubled(PAUSE, self._failures - FAILURES, LONGEST_PAUSE)
        return self._failures == FAILURES


def doubled(first: float, times: int, most: float) -> float:
    """The pause ``first``, doubled so many times, but not longer than ``most``; all in seconds."""
    return min(first * 2.0 ** min(times, 30), most)
