"""Reads the content behind DATA: finds its end, removes the added dots and notes what is wrong (RFC 5321, 4.5.2).

Only CR LF dot CR LF ends the content; every other sequence of dots and line ends that some server takes for the end
stays content and is a flaw. All work is done on whole blocks, and a block is never cut inside a line end.
"""

from __future__ import annotations

from postmeter.smtp.replies import BARE_CR, BARE_LF, LINE_TOO_LONG, NUL_IN_CONTENT, message_too_large
from postmeter.smtp.reply import Reply

MAX_LINE = 998  # octets without CRLF; RFC 5321, 4.5.3.1.6
BLOCK_SIZE = 65536  # octets that are collected before they are handed on

_END = b"\r\n.\r\n"
_PREFIXES = (b"\r\n.\r", b"\r\n.", b"\r\n", b"\r")
_FLAWS = (BARE_LF, BARE_CR, NUL_IN_CONTENT, LINE_TOO_LONG)  # of several flaws the first here is told
_FLAWLESS = len(_FLAWS)


class ContentReader:
    """Takes bytes in any cutting and gives blocks of content; ``size`` counts the octets of the content so far.

    ``rest`` holds what came behind the end of the content once ``ended`` is true.
    """

    __slots__ = ("_carry", "_collected", "_flaw", "_line", "_max_size", "ended", "rest", "size")

    def __init__(self, max_size: int) -> None:
        self._max_size = max_size
        self._carry = b"\r\n"  # as if a line had just ended: a dot alone in the first line ends the content
        self._line = 0  # octets of the unfinished line
        self._collected = bytearray()
        self._flaw = _FLAWLESS
        self.size = -2  # the line end that was put in front is not content
        self.ended = False
        self.rest = b""

    @property
    def flaw(self) -> Reply | None:
        """Why the content cannot be accepted; it does not depend on how the bytes were cut."""
        if self.size > self._max_size:
            return message_too_large(self._max_size)
        return _FLAWS[self._flaw] if self._flaw < _FLAWLESS else None

    def feed(self, data: bytes) -> bytes:
        """Reads on; gives a block of content when 64 KiB are together or the content ends, else nothing.

        Nothing is kept or given any more once there is a flaw.
        """
        data = self._carry + data
        end = data.find(_END)
        if end >= 0:
            self.ended, self.rest, block = True, data[end + 5 :], data[: end + 2]
        else:
            self._carry = next((prefix for prefix in _PREFIXES if data.endswith(prefix)), b"")
            block = data[: -len(self._carry)] if self._carry else data
        if block:
            self._take(block.replace(b"\r\n.", b"\r\n"))
        return self._give()

    def _take(self, block: bytes) -> None:
        first = self.size < 0
        self.size += len(block)
        if self.size <= self._max_size:
            self._check_octets(block)
            if self._flaw == _FLAWLESS:  # a long line is the least of the flaws
                self._check_lines(block)
        if self.size > self._max_size or self._flaw < _FLAWLESS:
            self._collected.clear()
        else:
            self._collected += block[2:] if first else block

    def _give(self) -> bytes:
        if not self.ended and len(self._collected) < BLOCK_SIZE:
            return b""
        block = bytes(self._collected)
        self._collected.clear()
        return block

    def _check_octets(self, block: bytes) -> None:
        others = block.replace(b"\r\n", b"")
        if b"\n" in others:
            self._flaw = 0
        elif b"\r" in others:
            self._flaw = min(self._flaw, 1)
        elif b"\0" in others:
            self._flaw = min(self._flaw, 2)

    def _check_lines(self, block: bytes) -> None:
        """Jumps from line end to line end, each time as far as a line may reach."""
        start = -self._line
        while len(block) - start > MAX_LINE:
            end = block.rfind(b"\r\n", max(start, 0), start + MAX_LINE + 2)
            if end < 0:
                self._flaw = 3
                break
            start = end + 2
        last = block.rfind(b"\r\n")
        self._line = len(block) - last - 2 if last >= 0 else self._line + len(block)
