"""What the texts are made of: a letter's parts, and the facts of the case that it tells."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any


@dataclass(frozen=True)
class Letter:
    """A text: its title, what has happened, what that means for the shop, and the steps to take now."""

    title: str
    happened: str
    meaning: str = ""
    steps: tuple[str, ...] = ()


@dataclass(frozen=True)
class Case:
    """The facts of an event, and how the account stands now.

    ``left`` are the mails that all blocks can still give, ``runs_out`` when they are used up at the present pace;
    ``goes_on``: mail beyond them is taken and invoiced. ``connections`` are those that send from the event's domain.
    """

    account: str
    at: float = 0.0
    facts: Mapping[str, Any] = field(default_factory=dict)
    left: int = 0
    runs_out: float | None = None
    goes_on: bool = False
    connections: tuple[str, ...] = ()

    def number(self, name: str) -> int | None:
        """A fact that is a number of mails."""
        value = self.facts.get(name)
        return value if isinstance(value, int) else None

    def moment(self, name: str) -> float | None:
        """A fact that is a point in time."""
        value = self.facts.get(name)
        return float(value) if isinstance(value, (int, float)) else None

    def text(self, name: str) -> str:
        """A fact in words, in one line."""
        return one_line(str(self.facts.get(name, "")))

    def texts(self, name: str) -> list[str]:
        """A fact that is a list of sentences."""
        return [one_line(str(value)) for value in self.facts.get(name, ())]


@dataclass(frozen=True)
class Language:
    """The words around a letter, and the ``texts`` by kind of event.

    ``panel`` has a place for ``{url}``, ``footer`` for ``{hostname}`` and ``{account}``.
    """

    greeting: str
    meaning: str
    steps: str
    panel: str
    footer: str
    texts: Mapping[str, Callable[[Case], Letter]]


def utc(seconds: float) -> datetime:
    """A point in time."""
    return datetime.fromtimestamp(seconds, UTC)


def one_line(text: str, most: int = 200) -> str:
    """What a customer or another plugin wrote, as a part of one line: no control or format characters, not endless."""
    return " ".join(_visible(text).split())[:most]


def paragraphs(text: str) -> list[str]:
    """The paragraphs of a text that somebody else wrote, each in one line."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n\n")
    return [line for line in (one_line(paragraph, most=10_000) for paragraph in lines) if line]


def _visible(text: str) -> str:
    """Control characters, line separators and those that turn the direction of writing become blanks."""
    return "".join(" " if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") else c for c in text)
