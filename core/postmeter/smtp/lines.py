"""Cuts command lines out of what a client sends and never keeps more than a line may hold (RFC 5321, 4.5.3.1.4)."""

from __future__ import annotations

import re

from postmeter.smtp.limits import DEFAULT_LIMITS, Limits
from postmeter.smtp.replies import (
    AUTHENTICATION_TOO_LONG,
    BAD_CHARACTER,
    BAD_CHUNK,
    BARE_LF_COMMAND,
    COMMAND_TOO_LONG,
    NOT_TLS_YET,
    TOO_MANY_ERRORS,
)
from postmeter.smtp.reply import Refused

MAX_PATH_COMMAND = 2048  # MAIL and RCPT with their extensions; RFC 1870, 3461, 4954, 6152, 6531
MAX_SWALLOWED = 65536  # octets of a too long line, after which there is no hope for an end

_CLIENT_HELLO = b"\x16\x03"  # how TLS begins: record type and major version; RFC 8446, 5.1
_find_control = re.compile("[\0-\x1f\x7f]").search
_has_grammar = re.compile(r"(?:MAIL|RCPT) ", re.IGNORECASE | re.ASCII).match  # which knows every octet that may come
_may_be_utf8 = re.compile(r"(?:EHLO|HELO|VRFY|EXPN) ", re.IGNORECASE | re.ASCII).match


class Hopeless(Refused):
    """Carries the reply after which the session is closed."""


def check_characters(line: str) -> None:
    """Raises Refused when a command line has characters that are not allowed there, Hopeless when it is no command."""
    if _has_grammar(line) or (_find_control(line) is None and _may_be_utf8(line)):
        return
    if line[:4].upper() == "BDAT":
        raise Hopeless(BAD_CHUNK)
    raise Hopeless(NOT_TLS_YET) if line.startswith(_CLIENT_HELLO.decode()) else Refused(BAD_CHARACTER)


class LineReader:
    """Holds what was received and not yet used; content is taken out of ``buffer`` as it is."""

    __slots__ = ("_longest_command", "_longest_login", "_swallowed", "buffer")

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self._longest_command = limits.max_command_line
        self._longest_login = limits.max_login_line
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
        if length > self._longest_command and length > self._longest(login):
            raise self._too_long(login)
        if end < 1 or buffer[end - 1] != 13:
            self._check_unended(end, login)
            return None
        line = bytes(buffer[: end - 1])
        del buffer[: end + 1]
        return line

    def _check_unended(self, end: int, login: bool) -> None:
        """Hopeless when what is there will never be a line."""
        if self.buffer.startswith(_CLIENT_HELLO) and not login:
            raise Hopeless(NOT_TLS_YET)
        if end >= 0:
            # What follows would be executed although the client sent it as a part of this line.
            raise Hopeless(BARE_LF_COMMAND)

    def _verb(self) -> bytes:
        return bytes(self.buffer[:4].upper())

    def _longest(self, login: bool) -> int:
        verb = self._verb()
        if login or verb == b"AUTH":
            return self._longest_login
        return MAX_PATH_COMMAND if verb in (b"MAIL", b"RCPT") else self._longest_command

    def _too_long(self, login: bool) -> Refused:
        verb = self._verb()
        if verb == b"BDAT" and not login:
            return Hopeless(BAD_CHUNK)  # whoever does not read it takes what follows for commands
        if verb.startswith(_CLIENT_HELLO) and not login:
            return Hopeless(NOT_TLS_YET)
        self._swallowed = 1
        return Refused(AUTHENTICATION_TOO_LONG if login or verb == b"AUTH" else COMMAND_TOO_LONG)

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
