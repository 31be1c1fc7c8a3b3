"""What an account can pay in one commit: its blocks in the order of payment and, if it may, units beyond them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from postmeter import config
from postmeter.quota import overdraft as rules
from postmeter.quota.block import Available, allocate, expired
from postmeter.smtp.replies import QUOTA_EXHAUSTED, connection_inactive
from postmeter.smtp.reply import Reply
from postmeter.store import renewal, standing
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

    def __init__(self, account: Standing, room: float, blocks: list[Available]) -> None:
        self.account = account
        self._room = room
        self._blocks = blocks

    def pay(self, units: int) -> tuple[int | None, ...] | Reply:
        """Take one unit for each recipient, all or none: the block of each, or the reply that refuses."""
        if self.account.blocked:
            return connection_inactive(self.account.blocked)
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


def open_purses(session: Session, accounts: Sequence[int], overdraft: config.Overdraft, now: float) -> dict[int, Purse]:
    """Lock accounts (sorted by number); what each can pay, after blocks that have expired were ended and renewed."""
    locked = {account: standing.lock(session, account) for account in accounts}
    blocks = {account: _BLOCKS.fetch(session, {"account": account}) for account in accounts}
    if any(expired(row[2], now) for rows in blocks.values() for row in rows):
        # For all of them, so that the blocks of all are locked in one order.
        locked = {account: renewal.catch_up(session, account, now, locked[account]) for account in accounts}
        blocks = {account: _BLOCKS.fetch(session, {"account": account}) for account in accounts}
    return {
        account: Purse(locked[account], room(locked[account], overdraft), _in_order(blocks[account]))
        for account in accounts
    }


def _in_order(rows: list[tuple[Any, ...]]) -> list[Available]:
    if len(rows) > 1:
        rows.sort(key=lambda row: (row[2], row[3], row[0]))  # the order of payment
    return [Available(row[0], row[1]) for row in rows]


def room(account: Standing, overdraft: config.Overdraft) -> float:
    """Units that an account may still take beyond all blocks: by its own rule, or by that of the settings."""
    cap = overdraft.cap if account.overdraft_cap is None else account.overdraft_cap
    return rules.room(account.agreement, account.overdraft_policy or overdraft.policy, cap, account.owed)
