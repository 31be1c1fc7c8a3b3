"""Places for sessions that a machine's workers share: a lock on one byte of a file each, which ends with its owner."""

from __future__ import annotations

import fcntl
import os
import struct
import sys
from hashlib import blake2b
from pathlib import Path

MOST = 4_095  # places under one key
_LOCK = struct.Struct("@hhqqi0q")  # struct flock: type, whence, start, length, pid (0: of an open file)
_WANTED = MOST  # the byte behind the places: who waits for one reads it


class Slots:
    """One worker's view. No byte is written: the file only gives the kernel a name for each lock.

    A lock belongs to the open file and not to the process (F_OFD_SETLK), so that it also keeps out another view in the
    same process; the kernel lifts it when the worker is gone, however it went.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._own: set[int] = set()  # places: a lock of its own keeps nobody out

    def close(self) -> None:
        """Give everything back."""
        os.close(self._file)

    def take(self, key: int, limit: int) -> int | None:
        """A place among the first ``limit`` ones of a key, unless all of them are taken."""
        for place in range(key, key + limit):
            if place not in self._own and self._set(fcntl.F_WRLCK, place):
                self._own.add(place)
                return place
        return None

    def give_back(self, place: int) -> None:
        """Let somebody else have it."""
        self._own.remove(place)
        self._set(fcntl.F_UNLCK, place)

    def want(self, key: int) -> None:
        """Tell the others that this worker waits for a place."""
        self._set(fcntl.F_RDLCK, key + _WANTED)

    def be_content(self, key: int) -> None:
        """Take that back."""
        self._set(fcntl.F_UNLCK, key + _WANTED)

    def wanted(self, key: int) -> bool:
        """Whether another worker waits for a place."""
        found = fcntl.fcntl(self._file, fcntl.F_OFD_GETLK, self._lock(fcntl.F_WRLCK, key + _WANTED))
        return bool(_LOCK.unpack(found)[0] != fcntl.F_UNLCK)

    def _set(self, kind: int, place: int) -> bool:
        try:
            fcntl.fcntl(self._file, fcntl.F_OFD_SETLK, self._lock(kind, place))
        except BlockingIOError:
            return False
        return True

    @staticmethod
    def _lock(kind: int, place: int) -> bytes:
        return _LOCK.pack(kind, os.SEEK_SET, place, 1, 0)


def key(name: str) -> int:
    """Where the places of this name begin; two names do not meet: there are 2^50 beginnings."""
    digest = blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return (int.from_bytes(digest, sys.byteorder) >> 14) * (MOST + 1)
