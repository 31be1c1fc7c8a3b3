"""What an account can pay in one commit: its blocks in the order of payment and, if it may, units beyond them."""

from __future__ import annotations

import math

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from postmeter import config
from postmeter.quota.block import Available, allocate, expired
from postmeter.smtp.replies import QUOTA_EXHAUSTED, connection_inactive
from postmeter.smtp.reply import Reply
from postmeter.store import renewal
from postmeter.store.quota_tables import Block
from postmeter.store.standing import Standing
from postmeter.store.statement import Statement

_BLOCKS = Statement(
    select(Block.id, Block.left, Block.expires_at, Block.booked_at).where(
        Block.account_id == bindparam("account"), Block.due_at.is_not(None)
    )
)


class Purse:
    """What one account can still pay; ``room`` is how many units it may take beyond all blocks (math.inf: any)."""

    overdrawn = 0  # units taken beyond all blocks

    def __init__(self, standing: Standing, room: float, blocks: list[Available]) -> None:
        self.standing = standing
        self._room = room
        self._blocks = blocks

    @classmethod
    def open(
        cls, session: Session, account_id: int, standing: Standing, overdraft: config.Overdraft, now: float
    ) -> Purse:
        """The purse of a locked account; blocks that have expired are ended and renewed first."""
        rows = _BLOCKS.fetch(session, {"account": account_id})
        if any(expired(row[2], now) for row in rows):
            standing = renewal.catch_up(session, account_id, now, standing)
            rows = _BLOCKS.fetch(session, {"account": account_id})
        if len(rows) > 1:
            rows.sort(key=lambda row: (row[2], row[3], row[0]))  # the order of payment
        return cls(standing, room(standing, overdraft), [Available(row[0], row[1]) for row in rows])

    def pay(self, units: int) -> tuple[int | None, ...] | Reply:
        """Take one unit for each recipient, all or none: the block of each, or the reply that refuses."""
        if self.standing.blocked:
            return connection_inactive(self.standing.blocked)
        payments, rest = allocate(self._blocks, units)
        if rest and self.overdrawn + rest > self._room:
            return QUOTA_EXHAUSTED
        paid_by: list[int | None] = []
        for block, taken in payments:
            block.left -= taken
            paid_by += [block.id] * taken
        self.overdrawn += rest
        return (*paid_by, *[None] * rest)

    @property
    def left(self) -> int:
        """What all blocks can still give."""
        return sum(block.left for block in self._blocks)


def room(standing: Standing, overdraft: config.Overdraft) -> float:
    """Units that an account may still take beyond all blocks: by its own rule, or by that of the settings."""
    policy = standing.overdraft_policy or overdraft.policy
    if policy == "never" or (policy == "agreement" and not standing.agreement):
        return 0
    cap = overdraft.cap if standing.overdraft_cap is None else standing.overdraft_cap
    return cap - standing.owed if cap else math.inf
