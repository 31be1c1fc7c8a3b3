"""What all workers of a machine tell each other without a lock: numbers under keys, in memory that they share."""

from __future__ import annotations

import mmap
import os
import struct
import sys
from hashlib import blake2b

WAYS = 8  # places that a worker has for a key
SETS = 8192  # of that many places
FOREVER = (1 << 44) - 1  # the end of a number that holds as long as its worker lives

_HEAD = struct.Struct("@Q32s128s")  # how many workers; the key of all keys; the secret
_HEAD_WORDS = mmap.PAGESIZE // 8
_COUNT_BITS = 20
_MOST = (1 << _COUNT_BITS) - 1


class Board:
    """One worker's view: it writes numbers of its own, and reads what all workers have written under a key.

    A number is a count and its end, in milliseconds of a clock that all workers share. The memory is a table of sets; a
    set has places for each worker, first all keys, then the numbers, so that one search finds a key at all workers. A
    number is one word: who reads it while another process writes gets the old one or the new one. A worker that has no
    place left in a set forgets the number that ends first, so one that lasts FOREVER goes last.
    """

    def __init__(self, descriptor: int, page: int) -> None:
        self._memory = mmap.mmap(descriptor, 0)
        self._words = memoryview(self._memory).cast("Q")
        pages, key, self.secret = _HEAD.unpack_from(self._memory)
        self._hash = blake2b(digest_size=8, key=key)
        self._numbers: int = pages * WAYS  # words from a key to its number
        self._row: int = 2 * self._numbers  # words of a set
        self._own = _HEAD_WORDS + page * WAYS
        self._forget_sessions()

    @staticmethod
    def create(pages: int) -> int:
        """The descriptor of a new board for as many workers, closed on exec; it takes a mebibyte for each."""
        descriptor = os.memfd_create("postmeter-board")
        os.ftruncate(descriptor, 8 * (_HEAD_WORDS + SETS * 2 * pages * WAYS))
        os.pwrite(descriptor, _HEAD.pack(pages, os.urandom(32), os.urandom(128)), 0)
        return descriptor

    @classmethod
    def alone(cls) -> Board:
        """The board of a process that shares with nobody."""
        descriptor = cls.create(1)
        try:
            return cls(descriptor, 0)
        finally:
            os.close(descriptor)

    @classmethod
    def clear(cls, descriptor: int, page: int) -> None:
        """A worker is gone, its sessions as well; what it knew of failures and log-ins is still true, and stays."""
        cls(descriptor, page)

    def key(self, kind: str, text: str) -> int:
        """The name of a number, which nobody outside can foresee; ``text`` may be anything, and is not kept."""
        digest = self._hash.copy()
        digest.update(f"{kind} {text}".encode("utf-8", "surrogatepass"))
        return int.from_bytes(digest.digest(), sys.byteorder) or 1  # 0 is an empty place

    def count(self, key: int, after: int) -> int:
        """The sum of all workers' counts that end after ``after``."""
        last = after << _COUNT_BITS | _MOST
        return sum([number & _MOST for number in self._all(key) if number > last])

    def end(self, key: int) -> int:
        """The last end that any worker knows; 0 when there is none."""
        return max(self._all(key), default=0) >> _COUNT_BITS

    def add(self, key: int, after: int, end: int) -> None:
        """Count one more in the window that ends after ``after``; when none runs, one begins that ends at ``end``.

        A window that runs at another worker is joined, so that it ends for all at once.
        """
        place = self._place(key)
        own = self._words[place + self._numbers] if self._words[place] == key else 0
        if own >> _COUNT_BITS > after:
            self.put(key, (own & _MOST) + 1, own >> _COUNT_BITS)
        else:
            ends = [number >> _COUNT_BITS for number in self._all(key) if number >> _COUNT_BITS > after]
            self.put(key, 1, min(ends, default=end))

    def put(self, key: int, count: int, end: int = FOREVER) -> None:
        """Make this the worker's own number; a count of 0 takes it away."""
        place, words = self._place(key), self._words
        if words[place] != key:
            if not count:
                return
            words[place] = 0  # nobody finds the new number under the old key
        words[place + self._numbers] = end << _COUNT_BITS | min(count, _MOST) if count else 0
        words[place] = key if count else 0

    def _all(self, key: int) -> list[int]:
        """What the workers say under this key."""
        words, numbers = self._words, self._numbers
        first = _HEAD_WORDS + key % SETS * self._row
        keys = self._memory[8 * first : 8 * (first + numbers)]
        found, at = [], 0
        for between in keys.split(key.to_bytes(8, sys.byteorder))[:-1]:
            at += len(between)
            place = first + at // 8
            number = words[place + numbers]
            if words[place] == key:  # still, and not by chance across two places
                found.append(number)
            at += 8
        return found

    def _place(self, key: int) -> int:
        """Where the worker's own number is or goes: to an empty place, or to that of the number that ends first."""
        first = self._own + key % SETS * self._row
        keys: list[int] = self._words[first : first + WAYS].tolist()
        if key in keys:
            return first + keys.index(key)
        first_number = first + self._numbers
        numbers: list[int] = self._words[first_number : first_number + WAYS].tolist()
        return first + numbers.index(min(numbers))

    def _forget_sessions(self) -> None:
        for way in range(WAYS):
            keys = self._words[self._own + way :: self._row]
            numbers = self._words[self._own + self._numbers + way :: self._row]
            for n, number in enumerate(numbers.tolist()):
                if number >= FOREVER << _COUNT_BITS:
                    numbers[n] = keys[n] = 0
