"""Reads a mail server's replies out of its bytes, whatever they are cut into and whatever a hostile server sends."""

from __future__ import annotations

from functools import lru_cache

from postmeter.smtp.reply import Reply

MAX_REPLY = 65_536  # octets of one reply, all lines together
MAX_LINES = 100  # lines of one reply
MAX_STORED_TEXT = 2_048  # octets of a reply's text that are kept
_CACHED_LINE = 128  # the short replies to MAIL, RCPT and DATA are the same ones again and again
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(10), *range(11, 32), *range(127, 160))}


class ReplyReader:
    """Bytes in, replies out; their text has its control characters escaped and is cut to ``MAX_STORED_TEXT``."""

    def __init__(self) -> None:
        self._data = b""
        self._lines: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> None:
        """Take what the server sent."""
        self._data = self._data + data if self._data else data

    @property
    def empty(self) -> bool:
        """Nothing is left, not even the beginning of a reply."""
        return not (self._data or self._lines)

    def next(self) -> Reply | None:
        """The next complete reply, None when there is none yet; ValueError when it is none or is too large."""
        while (end := self._data.find(b"\n")) >= 0:
            line, self._data = self._data[: end + 1], self._data[end + 1 :]
            self._size += len(line)
            self._limit(self._size)
            line = line.rstrip(b"\r\n")
            if line[3:4] != b"-":
                return self._complete(line)
            self._lines.append(line)
        self._limit(self._size + len(self._data))
        return None

    def _limit(self, size: int) -> None:
        if size > MAX_REPLY or len(self._lines) >= MAX_LINES:
            raise ValueError("reply too large")

    def _complete(self, line: bytes) -> Reply:
        lines, self._lines, self._size = self._lines, [], 0
        if lines:
            return _stored(Reply.parse([*lines, line]))
        return _parse_short(line) if len(line) <= _CACHED_LINE else _stored(Reply.parse([line]))


@lru_cache(maxsize=512)
def _parse_short(line: bytes) -> Reply:
    return _stored(Reply.parse([line]))


def _stored(reply: Reply) -> Reply:
    """The reply in the form that may be stored and shown."""
    text = reply.text
    if not text.isprintable():
        text = text.translate(_CONTROLS)
    if len(text) > MAX_STORED_TEXT // 4:
        text = text.encode("utf-8", "backslashreplace")[:MAX_STORED_TEXT].decode("utf-8", "ignore")
    return reply if text == reply.text else Reply(reply.code, reply.status, text)
