"""What a worker knows of its own leases: whether they still hold, and whether it may judge those of others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

LEASE = 45.0  # seconds a worker's leases last without a heartbeat
HEARTBEAT = 10.0  # seconds between heartbeats, and between looks for workers that are gone


@dataclass(frozen=True, slots=True)
class Moment:
    """A time in seconds by two clocks: one that nobody sets, and the wall's, which goes on while we are suspended."""

    monotonic: float
    wall: float

    def until(self, later: Moment) -> float:
        """Seconds by the clock that counted more."""
        return max(later.monotonic - self.monotonic, later.wall - self.wall)


class Lease:
    """Follows the heartbeats of one worker, which has just been registered."""

    def __init__(self, now: Callable[[], Moment]) -> None:
        self.now = now
        self._renewed = self._confirmed = self._steady_since = now()

    def confirm(self, begun: Moment) -> None:
        """A heartbeat that began at ``begun`` has been committed."""
        now = self.now()
        if self._confirmed.until(now) > 2 * HEARTBEAT:
            self._steady_since = now
        self._confirmed, self._renewed = now, begun

    @property
    def held(self) -> bool:
        """Whether nobody can have taken the leases over, with time to spare for what begins now."""
        return self._renewed.until(self.now()) < LEASE - HEARTBEAT

    @property
    def steady(self) -> bool:
        """Whether heartbeats came through for so long that others who live must have renewed their leases as well.

        After a stall of the store, or a jump of the clock, all leases look expired until everybody had that time.
        """
        now = self.now()
        return self._confirmed.until(now) <= 2 * HEARTBEAT and self._steady_since.until(now) >= LEASE
