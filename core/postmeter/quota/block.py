"""The rules of booked quota: which sizes may be booked, when a block expires, which block pays, how long it lasts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

DAY = 86_400  # seconds


@dataclass(slots=True)
class Available:
    """A block as seen by one payment: what it can still give. ``left`` may be lowered by who takes from it."""

    id: int
    left: int


@dataclass(frozen=True, slots=True)
class Holding:
    """A block as seen by a forecast; times in seconds since the epoch."""

    id: int
    left: int
    booked_at: float
    expires_at: float


def check_size(units: int, least: int, step: int) -> None:
    """ValueError with a sentence when no block of ``units`` mails may be booked."""
    if units < least:
        raise ValueError(f"the smallest block has {least:,} mails, not {units:,}")
    if units % step:
        raise ValueError(f"a block has a multiple of {step:,} mails, which {units:,} is not")


def expiry(booked_at: float, days: int) -> float:
    """The instant at which a block can no longer pay, to the second."""
    return booked_at + days * DAY


def expired(expires_at: float, now: float) -> bool:
    """Whether a block has ended: at its very instant of expiry it has."""
    return now >= expires_at


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
    """When nothing will be left, used up at this pace or expired; None when nothing is left already."""
    end: float | None = None
    for block in in_order_of_payment(blocks):
        if block.left <= 0 or expired(block.expires_at, now):
            continue
        begin = end or now
        used_up = begin + block.left / per_second if per_second > 0 else block.expires_at
        end = max(begin, min(used_up, block.expires_at))
    return end
