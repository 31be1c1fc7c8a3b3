"""What a look of `postmeter check` comes to."""

from __future__ import annotations

from dataclasses import dataclass

OK, WARNING, PROBLEM = "ok", "warning", "problem"


@dataclass(frozen=True)
class Finding:
    """One line: what was looked at, its state (ok, warning, problem), what was seen, and how to mend it."""

    check: str
    state: str
    text: str
    mend: str = ""


def ok(check: str, text: str) -> Finding:
    """As it should be."""
    return Finding(check, OK, text)


def warning(check: str, text: str, mend: str = "") -> Finding:
    """Works, but somebody should look."""
    return Finding(check, WARNING, text, mend)


def problem(check: str, text: str, mend: str = "") -> Finding:
    """Keeps the relay from working, or will soon."""
    return Finding(check, PROBLEM, text, mend)
