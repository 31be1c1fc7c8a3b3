"""What is said of a provider in its file, as people read it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from postmeter.delivery.reply_rule import Rule

_UNITS = (("d", 86_400.0), ("h", 3_600.0), ("min", 60.0), ("s", 1.0))


def value_text(key: str, value: Any) -> str:
    """A value as it stands in the file, or nearly so; a rule as a sentence."""
    if isinstance(value, Rule):
        return rule_text(value)
    if key in ("rate", "connection_rate"):
        return next(f"{number}/{unit}" for unit, seconds in _UNITS[::-1] if (number := _whole(value * seconds)))
    if key == "idle":
        return time_text(value)
    return ", ".join(value) if isinstance(value, tuple) else str(value).lower()


def time_text(seconds: float) -> str:
    """Seconds in the largest unit that they are a whole number of."""
    return next(f"{number} {unit}" for unit, size in _UNITS if (number := _whole(seconds / size)))


def rule_text(rule: Rule) -> str:
    """Which replies, how often, and what follows."""
    parts = [
        ("stage", rule.stages),
        ("code", [rule.code] if rule.code else ()),
        ("status", [rule.status] if rule.status else ()),
        ("text", [repr(text) for text in rule.texts]),
    ]
    about = ", ".join(f"{name} {' or '.join(map(str, values))}" for name, values in parts if values)
    often = f", {rule.times} times within an hour" if rule.times > 1 else ""
    what = slow_text(rule.connections, rule.per_minute) or "nothing"
    return f"{about}{often}: {what} for {time_text(rule.seconds)}{', and an error in the log' if rule.alarm else ''}"


def slow_text(sessions: int | None, per_minute: int | None) -> str:
    """What a provider gets that is slowed down; empty when it is not."""
    return ", ".join(_parts((sessions, "at a time"), (per_minute, "a minute")))


def _parts(*numbers: tuple[int | None, str]) -> Iterable[str]:
    return (f"{number} {unit}" for number, unit in numbers if number is not None)


def _whole(number: float) -> int:
    """The number when it is a whole one; else 0."""
    return round(number) if abs(number - round(number)) < 1e-6 else 0
