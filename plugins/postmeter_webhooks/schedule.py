"""When a webhook that failed is tried again, and when there is no more sense in it."""

from __future__ import annotations

from dataclasses import dataclass

DELAYS = (5, 300, 1800, 7200, 18_000, 36_000, 36_000)  # seconds after each attempt that failed; 27 hours in all
JITTER = 0.1  # a delay is longer by up to this part, so that what failed at once does not come at once
MAX_RETRY_AFTER = 36_000.0  # seconds
GONE = 410

TOLERATED = 3  # failures in a row; then the endpoint rests
REST, MAX_REST = 5.0, 300.0  # seconds: after the first failure too many, doubled with each further one

WAITING, DELIVERED, FAILED = "waiting", "delivered", "failed"  # the states of a delivery


@dataclass(frozen=True, slots=True)
class Answer:
    """What an endpoint said: an HTTP status (None: nothing), in words, and for how many seconds to leave it alone."""

    status: int | None
    text: str
    retry_after: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether it has taken the webhook."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def gone(self) -> bool:
        """Whether it wants no more."""
        return self.status == GONE


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a delivery after its attempt number ``attempts``; ``next_at`` counts while it waits."""

    state: str
    attempts: int
    next_at: float


def verdict(answer: Answer, attempts: int, now: float, random: float) -> Verdict:
    """Judge an answer after ``attempts`` earlier ones, all failures; ``random`` is between 0 and 1."""
    made = attempts + 1
    if answer.ok:
        return Verdict(DELIVERED, made, now)
    if answer.gone or made > len(DELAYS):
        return Verdict(FAILED, made, now)
    delay = DELAYS[made - 1] * (1 + JITTER * random)
    return Verdict(WAITING, made, now + max(delay, answer.retry_after))


def is_lost(failures: int, seconds: float) -> bool:
    """Whether an endpoint that failed so often in a row, for so long, has failed as much as an event can."""
    return failures > len(DELAYS) and seconds >= sum(DELAYS)


def rest(failures: int) -> float:
    """For how many seconds an endpoint is left alone after so many failures in a row, whatever waits for it."""
    if failures < TOLERATED:
        return 0.0
    return float(min(MAX_REST, REST * 2 ** min(failures - TOLERATED, 10)))
