"""A queue in which nobody waits behind somebody else's pile: by priority, then each account in turn."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from postmeter.message.handling import NORMAL
from postmeter.store.queue import QueuedMessage

Item = TypeVar("Item")
Place = TypeVar("Place")

LOWER = 8  # of so many that leave while others wait below them, one comes from there


@dataclass(frozen=True, slots=True)
class Turn:
    """Whose turn it is when this leaves: the account's, within the message's priority."""

    account_id: int
    priority: int = NORMAL

    @classmethod
    def of(cls, message: QueuedMessage) -> Turn:
        """The turn of what is done for a message."""
        return cls(message.account_id, message.priority)


ANYBODY = Turn(0)  # what is done for nobody's message


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
        if (item := self.pop_if(_anybody)) is None:
            raise IndexError("nothing waits")
        return item

    def pop_if(self, may: Callable[[int], bool]) -> Item | None:
        """The same among the accounts that ``may``; None when nothing of theirs waits."""
        waiting = [(lane, account) for lane in self._lanes if (account := next(filter(may, lane), None)) is not None]
        if not waiting:
            return None
        lane, account = self._next(waiting)
        items = lane.pop(account)
        item = items.popleft()
        if items:
            lane[account] = items  # behind the other accounts
        self._length -= 1
        return item

    def take_out(self, which: Callable[[Item], bool]) -> list[Item]:
        """Take the items of which this is true, wherever they wait."""
        taken: list[Item] = []
        for lane in self._lanes:
            for account, items in list(lane.items()):
                lane[account] = stay = deque[Item]()
                for item in items:
                    (taken if which(item) else stay).append(item)
                if not stay:
                    del lane[account]
        self._length -= len(taken)
        return taken

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

    def _next(self, waiting: list[Place]) -> Place:
        """The highest lane mostly; of LOWER turns one is for those below, of as many of these one for the next."""
        self._turns += 1
        below, turn = 0, self._turns
        while below < len(waiting) - 1 and turn % LOWER == 0:
            below, turn = below + 1, turn // LOWER
        return waiting[below]

    def _lane(self, turn: Turn) -> deque[Item]:
        return self._lanes[turn.priority].setdefault(turn.account_id, deque())


def _anybody(_account: int) -> bool:
    return True
