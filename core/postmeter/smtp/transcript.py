"""What was said in a session with a mail server and when: noted at little cost, made readable when somebody asks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from operator import itemgetter
from typing import Literal, NamedTuple

from postmeter.smtp.mail import Stage
from postmeter.smtp.reply import Reply

MAX_LINES = 40  # of a dialogue that is kept
MAX_TEXT = 300  # characters of one of them
MAX_OCTETS = 4096  # of all, as JSON
_AROUND = 25  # octets around a text in JSON: the time, who, brackets and commas

Said = tuple[float, str, str]  # seconds since the attempt's start, C or S, text


class Line(NamedTuple):
    """At that time this relay (C) or the server (S) said that; what is in parentheses was done, not said."""

    at: float
    who: Literal["C", "S"]
    what: str | bytes | Reply


class Exchange:
    """One mail transaction: its commands in their order, and the replies; ``size`` in octets of content.

    ``first``: where MAIL is among the commands. The last one is DATA, and the reply behind its own the content's.
    """

    __slots__ = ("_at_once", "_began", "_commands", "_first", "_size", "replies")

    def __init__(self, began: float, commands: Sequence[bytes], first: int, size: int, *, at_once: bool) -> None:
        self.replies: list[Line] = []
        self._began = began
        self._commands = commands
        self._first = first
        self._size = size
        self._at_once = at_once

    def lines(self, recipient: int, stage: Stage) -> list[Line]:
        """What was said up to the answer of one recipient, which came at that stage; nothing of the others."""
        data = len(self._commands) - 1
        rcpt = self._first + 1 + recipient
        last = {"mail": self._first, "rcpt": rcpt, "data": data}.get(stage, data + 1)
        lines = []
        for n in (*range(self._first + 1), rcpt, data, data + 1):
            if n <= last and (given := self._given(n)) is not None:
                lines.append(given)
                lines += self.replies[n : n + 1]
        return sorted(lines, key=itemgetter(0)) if self._at_once else lines

    def _given(self, n: int) -> Line | None:
        """The command with this number, None when it was not given: the reply before has to come first."""
        content = n == len(self._commands)
        if n == 0 or (self._at_once and not content):
            at = self._began
        elif n <= len(self.replies):
            at = self.replies[n - 1].at
        else:
            return None
        return Line(at, "C", f"({self._size:,} octets of content)" if content else self._commands[n])


def dialogue(lines: Sequence[Line], began: float) -> list[Said]:
    """The lines as they are kept, with what there is too much of left out: lines in the middle, ends of texts."""
    if len(lines) > MAX_LINES:
        half = MAX_LINES // 2
        left_out = Line(lines[half].at, "C", f"({len(lines) - MAX_LINES + 1} lines are left out)")
        lines = [*lines[:half], left_out, *lines[half + 1 - MAX_LINES :]]
    texts = [_text(line.what) for line in lines]
    room = MAX_OCTETS - _AROUND * len(texts)
    if sum(map(len, texts)) * 6 > room and sum(map(_octets, texts)) > room:  # JSON needs 6 octets for some characters
        texts = [_fitting(text, room // len(texts)) for text in texts]
    return [
        (max(0.0, round(line.at - began, 3)), line.who, text)  # a session may be opened before its mail comes
        for line, text in zip(lines, texts, strict=True)
    ]


def _text(what: str | bytes | Reply) -> str:
    text = what.decode("utf-8", "backslashreplace").rstrip("\r\n") if isinstance(what, bytes) else str(what)
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"


def _fitting(text: str, room: int) -> str:
    if _octets(text) <= room:
        return text
    while _octets(text) + 6 > room:
        text = text[: len(text) * 9 // 10]
    return text + "…"


def _octets(text: str) -> int:
    return len(json.dumps(text)) - 2
