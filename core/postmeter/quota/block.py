"""The rules of booked quota: sizes that may be booked, expiry and renewal, which block pays, how long it lasts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

DAY = 86_400  # seconds
AHEAD = 3 * DAY  # seconds before its expiry at which a block that is not renewed is told
MOST_MAILS = 10**12  # mails in any one number: far more than anybody sends, and safe to add up in 64 bits
HORIZON = 366 * DAY  # seconds a forecast looks ahead


@dataclass(slots=True)
class Available:
    """A block as seen by one payment: what it can still give. ``left`` may be lowered by who takes from it."""

    id: int
    left: int


@dataclass(frozen=True, slots=True)
class Holding:
    """A block as seen by a forecast; times in seconds since the epoch. A renewed one is booked again with ``size``."""

    id: int
    left: int
    booked_at: float
    expires_at: float
    size: int = 0
    renews: bool = False

    def renewed(self) -> Holding:
        """The block that takes its place at the instant of its expiry: as large and as long, from there on."""
        end = 2 * self.expires_at - self.booked_at
        return replace(self, left=self.size, booked_at=self.expires_at, expires_at=end)

    def at(self, now: float) -> Holding | None:
        """What has become of it by ``now``: the block itself, what it was renewed to, or nothing."""
        block = self
        while expired(block.expires_at, now):
            if not block.renews:
                return None
            block = block.renewed()
        return block


def check_size(units: int, least: int, step: int) -> None:
    """ValueError with a sentence when no block of ``units`` mails may be booked."""
    if units < least:
        raise ValueError(f"the smallest block has {least:,} mails, not {units:,}")
    if units > MOST_MAILS:
        raise ValueError(f"the largest block has {MOST_MAILS:,} mails, not {units:,}")
    if units % step:
        raise ValueError(f"a block has a multiple of {step:,} mails, which {units:,} is not")


def expiry(booked_at: float, days: int) -> float:
    """The instant at which a block can no longer pay, to the second."""
    return booked_at + days * DAY


def expired(expires_at: float, now: float) -> bool:
    """Whether a block has ended: at its very instant of expiry it has."""
    return now >= expires_at


def first_due(booked_at: float, expires_at: float, renews: bool) -> float:
    """When a block needs care: at its expiry, and AHEAD of it if nobody will renew it (and it lasts longer)."""
    notice = expires_at - AHEAD
    return expires_at if renews or notice <= booked_at else notice


def in_order_of_payment(blocks: Iterable[Holding]) -> list[Holding]:
    """Soonest expiry first, then oldest."""
    return sorted(blocks, key=lambda block: (block.expires_at, block.booked_at, block.id))


def allocate(blocks: Sequence[Available], units: int) -> tuple[list[tuple[Available, int]], int]:
    """How many units each block gives, the first ones first, and the rest that none can give.

    ``blocks`` are unexpired and in the order of payment; none of them is changed.
    """
    payments: list[tuple[Available, int]] = []
    for block in blocks:
        if units == 0:
            break
        taken = min(units, block.left)
        if taken > 0:
            payments.append((block, taken))
            units -= taken
    return payments, units


def runs_out(blocks: Iterable[Holding], per_second: float, now: float) -> float | None:
    """When nothing will be left, used up at this pace or expired, with all renewals on the way.

    None when nothing is left already, or something will be for a year.
    """
    held = [block for each in blocks if (block := each.at(now)) is not None]
    end: float | None = None
    while paying := next((block for block in in_order_of_payment(held) if block.left > 0), None):
        begin = now if end is None else end
        if begin > now + HORIZON:
            return None
        used_up = begin + paying.left / per_second if per_second > 0 else paying.expires_at
        end = min(used_up, *(block.expires_at for block in held))
        used = paying.left if end == used_up else min(paying.left, round((end - begin) * per_second))
        rest = [replace(block, left=block.left - used) if block is paying else block for block in held]
        held = [block for each in rest if (block := each.at(end)) is not None]
    return end
