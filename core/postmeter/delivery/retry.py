"""When to try again: the schedule, its jitter, and the end of a recipient's lifetime (RFC 5321, 4.5.4.1)."""

from __future__ import annotations

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
SCHEDULE = (1 * MINUTE, 5 * MINUTE, 15 * MINUTE, 30 * MINUTE, 1 * HOUR, 2 * HOUR)
LATER = 4 * HOUR  # after the schedule's end
GREYLISTED = 5 * MINUTE
IN_DOUBT = 17 * MINUTE  # whatever the jitter, a copy under way has a quarter of an hour to show up
JITTER = 0.1


def next_attempt(
    now: float, attempts: int, since: float, lifetime: float, random: float, *, pause: float | None = None
) -> float | None:
    """When to try again after ``attempts`` attempts; None when ``lifetime`` seconds from ``since`` on are over.

    ``since`` is when the recipient was accepted or, under the hourly limit, might first leave.

    ``random`` (0 to 1) spreads the wait by ± 10 %; ``pause`` takes the place of the schedule's wait. The last
    attempt is made at the end of the lifetime, not long before it.
    """
    end = since + lifetime
    if now >= end:
        return None
    wait = pause if pause is not None else SCHEDULE[attempts - 1] if attempts <= len(SCHEDULE) else LATER
    return min(now + wait * (1 - JITTER + 2 * JITTER * random), end)
