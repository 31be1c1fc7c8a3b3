"""What was said in a session with a mail server and when: noted at little cost, made readable when somebody asks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from postmeter.smtp.mail import Stage
from postmeter.smtp.reply import Reply

MAX_LINES = 40  # of a dialogue that is kept
MAX_TEXT = 300  # characters of one of them
MAX_OCTETS = 4096  # of all, as JSON
_AROUND = 25  # octets around a text in JSON: the time, who, brackets and commas

Said = tuple[float, str, str]  # seconds since the attempt's start, C or S, text


class Line(NamedTuple):
    """At that time this relay (C) or the server (S) said that; what is in parentheses was done, not said.

    A command has its CRLF still.
    """

    at: float
    who: Literal["C", "S"]
    what: str | bytes | Reply


@dataclass(slots=True)
class Exchange:
    """One mail transaction: its commands in their order, and the replies; ``size`` in octets of content.

    ``first``: where MAIL is among the commands. The last one is DATA, and the reply behind its own is the content's.
    ``at_once``: the commands went out together when it ``began`` (PIPELINING).
    """

    began: float
    commands: Sequence[bytes]
    first: int
    size: int
    at_once: bool
    replies: list[Line] = field(default_factory=list)

    def lines(self, recipient: int, stage: Stage) -> list[Line]:
        """What was said up to the answer of one recipient, which came at that stage; nothing of the others."""
        data = len(self.commands) - 1
        rcpt = self.first + 1 + recipient
        last = {"mail": self.first, "rcpt": min(rcpt, data)}.get(stage, data)  # there may have been no RCPT for it
        mine = [n for n in (*range(self.first + 1), rcpt, data) if n <= last]
        lines = self._all_at_once(mine) if self.at_once else self._one_by_one(mine)
        if stage == "content" and len(self.replies) > data:
            lines.append(Line(self.replies[data].at, "C", f"({self.size:,} octets of content)"))
            lines += self.replies[data + 1 :]
        return lines

    def _all_at_once(self, numbers: list[int]) -> list[Line]:
        given = [Line(self.began, "C", self.commands[n]) for n in numbers]
        return given + [self.replies[n] for n in numbers if n < len(self.replies)]

    def _one_by_one(self, numbers: list[int]) -> list[Line]:
        """A command was given when the reply to the one before had come."""
        lines = []
        for n in numbers:
            if n <= len(self.replies):
                lines.append(Line(self.replies[n - 1].at if n else self.began, "C", self.commands[n]))
                lines += self.replies[n : n + 1]
        return lines


def dialogue(lines: Sequence[Line], began: float) -> list[Said]:
    """The lines as they are kept, with what there is too much of left out: lines in the middle, ends of texts."""
    if len(lines) > MAX_LINES:
        half = MAX_LINES // 2
        left_out = Line(lines[half].at, "C", f"({len(lines) - MAX_LINES + 1} lines are left out)")
        lines = [*lines[:half], left_out, *lines[half + 1 - MAX_LINES :]]
    texts = [_text(line.what) for line in lines]
    room, together = MAX_OCTETS - _AROUND * len(texts), "".join(texts)
    if (len(together) * 6 > room or not together.isascii()) and len(json.dumps(texts)) > room:
        texts = [_fitting(text, room // len(texts)) for text in texts]
    # A session may be opened before its mail comes.
    times = [round(at - began, 3) if at > began else 0.0 for at, _, _ in lines]
    return [(at, line.who, text) for at, line, text in zip(times, lines, texts, strict=True)]


def _text(what: str | bytes | Reply) -> str:
    text = what[:-2].decode("utf-8", "backslashreplace") if isinstance(what, bytes) else str(what)
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"


def _fitting(text: str, room: int) -> str:
    if _octets(text) <= room:
        return text
    while _octets(text) + 6 > room:  # the ellipsis in JSON
        text = text[: len(text) * 9 // 10]
    return text + "…"


def _octets(text: str) -> int:
    return len(json.dumps(text)) - 2
