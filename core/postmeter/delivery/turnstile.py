"""A turnstile that lets a few in at a time, so that nobody has to wait behind a whole crowd that came before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from postmeter.delivery.fair_queue import FairQueue, Turn

Item = TypeVar("Item", bound=Hashable)


class Turnstile(Generic[Item]):
    """``most`` are inside at a time, the others come in by turns when one leaves; ``enter`` is called for each.

    ``shared``: an account may have as many inside as it leaves free, one alone half of all, two a third each. So who
    has none there need not wait.
    """

    def __init__(self, most: int, enter: Callable[[Item], None], *, shared: bool = False) -> None:
        self._most = most
        self._enter = enter
        self._shared = shared
        self._inside: dict[Item, int] = {}  # and in which account's turn they came in
        self._held: Counter[int] = Counter()  # the same by account
        self._outside: dict[Item, set[Turn]] = {}
        self._waiting: FairQueue[tuple[Turn, Item]] = FairQueue()
        self._opening = False

    def come(self, turn: Turn, item: Item) -> None:
        """Let it in, now or when its turn comes: the first one, if it comes again in another while it waits."""
        if item in self._inside:
            return
        turns = self._outside.setdefault(item, set())
        if turn not in turns:
            turns.add(turn)
            self._waiting.push(turn, (turn, item))
            self._open()

    def leave(self, item: Item) -> None:
        """It is done, and not inside any more."""
        if (account := self._inside.pop(item, None)) is not None:
            self._held[account] -= 1
            if not self._held[account]:
                del self._held[account]
            self._open()

    def turn_away(self) -> list[Item]:
        """Those who are not inside, and never will be."""
        away, self._outside = list(self._outside), {}
        self._waiting.drain()
        return away

    def _open(self) -> None:
        if self._opening:  # who leaves as soon as he has come in is followed by the next, not by a call within a call
            return
        self._opening = True
        try:
            while len(self._inside) < self._most and (found := self._waiting.pop_if(self._may)) is not None:
                self._let_in(*found)
        finally:
            self._opening = False

    def _may(self, account: int) -> bool:
        return not self._shared or self._held[account] < self._most - len(self._inside)

    def _let_in(self, turn: Turn, item: Item) -> None:
        if self._outside.pop(item, None) is not None:  # else it came in already, in another turn
            self._inside[item] = turn.account_id
            self._held[turn.account_id] += 1
            self._enter(item)
