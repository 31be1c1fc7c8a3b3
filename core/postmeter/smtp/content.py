"""Reads the content behind DATA: finds its end and removes the added dots (RFC 5321, 4.5.2).

Only CR LF dot CR LF ends the content; every other sequence of dots and line ends that some server takes for the end
stays content and is a flaw. All work is done on whole blocks, and a block is never cut inside a line end.
"""

from __future__ import annotations

from postmeter.smtp.collector import Collector

_END = b"\r\n.\r\n"
_PREFIXES = (b"\r\n.\r", b"\r\n.", b"\r\n", b"\r")


class ContentReader(Collector):
    """Takes bytes in any cutting and gives blocks of content.

    ``rest`` is there once ``ended`` is true: what came behind the end of the content.
    """

    __slots__ = ("rest",)

    _FRONT = b"\r\n"  # as if a line had just ended: a dot alone in the first line ends the content
    rest: bytes

    def read(self, buffer: bytearray) -> bytes | None:
        """Takes the content out of ``buffer``: a block, nothing when all was given, None when more must come."""
        if self.ended or not buffer:
            return b"" if self.ended else None
        data = bytes(buffer)
        buffer.clear()
        block = self.feed(data)
        if not self.ended:
            return block or None
        buffer += self.rest
        return block

    def feed(self, data: bytes) -> bytes:
        """Reads on; gives a block of content when 64 KiB are together or the content ends, else nothing."""
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
