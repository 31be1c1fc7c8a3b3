"""Slows down who guesses passwords or has mails sent: a few tries per user and per address, then a pause."""

from __future__ import annotations

import ipaddress
import threading
from collections import deque
from collections.abc import Sequence

LIMIT = 5  # failures
WINDOW = 900.0  # seconds
_MANY = 10_000  # keys, from which on those out of the window are dropped


class Throttle:
    """At most ``limit`` failures per key within a rolling window in seconds, in memory. Safe for many threads."""

    def __init__(self, limit: int = LIMIT, window: float = WINDOW) -> None:
        self._limit = limit
        self._window = window
        self._lock = threading.Lock()
        self._failures: dict[str, deque[float]] = {}

    def attempt(self, keys: Sequence[str], now: float) -> float:
        """Count a try for all keys and give 0; or count nothing and give the seconds to wait, at least 1.

        A try counts as failed from its start, so that many at the same moment do not slip through.
        """
        with self._lock:
            self._forget(keys, now)
            full = [times for key in keys if len(times := self._failures.get(key, deque())) >= self._limit]
            if full:
                return max(1.0, *(times[0] + self._window - now for times in full))
            for key in keys:
                self._failures.setdefault(key, deque()).append(now)
            return 0.0

    def forgive(self, keys: Sequence[str], at: float) -> None:
        """The try counted at ``at`` was right: it is no failure."""
        with self._lock:
            for key in keys:
                if at in (times := self._failures.get(key, deque())):
                    times.remove(at)

    def _forget(self, keys: Sequence[str], now: float) -> None:
        for key in list(self._failures) if len(self._failures) > _MANY else keys:
            times = self._failures.get(key)
            while times and times[0] <= now - self._window:
                times.popleft()
            if times is not None and not times:
                del self._failures[key]


def address_key(address: str) -> str:
    """The address as the throttle counts it: an IPv6 network of 64 bits is one customer's, so it is one key."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(parsed.ipv4_mapped or ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)
