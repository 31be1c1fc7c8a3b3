"""Where a message's body waits until it is committed: in memory, or in a temporary file once it is large."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

IN_MEMORY = 1 << 19  # octets; many sessions may hold that much at once
BLOCK = 1 << 18  # octets read back at a time


class Spool:
    """Takes blocks of content; more than ``most`` octets go to an unlinked file, so nothing is left after a crash."""

    __slots__ = ("_blocks", "_file", "_folder", "_most", "size")

    def __init__(self, folder: Path, most: int = IN_MEMORY) -> None:
        self._folder = folder
        self._most = most
        self._blocks: list[bytes] = []
        self._file: IO[bytes] | None = None
        self.size = 0

    def write(self, block: bytes) -> None:
        """Append; OSError when the disk is full."""
        self.size += len(block)
        if self._file is not None:
            self._file.write(block)
            return
        self._blocks.append(block)
        if self.size > self._most:
            self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 - closed by close()
            self._file.writelines(self._blocks)
            self._blocks.clear()

    def head(self, limit: int) -> bytes:
        """The first octets, enough to hold any header section of ``limit`` octets."""
        if self._file is None:
            return b"".join(self._blocks)
        self._file.seek(0)
        head = self._file.read(limit)
        self._file.seek(0, 2)
        return head

    @property
    def in_memory(self) -> bool:
        """Whether ``head`` gives all of it."""
        return self._file is None

    def blocks(self, start: int) -> Iterator[bytes]:
        """The octets from ``start`` on, in blocks; may be called again, also by another thread."""
        if self._file is None:
            yield b"".join(self._blocks)[start:]
            return
        self._file.seek(start)
        while block := self._file.read(BLOCK):
            yield block

    def close(self) -> None:
        """Let go of memory and file; what a full disk has not taken is not missed."""
        self._blocks.clear()
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
