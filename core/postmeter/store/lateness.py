"""When a recipient that still waits is late: after a quarter of an hour, and again after four hours."""

from __future__ import annotations

MARKS = (900.0, 14_400.0)  # seconds from the moment on at which it could leave


def first_mark(since: float, now: float) -> float | None:
    """The mark of a recipient that begins to wait, also if that is over already: then it is told at once.

    None behind the last mark: who begins to wait there has waited before without an attempt, and was told.
    """
    return since + MARKS[0] if now < since + MARKS[-1] else None


def next_mark(since: float, now: float) -> float | None:
    """The mark that follows when the one before has been told; None: there is none any more."""
    return next((since + mark for mark in MARKS if since + mark > now), None)
