"""A turnstile that lets a few in at a time, so that nobody has to wait behind a whole crowd that came before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from postmeter.delivery.fair_queue import FairQueue, Turn

Item = TypeVar("Item")


class Turnstile(Generic[Item]):
    """``most`` are inside at a time, the others come in by turns when one leaves; ``enter`` is called for each."""

    def __init__(self, most: int, enter: Callable[[Item], None]) -> None:
        self._most = most
        self._enter = enter
        self._inside = 0
        self._waiting: FairQueue[Item] = FairQueue()
        self._opening = False

    def come(self, turn: Turn, item: Item) -> None:
        """Let it in, now or when its turn comes."""
        if self._inside < self._most and not self._waiting:
            self._inside += 1
            self._enter(item)
        else:
            self._waiting.push(turn, item)

    def leave(self) -> None:
        """Somebody inside is done."""
        self._inside -= 1
        if self._waiting:
            self._open()

    def turn_away(self) -> list[Item]:
        """Those who are not inside, and never will be."""
        return self._waiting.drain()

    def _open(self) -> None:
        if self._opening:  # who leaves as soon as he has come in is followed by the next, not by a call within a call
            return
        self._opening = True
        try:
            while self._waiting and self._inside < self._most:
                self._inside += 1
                self._enter(self._waiting.pop())
        finally:
            self._opening = False
