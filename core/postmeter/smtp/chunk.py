"""Reads content that comes in chunks behind BDAT (RFC 3030, 2): octets are counted, no dot and no line end ends it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from postmeter.smtp.collector import Collector
from postmeter.smtp.lines import Hopeless
from postmeter.smtp.replies import BAD_CHUNK, chunk_received
from postmeter.smtp.reply import Reply

_match_chunk = re.compile(r"([0-9]{1,20})(?: +(LAST))?", re.IGNORECASE | re.ASCII).fullmatch
_LINE_END = b"\r\n"


@dataclass(frozen=True, slots=True)
class Chunk:
    """What BDAT announces: how many octets follow its line, and whether they end the content."""

    octets: int
    last: bool

    @classmethod
    def parse(cls, argument: str) -> Chunk:
        """The chunk that the command's ``argument`` announces; Hopeless when nobody can tell where its octets end."""
        match = _match_chunk(argument)
        if match is None:
            raise Hopeless(BAD_CHUNK)
        return cls(int(match[1]), match[2] is not None)


class ChunkReader(Collector):
    """Takes the octets of all chunks of a transaction as one stream, in any cutting, and gives blocks of content."""

    __slots__ = ("_chunk", "_last_octet", "_left")

    def __init__(self, max_size: int, normalise: bool = False, accept_long_lines: bool = False) -> None:
        super().__init__(max_size, normalise, accept_long_lines)
        self._last_octet = _LINE_END[-1]  # an empty content needs no line end
        self._chunk = Chunk(0, False)
        self._left = 0  # octets of the chunk that are still to come

    @property
    def octets(self) -> int:
        """How many octets the chunk has."""
        return self._chunk.octets

    @property
    def reply(self) -> Reply:
        """What is said to the chunk when others are to follow: what is wrong with the content so far, or 250."""
        return self.flaw or chunk_received(self._chunk.octets)

    def expect(self, chunk: Chunk) -> None:
        """``chunk`` follows; when it cannot fit, nothing is kept any more.

        Where line ends are normalised, less may be handed on than comes: there it is found out meanwhile.
        """
        self._chunk, self._left = chunk, chunk.octets
        if not self._normalise and self.size + len(self._carry) + chunk.octets > self._max_size:
            self._refuse_size()

    def read(self, buffer: bytearray) -> bytes | None:
        """Takes the chunk out of ``buffer``: a block, nothing when all of it was taken, None when more must come."""
        data = bytes(buffer[: self._left])
        del buffer[: len(data)]
        self._left -= len(data)
        if not self.ended:
            self._feed(data, end=self._chunk.last and not self._left)
        return self._give() or (None if self._left else b"")

    def _feed(self, data: bytes, end: bool) -> None:
        if data:
            self._last_octet = data[-1]
        data = self._carry + data
        if end:
            self.ended = True
            if self._last_octet not in _LINE_END:  # as behind DATA; a bare CR or LF is a flaw or becomes a line end
                data += _LINE_END
        else:
            self._carry = b"\r" if data.endswith(b"\r") else b""  # the LF may be in the next chunk
            data = data.removesuffix(b"\r")
        if data:
            self._take(data)


class RefusedChunk:
    """Takes the octets of a chunk that was refused and forgets them, so that none of them is ever a command.

    ``reply`` is the refusal, to be said when all have come (RFC 3030, 2).
    """

    __slots__ = ("_left", "reply")

    def __init__(self, chunk: Chunk, reply: Reply) -> None:
        self._left = chunk.octets
        self.reply = reply

    def read(self, buffer: bytearray) -> bytes | None:
        """Drops the chunk's octets from ``buffer``: nothing when all have come, None when more must come."""
        gone = min(self._left, len(buffer))
        del buffer[:gone]
        self._left -= gone
        return None if self._left else b""
