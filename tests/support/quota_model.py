"""Quota told naively: plain objects that are moved one unit at a time, to compare the store with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

DAY = 86_400
HOUR = 3_600.0


@dataclass(eq=False)
class NaiveBlock:
    """A block; ``id`` is what the store calls it."""

    kind: str
    size: int
    left: int
    booked_at: float
    expires_at: float
    renews: bool
    reserved: int = 0
    charged: int = 0
    lost: int = 0
    open: bool = True
    announced: bool = False
    id: int = 0

    @property
    def announce_at(self) -> float:
        """From when on it is told that the block will end."""
        ahead = self.expires_at - 3 * DAY
        return self.expires_at if self.renews or self.announced or ahead <= self.booked_at else ahead


@dataclass(eq=False)
class NaiveAccount:
    """An account, its blocks in the order of their bookings, and all that was told about its quota."""

    number: int
    agreement: bool
    threshold: int
    cap: int = 0
    paid: bool = False
    blocks: list[NaiveBlock] = field(default_factory=list)
    overdraft_reserved: int = 0
    overdraft_charged: int = 0
    invoiced: int = 0
    arrived: int = 0
    released: int = 0
    slots: list[float] = field(default_factory=list)
    armed: dict[str, bool] = field(
        default_factory=lambda: {"quota_low": False, "quota_exhausted": False, "quota_overdraft": True}
    )
    told: list[tuple[str, float, dict[str, Any]]] = field(default_factory=list)

    @property
    def left(self) -> int:
        """What the open blocks hold."""
        return sum(block.left for block in self.blocks if block.open)

    @property
    def overdraft(self) -> int:
        """Units beyond all blocks."""
        return self.overdraft_reserved + self.overdraft_charged

    @property
    def owed(self) -> int:
        """Those that are on no invoice; released ones may have been on one."""
        return self.overdraft - self.invoiced

    # Blocks

    def book(self, kind: str, size: int, days: int, renews: bool, now: float) -> None:
        """A booking; the first paid one ends the hourly limit."""
        self.paid = self.paid or kind == "paid"
        self.pass_time(now)
        block = NaiveBlock(kind, size, size, now, now + days * DAY, renews)
        self.blocks.append(block)
        facts = {"block": block, "kind": kind, "size": size, "expires_at": block.expires_at, "renews": renews}
        self.told.append(("quota_booked", now, facts))
        self._rise()

    def set_renewal(self, renews: bool, now: float) -> None:
        """Of all paid blocks."""
        self.pass_time(now)
        for block in self.blocks:
            if block.open and block.kind == "paid" and block.renews != renews:
                block.renews, block.announced = renews, False

    def pass_time(self, now: float) -> None:
        """End and renew what is due."""
        due = [block for block in self.blocks if block.open and block.expires_at <= now]
        renewals = [self._end(block, now) for block in due]
        if any(renewals):
            self._rise()
        if due:
            self.fall(0, now)

    def announce(self, now: float) -> None:
        """Tell of what will end unused."""
        for block in self.blocks:
            if block.open and block.announce_at <= now < block.expires_at:
                if block.left and not block.renews:
                    facts = {"block": block, "left": block.left, "expires_at": block.expires_at}
                    self.told.append(("quota_expiring", now, facts))
                block.announced = True

    def is_due(self, now: float) -> bool:
        """Whether a worker has to look after it."""
        return any(block.open and min(block.announce_at, block.expires_at) <= now for block in self.blocks)

    def _end(self, block: NaiveBlock, now: float) -> bool:
        facts = {"block": block, "size": block.size, "lost": block.left}
        block.lost, block.left, block.open = block.lost + block.left, 0, False
        if not block.renews:
            self.told.append(("quota_expired", block.expires_at, facts))
            return False
        end = block.expires_at + block.expires_at - block.booked_at
        new = NaiveBlock(block.kind, block.size, block.size, block.expires_at, end, True)
        self.blocks.append(new)
        facts |= {"block": new, "replaces": block, "kind": block.kind, "expires_at": end}
        self.told.append(("quota_renewed", block.expires_at, facts))
        if new.expires_at <= now:
            self._end(new, now)
        return True

    # Units

    def pay(self, units: int, policy: str = "agreement") -> list[NaiveBlock | None] | None:
        """Take units one by one, all or none: the block of each (None: overdraft); None when there are too few."""
        beyond = max(0, units - self.left)
        may = policy == "always" or (policy == "agreement" and self.agreement)
        if beyond and (not may or (self.cap and self.owed + beyond > self.cap)):
            return None
        order = sorted((b for b in self.blocks if b.open), key=lambda b: (b.expires_at, b.booked_at, b.id))
        paid: list[NaiveBlock | None] = []
        for block in order:
            while block.left and len(paid) < units:
                block.left -= 1
                block.reserved += 1
                paid.append(block)
        self.overdraft_reserved += units - len(paid)
        self.arrived += units
        return [*paid, *[None] * (units - len(paid))]

    def charge(self, block: NaiveBlock | None) -> None:
        """A reserved unit was transmitted."""
        if block is None:
            self.overdraft_reserved -= 1
            self.overdraft_charged += 1
        else:
            block.reserved -= 1
            block.charged += 1

    def release(self, block: NaiveBlock | None) -> None:
        """A reserved unit never was; in a block that has ended it is lost."""
        self.released += 1
        if block is None:
            self.overdraft_reserved -= 1
            return
        block.reserved -= 1
        if block.open:
            block.left += 1
        else:
            block.lost += 1

    def invoice(self) -> int:
        """Invoice the overdraft."""
        owed = max(0, self.owed)
        self.invoiced += owed
        self.armed["quota_overdraft"] = True
        return owed

    def slot(self, now: float) -> float:
        """When the next recipient may leave."""
        if self.paid:
            return now
        slot = max([now, *self.slots[-1:], *(taken + HOUR for taken in self.slots[-25:-24] if len(self.slots) >= 25)])
        self.slots.append(slot)
        return slot

    # Notices

    def fall(self, overdrawn: int, now: float) -> None:
        """After a commit that took units, or time that ended some."""
        low = {"left": self.left, "threshold": self.threshold}
        met = {
            "quota_low": (self.left < self.threshold, low),
            "quota_exhausted": (self.left == 0, low),
            "quota_overdraft": (overdrawn > 0, {"overdraft": self.owed}),
        }
        for kind, (below, facts) in met.items():
            if below and self.armed[kind]:
                self.armed[kind] = False
                self.told.append((kind, now, facts))

    def _rise(self) -> None:
        self.armed["quota_low"] |= self.left >= self.threshold
        self.armed["quota_exhausted"] |= self.left > 0


def adopt(accounts: Iterable[NaiveAccount], rows: Iterable[Any]) -> None:
    """Learn the store's numbers of new blocks; AssertionError when it made others."""
    known = {block.id for account in accounts for block in account.blocks}
    new = {account.number: [b for b in account.blocks if not b.id] for account in accounts}
    for row in sorted(rows, key=lambda row: row.id):
        if row.id not in known:
            block = new[row.account_id].pop(0)
            block.id = row.id
            assert (row.kind, row.size, row.booked_at) == (block.kind, block.size, block.booked_at)
    assert not any(new.values())
