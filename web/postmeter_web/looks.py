"""Looks at the outside while a visitor waits: few at a time, within seconds, and not again within moments."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from postmeter.looking import Heard, look_up

AT_ONCE = 3  # of the panel's threads (serve.MAX_THREADS) that may wait for others' servers
PATIENCE = 4.0  # seconds that a look takes at most
FRESH = 10.0  # seconds for which an answer is taken from memory
MOST = 1_000  # answers remembered
BUSY = "Others are looking things up just now; look again in a few seconds."

Question = tuple[tuple[str, ...], str]


class Looks:
    """What the panel has heard from the DNS: pages of many visitors that renew themselves ask it rarely."""

    def __init__(self, look_up: Callable[[str, Iterable[str], str, float], Heard] = look_up) -> None:
        self._look_up = look_up
        self._room = threading.BoundedSemaphore(AT_ONCE)
        self._heard: dict[Question, tuple[float, Heard]] = {}

    def look(self, server: str, names: Iterable[str], now: float, type: str = "TXT", fresh: float = FRESH) -> Heard:
        """What the DNS server says about the names, at most ``fresh`` seconds old at ``now``, the request's time.

        Names are unknown (``BUSY``), too, while others look so much that there is no room.
        """
        question = (tuple(sorted(set(names))), type)
        at, heard = self._heard.get(question, (now - fresh, Heard({}, {})))
        if now - at < fresh:
            return heard
        with self.turn() as mine:
            if not mine:
                return Heard({}, dict.fromkeys(question[0], BUSY))
            heard = self._look_up(server, *question, PATIENCE)
        if len(self._heard) >= MOST:
            self._heard.clear()
        self._heard[question] = (now, heard)
        return heard

    @contextmanager
    def turn(self) -> Iterator[bool]:
        """Whether this thread may wait for somebody else's server now; at once, so that it blocks nobody."""
        mine = self._room.acquire(blocking=False)
        try:
            yield mine
        finally:
            if mine:
                self._room.release()
