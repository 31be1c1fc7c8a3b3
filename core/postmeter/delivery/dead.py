"""Destinations of which no host took a session, remembered for a minute: what is for them does not hold up the rest."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from postmeter.delivery.opening import NoSession

LIFE = 60.0
PROBE = 600.0  # seconds that a try may take until the next one
MOST = 10_000


class Dead:
    """By what the pool knows destinations by; ``clock`` is the reactor."""

    def __init__(self, clock: Any) -> None:
        self._clock = clock
        self._known: dict[Hashable, tuple[float, NoSession]] = {}

    def add(self, key: Hashable, failure: NoSession) -> None:
        """It is dead, from now on."""
        if len(self._known) >= MOST:
            del self._known[next(iter(self._known))]
        self._known[key] = self._clock.seconds() + LIFE, failure

    def remove(self, key: Hashable) -> None:
        """It lives."""
        self._known.pop(key, None)

    def recall(self, key: Hashable) -> NoSession | None:
        """Why it is dead; None: it may be tried. Once the minute is over, who asks first is to try it for all."""
        until, failure = self._known.get(key, (0.0, None))
        now = self._clock.seconds()
        if failure is None or now < until:
            return failure
        self._known[key] = now + PROBE, failure
        return None
