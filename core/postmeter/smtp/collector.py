"""Checks content and collects it in blocks, whichever command it came by (RFC 5321, 2.3.8; RFC 5322, 2.3)."""

from __future__ import annotations

import re
from typing import ClassVar

from postmeter.smtp.replies import BARE_CR, BARE_LF, LINE_TOO_LONG, NUL_IN_CONTENT, message_too_large
from postmeter.smtp.reply import Reply

MAX_LINE = 998  # octets without CRLF; RFC 5321, 4.5.3.1.6
BLOCK_SIZE = 65536  # octets that are collected before they are handed on

_FLAWS = (BARE_LF, BARE_CR, NUL_IN_CONTENT, LINE_TOO_LONG)  # of several flaws the first here is told
_FLAWLESS = len(_FLAWS)
_MANY_CR = b"\r" * 1001  # a run that is no line end of anybody's, though line ends are made right
_RUN = _FLAWS.index(BARE_CR)
_TOO_LARGE = -1  # before all others: what is over the limit is not looked at any more
_collapse = re.compile(rb"(?<!\r)\r++\n").sub  # from the first CR of a run only, so the time is linear


class Collector:
    """Takes content in pieces that are not cut inside a line end; ``size`` counts the octets of content so far.

    ``normalise`` makes every line end CRLF instead of finding a flaw in it, before anything is counted or checked;
    ``accept_long_lines`` finds none in long lines. ``ended`` is set before the last piece is taken.
    """

    __slots__ = (
        "_accept_long_lines", "_carry", "_collected", "_flaw", "_held", "_line", "_max_size", "_normalise",
        "ended", "size",
    )  # fmt: skip

    _FRONT: ClassVar[bytes] = b""  # what a reader puts in front of the content and does not count

    def __init__(self, max_size: int, normalise: bool = False, accept_long_lines: bool = False) -> None:
        self._max_size = max_size
        self._normalise = normalise
        self._accept_long_lines = accept_long_lines
        self._carry = self._FRONT  # what may become a part of something longer, before it is taken
        self._held = 0  # CR at the end of what was taken, which are one line end together with an LF that may follow
        self._line = 0  # octets of the unfinished line
        self._collected = bytearray()
        self._flaw = _FLAWLESS
        self.size = -len(self._FRONT)
        self.ended = False

    @property
    def flaw(self) -> Reply | None:
        """Why the content cannot be accepted; it does not depend on how the bytes were cut."""
        if self._flaw == _TOO_LARGE:
            return message_too_large(self._max_size)
        return _FLAWS[self._flaw] if self._flaw < _FLAWLESS else None

    def _take(self, piece: bytes) -> None:
        """Counts, checks and keeps ``piece``; nothing is kept or given any more once there is a flaw."""
        if self._normalise:
            if self._flaw == _RUN:
                return
            piece = self._normalised(piece)
        first = self.size < 0
        self.size += len(piece)
        if self.size > self._max_size:
            self._flaw = _TOO_LARGE
        elif self._flaw != _TOO_LARGE:
            self._check_octets(piece)
            if self._flaw == _FLAWLESS and not self._accept_long_lines:  # a long line is the least of the flaws
                self._check_lines(piece)
        if self._flaw == _FLAWLESS:
            self._collected += piece[len(self._FRONT) :] if first else piece
        else:
            self._collected.clear()

    def _refuse_size(self) -> None:
        """The content will be too large."""
        self._flaw = _TOO_LARGE
        self._collected.clear()

    def _give(self) -> bytes:
        """What was collected, when 64 KiB are together or the content ends; else nothing."""
        if not self.ended and len(self._collected) < BLOCK_SIZE:
            return b""
        block = bytes(self._collected)
        self._collected.clear()
        return block

    def _normalised(self, piece: bytes) -> bytes:
        """``piece`` with CRLF for LF, for CR and for CR in a number before an LF; a run that is too long ends it."""
        piece = b"\r" * self._held + piece
        run = piece.find(_MANY_CR)
        if run >= 0:
            self._flaw = min(self._flaw, _RUN)
            piece = piece[:run]
        text = piece if self.ended else piece.rstrip(b"\r")
        self._held = len(piece) - len(text)
        if text.count(b"\r") != text.count(b"\r\n"):
            text = _collapse(b"\n", text).replace(b"\r", b"\n")
        return text.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")

    def _check_octets(self, piece: bytes) -> None:
        ends = piece.count(b"\r\n")
        if piece.count(b"\n") != ends:
            self._flaw = 0
        elif piece.count(b"\r") != ends:
            self._flaw = min(self._flaw, 1)
        elif b"\0" in piece:
            self._flaw = min(self._flaw, 2)

    def _check_lines(self, piece: bytes) -> None:
        """Jumps from line end to line end, each time as far as a line may reach."""
        start = -self._line
        while len(piece) - start > MAX_LINE:
            end = piece.rfind(b"\r\n", max(start, 0), start + MAX_LINE + 2)
            if end < 0:
                self._flaw = 3
                break
            start = end + 2
        last = piece.rfind(b"\r\n")
        self._line = len(piece) - last - 2 if last >= 0 else self._line + len(piece)
