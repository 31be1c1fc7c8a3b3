"""The hourly limit: when each recipient of an account without a paid block may leave."""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence

HOUR = 3_600.0  # seconds


def slots(taken: Sequence[float], recipients: int, per_hour: int, now: float) -> list[float]:
    """When the next recipients may leave, so that in no 3,600 s more than ``per_hour`` do.

    ``taken`` are the slots given before, sorted; the last ``per_hour`` of them are enough. Nobody overtakes who came
    earlier; but who is served later with an earlier ``now`` waits only for an hour that is full.
    """
    known, given = list(taken), []
    for _ in range(recipients):
        free = known[-per_hour] + HOUR if len(known) >= per_hour else now
        given.append(max(now, free))  # at most per_hour - 1 others are less than an hour before it, or after it
        insort(known, given[-1])
    return given
