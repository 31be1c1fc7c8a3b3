"""Relaxed canonicalisation in time that grows with the size only (RFC 6376, 3.4.2 and 3.4.4)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

CRLF = b"\r\n"
_SLICE = 128 * 1024  # fits into the processor's cache


def relaxed_field(raw: bytes) -> bytes:
    """A complete field, canonical: name in lower case, value on one line, single blanks, CRLF (RFC 6376, 3.4.2)."""
    name, _, value = raw.partition(b":")
    return name.rstrip(b" \t").lower() + b":" + b" ".join(value.split()) + CRLF


def relaxed_lines(lines: bytes) -> bytes:
    """Complete lines with single blanks and none at their ends, empty lines kept (RFC 6376, 3.4.4 a)."""
    text = lines.replace(b"\t", b" ")
    while b"  " in text:  # halves every run, so a run of n blanks takes log n rounds
        text = text.replace(b"  ", b" ")
    return text.replace(b" \r\n", CRLF)


class BodyHash:
    """SHA-256 of the relaxed body, fed with blocks that may be cut anywhere."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._line: list[bytes] = []  # the line that has no end yet, in pieces
        self._breaks = 0  # line ends since the last text: hashed when text follows, else only one of them
        self._empty = True

    def update(self, block: bytes) -> None:
        """Take the next block of the body."""
        for piece in _slices(block):
            self._take(piece)

    def _take(self, block: bytes) -> None:
        end = block.rfind(CRLF) + 2
        if end == 1:  # none inside; but the pair may be cut in two
            end = int(block.startswith(b"\n") and bool(self._line) and self._line[-1].endswith(b"\r"))
        if not end:
            self._line.append(block)
            return
        lines = b"".join([*self._line, block[:end]]) if self._line else block[:end]
        self._line = [block[end:]] if end < len(block) else []
        self._hash_lines(relaxed_lines(lines))

    def _hash_lines(self, lines: bytes) -> None:
        text = lines.rstrip(CRLF)
        # a bare CR or LF is text, so only whole pairs at the very end are line ends
        size = len(text) + len(lines[len(text) :].replace(CRLF, b"\0\0").rstrip(b"\0"))
        if size:
            self._hash_breaks()
            self._hash.update(memoryview(lines)[:size])
            self._breaks = 0
            self._empty = False
        self._breaks += (len(lines) - size) // 2

    def _hash_breaks(self) -> None:
        for _ in range(self._breaks // 4096):
            self._hash.update(CRLF * 4096)
        self._hash.update(CRLF * (self._breaks % 4096))

    def digest(self) -> bytes:
        """The hash of what was taken; ends the body, so it is the last call."""
        if self._line:
            self._take(CRLF)
        if not self._empty:
            self._hash.update(CRLF)
        return self._hash.digest()


def body_hash(body: bytes | Iterable[bytes]) -> bytes:
    """SHA-256 of the relaxed body, given whole or in blocks."""
    hashed = BodyHash()
    for block in (body,) if isinstance(body, bytes) else body:
        hashed.update(block)
    return hashed.digest()


def _slices(block: bytes) -> Iterator[bytes]:
    if len(block) <= _SLICE:
        yield block
        return
    for place in range(0, len(block), _SLICE):
        yield block[place : place + _SLICE]
