"""The time that a server announces in its reply, before which it is of no use to come back."""

from __future__ import annotations

import re

MOST_TEXT = 2_000  # characters that are looked at
LEAST, MOST = 30.0, 3600.0  # seconds that are believed

_PLAIN = re.compile(
    r"\b(?:in|after|for|wait|least|another|about) {1,3}([0-9]{1,6}) {0,2}"
    r"(s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?)\b"
)
_CLOCK = re.compile(r"\b(?:in|after|for|wait) {1,3}([0-9]{1,3}):([0-9]{2}):([0-9]{2})\b")
_SECONDS = {"s": 1, "m": 60, "h": 3600}


def announced(text: str) -> float | None:
    """The seconds that the text asks to wait, within bounds; None when it names no time."""
    said = text[:MOST_TEXT].lower()
    if found := _CLOCK.search(said):
        hours, minutes, seconds = map(int, found.groups())
        wait = hours * 3600 + minutes * 60 + seconds
    elif found := _PLAIN.search(said):
        wait = int(found[1]) * _SECONDS[found[2][0]]
    else:
        return None
    return min(max(LEAST, float(wait)), MOST)
