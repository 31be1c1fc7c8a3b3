"""How much a worker holds in memory, recipients and octets of content, and which part of that an account may have."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Self

from postmeter.store.picking import Load

MAX_OCTETS = 64 << 20  # of content under way in one worker
OF_OCTETS = 3  # times the free octets may be of one account: large mail is rare, and its neighbours are let in anyway
MARGIN = 8  # of so many recipients that an account may have, one is kept for what it has in the store

Begin = Callable[[], None]


class Window:
    """Counts what is under way, so that whoever has little of it finds room.

    An account may have as many recipients as are left free: one alone half of the window, two a third each. So may all
    mail for one receiver, and an account's mail for one receiver half as many. An account with nothing under way is let
    in as long as there is any room, and into an empty window everybody, with however large a message.
    """

    def __init__(self, recipients: int, octets: int = MAX_OCTETS) -> None:
        self._max_recipients = recipients
        self._max_octets = octets
        self.recipients = 0
        self.octets = 0
        self._held: dict[int | str | tuple[int, str], int] = {}  # recipients of an account, for a receiver, of both
        self._octets: dict[int, int] = {}  # of an account
        self._waiting: dict[int, deque[tuple[Load, Begin]]] = {}  # by account: leased, but there was no room

    @property
    def room(self) -> int:
        """How many more recipients may come in."""
        return max(0, self._max_recipients - self.recipients)

    @property
    def waiting(self) -> int:
        """How many recipients wait to come in."""
        return sum(load.recipients for waiting in self._waiting.values() for load, _ in waiting)

    def copy(self) -> Self:
        """A window in the same state, to try what fits; nobody comes in from there."""
        copy = type(self)(self._max_recipients, self._max_octets)
        copy.recipients, copy.octets = self.recipients, self.octets
        copy._held, copy._octets = self._held.copy(), self._octets.copy()
        copy._waiting = {account: deque() for account in self._waiting}
        return copy

    def reserve(self, load: Load) -> bool:
        """Let new mail in if there is room, also for some more of its account that waits in the store."""
        held = self._held.get(load.account_id, 0)
        if not self.fits(load) or held * MARGIN > self.room * (MARGIN - 1):
            return False
        self.enter(load)
        return True

    def admit(self, load: Load, begin: Begin) -> None:
        """Let leased mail in, now or when there is room, behind what its account has waiting; then call ``begin``."""
        if self.fits(load):
            self.enter(load)
            begin()
        else:
            self._waiting.setdefault(load.account_id, deque()).append((load, begin))

    def forget_waiting(self) -> None:
        """Nobody else comes in."""
        self._waiting.clear()

    def fits(self, load: Load) -> bool:
        """Whether this may come in now."""
        return load.account_id not in self._waiting and self._has_room(load)

    def enter(self, load: Load) -> None:
        """It comes in."""
        self._count(*load)

    def leave(self, load: Load) -> None:
        """What came in, or a part of it, goes; others may come in."""
        account, receiver, recipients, octets = load
        self._count(account, receiver, -recipients, -octets)
        if self._waiting:
            for waiting in list(self._waiting):
                self._let_in(waiting)

    def _has_room(self, load: Load) -> bool:
        account, receiver, recipients, octets = load
        room, free = self.room, self._max_octets - self.octets
        if recipients > room or free <= 0:
            return not self.recipients
        held, there = self._held.get(account, 0), self._held.get((account, receiver), 0)
        if not held:
            return True
        if held + recipients > room or self._octets[account] + octets > OF_OCTETS * free:
            return False
        return not there or (2 * there + recipients <= room and self._held[receiver] + recipients <= room)

    def _let_in(self, account: int) -> None:
        waiting = self._waiting.get(account, ())
        while waiting and self._has_room(waiting[0][0]):
            load, begin = waiting.popleft()
            if not waiting:
                self._waiting.pop(account, None)
            self.enter(load)
            begin()

    def _count(self, account: int, receiver: str, recipients: int, octets: int) -> None:
        self.recipients += recipients
        self.octets += octets
        self._octets[account] = self._octets.get(account, 0) + octets
        held = self._held
        for key in (account, receiver, (account, receiver)):
            held[key] = held.get(key, 0) + recipients
            if not held[key]:
                del held[key]
        if account not in held:
            del self._octets[account]
