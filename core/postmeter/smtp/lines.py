"""Cuts command lines out of what a client sends and never keeps more than a line may hold (RFC 5321, 4.5.3.1.4)."""

from __future__ import annotations

from postmeter.smtp.replies import (
    AUTHENTICATION_TOO_LONG,
    BARE_LF_COMMAND,
    COMMAND_TOO_LONG,
    TOO_MANY_ERRORS,
)
from postmeter.smtp.reply import Refused

MAX_COMMAND = 512  # octets with CRLF; RFC 5321, 4.5.3.1.4
MAX_PATH_COMMAND = 2048  # MAIL and RCPT with their extensions; RFC 1870, 3461, 4954, 6152, 6531
MAX_LOGIN_LINE = 12288  # RFC 4954, 4
MAX_SWALLOWED = 65536  # octets of a too long line, after which there is no hope for an end

_LONGER = {b"MAIL": MAX_PATH_COMMAND, b"RCPT": MAX_PATH_COMMAND, b"AUTH": MAX_LOGIN_LINE}


class Hopeless(Refused):
    """Carries the reply after which the session is closed."""


class LineReader:
    """Holds what was received and not yet used; ``buffer`` may be taken over as a whole for content."""

    __slots__ = ("_swallowed", "buffer")

    def __init__(self) -> None:
        self.buffer = bytearray()
        self._swallowed = 0  # octets of the line that is too long; 0: there is none

    def clear(self) -> None:
        """Forgets all that was received."""
        self.buffer.clear()
        self._swallowed = 0

    def take(self, login: bool = False) -> bytes | None:
        """The next line without its CRLF; None when it is not complete yet.

        ``login`` tells that a line of an AUTH exchange is expected. Raises Refused for a line that is too long,
        whose rest is left out, and Hopeless when the session must not go on.
        """
        buffer = self.buffer
        if self._swallowed and not self._swallow():
            return None
        end = buffer.find(b"\n")
        length = end + 1 or len(buffer) + 1  # without an end there is at least one more octet to come
        if length > MAX_COMMAND and length > self._limit(login):
            self._swallowed = 1
            raise Refused(AUTHENTICATION_TOO_LONG if login or self._verb() == b"AUTH" else COMMAND_TOO_LONG)
        if end < 0:
            return None
        if end == 0 or buffer[end - 1] != 13:
            # What follows would be executed although the client sent it as a part of this line.
            raise Hopeless(BARE_LF_COMMAND)
        line = bytes(buffer[: end - 1])
        del buffer[: end + 1]
        return line

    def _verb(self) -> bytes:
        return bytes(self.buffer[:4].upper())

    def _limit(self, login: bool) -> int:
        return MAX_LOGIN_LINE if login else _LONGER.get(self._verb(), MAX_COMMAND)

    def _swallow(self) -> bool:
        """Drops the rest of the line that is too long; whether its end has come."""
        end = self.buffer.find(b"\r\n")
        gone = end + 2 if end >= 0 else len(self.buffer) - self.buffer.endswith(b"\r")
        del self.buffer[:gone]
        self._swallowed += gone
        if self._swallowed > MAX_SWALLOWED:
            raise Hopeless(TOO_MANY_ERRORS)
        if end >= 0:
            self._swallowed = 0
        return end >= 0
