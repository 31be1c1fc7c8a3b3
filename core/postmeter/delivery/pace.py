"""How fast something may go: at most so much in a time, a little of it at once."""

from __future__ import annotations


class Pace:
    """Lets ``rate`` things go per second, those of ``at_once`` seconds together (one at least)."""

    def __init__(self, rate: float, at_once: float = 1.0, begin: float = 0.0) -> None:
        self.rate = rate
        self._interval = 1.0 / rate
        self._lead = max(0.0, at_once - self._interval)
        self._next = begin  # when it would be the next one's turn, if all came evenly

    def wait(self, now: float) -> float:
        """Seconds until the next one may go; 0: it may now."""
        return max(0.0, self._next - self._lead - now)

    def take(self, now: float) -> None:
        """One goes."""
        self._next = max(self._next, now) + self._interval
