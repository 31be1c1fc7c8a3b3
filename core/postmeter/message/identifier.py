"""Names of messages: UUIDv7 as 26 characters, in the order of time (RFC 9562, 5.7)."""

from __future__ import annotations

import re
from collections.abc import Callable
from threading import Lock

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base 32: without I, L, O and U
_PAIRS = [high + low for high in _ALPHABET for low in _ALPHABET]
_VALUES = {character: value for value, character in enumerate(_ALPHABET)}
_ID = re.compile(rf"[0-7][{_ALPHABET}]{{25}}")
_LOW = (1 << 62) - 1
_MIDDLE = (1 << 12) - 1


def new_id(now_ms: int, random: bytes) -> str:
    """The id for a moment (milliseconds since 1970) and at least 10 random octets, of which 74 bits are used."""
    return _encode(now_ms << 74 | int.from_bytes(random[:10], "big") >> 6)


def is_id(text: str) -> bool:
    """Whether ``text`` has the form of an id."""
    return _ID.fullmatch(text) is not None


def time_of(identifier: str) -> int:
    """When the id was made, in milliseconds since 1970; ValueError when it is not an id."""
    if not is_id(identifier):
        raise ValueError(f"not an id: {identifier[:40]!r}")
    value = 0
    for character in identifier:
        value = value << 5 | _VALUES[character]
    return value >> 80


class IdFactory:
    """Makes ids that only grow, in any thread, also within a millisecond and when the clock is set back.

    ``clock`` gives seconds since 1970; ``randbytes(n)`` gives n octets that nobody can guess (``os.urandom``).
    """

    def __init__(self, clock: Callable[[], float], randbytes: Callable[[int], bytes]) -> None:
        self._clock = clock
        self._randbytes = randbytes
        self._last = 0
        self._lock = Lock()

    def __call__(self) -> str:
        """The next id."""
        random = int.from_bytes(self._randbytes(10), "big")
        with self._lock:
            number = int(self._clock() * 1000) << 74 | random >> 6
            if number <= self._last:  # RFC 9562, 6.2, method 2: grow by a random step
                number = self._last + 1 + (random & 0xFFFFFFFF)
            self._last = number
        return _encode(number)


def _encode(number: int) -> str:
    """48 bits of time and 74 random bits with version and variant between them, in base 32."""
    value = number >> 74 << 80 | 7 << 76 | (number >> 62 & _MIDDLE) << 64 | 2 << 62 | number & _LOW
    pairs = _PAIRS
    return "".join([pairs[value >> shift & 1023] for shift in range(120, -1, -10)])
