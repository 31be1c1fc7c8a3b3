"""Replies: a code, an enhanced status code and a text (RFC 5321, 4.2; RFC 3463; RFC 2034)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

MAX_REPLY_LINE = 512  # RFC 5321, 4.5.3.1.5
_STATUS = re.compile(r"([245]\.\d{1,3}\.\d{1,3})(?: |$)")


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server says: ``code`` (200-599), ``status`` such as ``5.1.1`` or empty, ``text`` (lines parted by LF)."""

    code: int
    status: str
    text: str

    @property
    def positive(self) -> bool:
        """2xx: done, or 3xx: go on."""
        return self.code < 400

    @property
    def transient(self) -> bool:
        """4xx: the same command may succeed later (RFC 5321, 4.2.1)."""
        return 400 <= self.code < 500

    @property
    def permanent(self) -> bool:
        """5xx: do not repeat the command unchanged (RFC 5321, 4.2.1)."""
        return 500 <= self.code < 600

    def encode(self) -> bytes:
        """The reply as it goes over the wire, every line with code and enhanced status code."""
        prefix = f"{self.status} " if self.status else ""
        *first, last = self.text.replace("\r", " ").split("\n")
        lines = [f"{self.code}-{prefix}{text}" for text in first]
        lines.append(f"{self.code} {prefix}{last}")
        return b"".join([_cut(line.encode("utf-8", "replace")) + b"\r\n" for line in lines])

    def __str__(self) -> str:
        return f"{self.code} {self.status + ' ' if self.status else ''}{self.text}"

    @classmethod
    def parse(cls, lines: Iterable[bytes]) -> Reply:
        """The reply that these complete lines (without CRLF) make; ValueError when they are not one."""
        code, texts, status = 0, [], ""
        for line in lines:
            if not re.match(rb"[2-5]\d\d(?:[ -]|$)", line) or (code and int(line[:3]) != code):
                raise ValueError(f"not a reply line: {line[:80]!r}")
            code = int(line[:3])
            text = line[4:].decode("utf-8", "backslashreplace")
            if found := _STATUS.match(text):
                status, text = found[1], text[found.end() :]
            texts.append(text)
        if not texts:
            raise ValueError("a reply has at least one line")
        return cls(code, status, "\n".join(texts))


def _cut(line: bytes) -> bytes:
    """At most as much as a line may have, without half a character at its end."""
    room = MAX_REPLY_LINE - 2
    return line if len(line) <= room else line[:room].decode("utf-8", "ignore").encode()


class Refused(Exception):
    """Carries the reply that a refusal is answered with; anything else that is raised becomes 451."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(str(reply))
        self.reply = reply
