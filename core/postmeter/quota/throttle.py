"""The hourly limit: when each recipient of an account without a paid block may leave."""

from __future__ import annotations

from collections.abc import Sequence

HOUR = 3_600.0  # seconds


def slots(taken: Sequence[float], recipients: int, per_hour: int, now: float) -> list[float]:
    """When the next recipients may leave, so that in no 3,600 s more than ``per_hour`` do.

    ``taken`` are the slots given before, in order; the last ``per_hour`` of them are enough. Nobody overtakes: a slot
    is never before one that was given earlier.
    """
    known = list(taken)
    for _ in range(recipients):
        last = known[-1] if known else now
        free = known[-per_hour] + HOUR if len(known) >= per_hour else now
        known.append(max(now, last, free))
    return known[len(taken) :]
