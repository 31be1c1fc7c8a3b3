"""A queue in which nobody waits behind somebody else's pile: by priority, then each account in turn."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Generic, TypeVar

from postmeter.message.handling import NORMAL

Item = TypeVar("Item")

LOWER = 8  # of so many that leave while others wait below them, one comes from there


@dataclass(frozen=True, slots=True)
class Turn:
    """Whose turn it is when this leaves: the account's, within the message's priority."""

    account_id: int
    priority: int = NORMAL


class FairQueue(Generic[Item]):
    """Gives items by their turn; those of one account and priority in the order in which they came."""

    def __init__(self) -> None:
        self._lanes: tuple[dict[int, deque[Item]], ...] = ({}, {}, {})
        self._length = 0
        self._turns = 0

    def __len__(self) -> int:
        return self._length

    @property
    def turn(self) -> Turn:
        """Whose turn it is, but for the lower ones that come now and then; IndexError when nothing waits."""
        priority, lane = next((n, lane) for n, lane in enumerate(self._lanes) if lane)
        return Turn(next(iter(lane)), priority)

    def push(self, turn: Turn, item: Item) -> None:
        """Let an item wait behind those of its account and priority."""
        self._lane(turn).append(item)
        self._length += 1

    def push_back(self, turn: Turn, item: Item) -> None:
        """The same in front of them: it had its turn, and could not use it."""
        self._lane(turn).appendleft(item)
        self._length += 1

    def pop(self) -> Item:
        """Take the item whose turn it is; IndexError when there is none."""
        waiting = [lane for lane in self._lanes if lane]
        if not waiting:
            raise IndexError("nothing waits")
        lane = self._next(waiting)
        account, items = next(iter(lane.items()))
        del lane[account]
        item = items.popleft()
        if items:
            lane[account] = items  # behind the other accounts
        self._length -= 1
        return item

    def ahead(self, turn: Turn) -> int:
        """How many leave, about, before an item of this turn that comes now."""
        *above, lane = self._lanes[: turn.priority + 1]
        own = len(lane.get(turn.account_id, ()))
        return (
            sum(len(items) for one in above for items in one.values())
            + sum(min(len(items), own + 1) for account, items in lane.items() if account != turn.account_id)
            + own
        )

    def drain(self) -> list[Item]:
        """Take all."""
        return [self.pop() for _ in range(self._length)]

    def drain_of(self, account_id: int) -> list[Item]:
        """Take all of an account."""
        taken = [item for lane in self._lanes for item in lane.pop(account_id, ())]
        self._length -= len(taken)
        return taken

    def _next(self, waiting: list[dict[int, deque[Item]]]) -> dict[int, deque[Item]]:
        """The highest lane mostly; of LOWER turns one is for those below, of as many of these one for the next."""
        self._turns += 1
        below, turn = 0, self._turns
        while below < len(waiting) - 1 and turn % LOWER == 0:
            below, turn = below + 1, turn // LOWER
        return waiting[below]

    def _lane(self, turn: Turn) -> deque[Item]:
        return self._lanes[turn.priority].setdefault(turn.account_id, deque())
