"""When a recipient that still waits is late: after a quarter of an hour, and again after four hours."""

from __future__ import annotations

import math

MARKS = (900.0, 14_400.0)  # seconds from the moment on at which it could leave
TOLD = math.inf  # the mark of a recipient of which all was told, so that it does not begin anew


def first_mark(since: float) -> float:
    """The mark of a recipient that begins to wait, also if that is over already: then it is told at once."""
    return since + MARKS[0]


def next_mark(since: float, now: float) -> float:
    """The mark that follows when the one before has been told."""
    return next((since + mark for mark in MARKS if since + mark > now), TOLD)
