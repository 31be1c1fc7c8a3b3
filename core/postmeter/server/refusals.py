"""Tells the log that sessions are turned away: a line for each address and minute, not one for each session."""

from __future__ import annotations

import logging
from collections.abc import Callable

from postmeter.server.origin import origin

log = logging.getLogger(__name__)

MINUTE = 60.0  # seconds
MOST = 1_000  # addresses that are told one by one


class Refusals:
    """What an operator, or fail2ban, should know of clients that come too often."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._told: dict[str, list[int]] = {}  # how many since the line was written
        self._until = 0.0

    def note(self, address: str, why: str) -> None:
        """A session of the address was turned away; ``why`` is our own word."""
        if self._clock() >= self._until:
            self._begin()
        place = origin(address)
        told = self._told.get(place)
        if told is not None:
            told[0] += 1
        elif len(self._told) < MOST:
            self._told[place] = [0]
            log.warning("sessions from %s are turned away: %s", place, why)

    def _begin(self) -> None:
        for place, (more,) in self._told.items():
            if more:
                log.warning("sessions from %s are turned away: %d more within a minute", place, more)
        self._told.clear()
        self._until = self._clock() + MINUTE
