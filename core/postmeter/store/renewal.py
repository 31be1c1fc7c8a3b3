"""The end of blocks: what is left expires, and a block that renews is booked again at that instant, in one commit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, insert, select, update
from sqlalchemy.orm import Session

from postmeter.quota.block import Holding, expired, first_due
from postmeter.store import events, ledger, standing
from postmeter.store.base import table
from postmeter.store.quota_tables import Block
from postmeter.store.standing import Standing

MOST = 500  # blocks looked after in one commit

_is_open = Block.due_at.is_not(None)
_FACTS = (Block.id, Block.kind, Block.size, Block.left, Block.booked_at, Block.expires_at, Block.renews)


def look_after(session: Session, times: Sequence[float]) -> list[int]:
    """The change that a worker makes again and again: tell and end what is due; how many accounts that was about.

    All that wait are one look, at the latest time: accounts are locked in one order, by nobody twice over.
    """
    now = max(times)
    due = select(Block.account_id).where(Block.due_at <= now).order_by(Block.due_at).limit(MOST)
    accounts = {number: standing.lock(session, number) for number in sorted(set(session.scalars(due)))}
    for number, account in accounts.items():
        catch_up(session, number, now, account)
        _announce(session, number, now)
    return [len(accounts)] * len(times)


def catch_up(session: Session, account_id: int, now: float, account: Standing) -> Standing:
    """End what has expired of a locked account and renew what renews, as often as it is due; its standing then.

    Nobody who locks the account sees it between the end of a block and its renewal. All of its open blocks are locked
    (by number; who does this for several accounts goes by theirs), since what is released moves without its lock.
    """
    query = select(*_FACTS).where(Block.account_id == account_id, _is_open).order_by(Block.id)
    held = session.execute(query.with_for_update()).all()
    ended = [block for block in held if expired(block.expires_at, now)]
    renewed = [_end(session, account_id, block, now) for block in ended]
    if not ended:
        return account
    left = left_of(session, account_id)
    if any(renewed):
        account = standing.rose(session, account_id, account, left)
    standing.fell(session, account_id, account, left, 0, now)
    return standing.lock(session, account_id)


def left_of(session: Session, account_id: int) -> int:
    """What the open blocks of a locked account hold."""
    query = select(func.coalesce(func.sum(Block.left), 0)).where(Block.account_id == account_id, _is_open)
    return int(session.execute(query).scalar_one())


def open_block(session: Session, account_id: int, kind: str, block: Holding, request: str | None = None) -> int:
    """The row of a block that is booked or renewed; its number. The entry in the ledger is the caller's."""
    row = {
        "account_id": account_id,
        "kind": kind,
        "size": block.size,
        "left": block.left,
        "reserved": 0,
        "charged": 0,
        "booked_at": block.booked_at,
        "expires_at": block.expires_at,
        "renews": block.renews,
        "due_at": first_due(block.booked_at, block.expires_at, block.renews),
        "request": request,
    }
    return session.execute(insert(table(Block)).values(row).returning(Block.id)).scalar_one()


def _announce(session: Session, account_id: int, now: float) -> None:
    """Tell of blocks (all are locked) that will end unused before long; each once."""
    query = select(*_FACTS).where(Block.account_id == account_id, Block.due_at <= now, Block.expires_at > now)
    for block in session.execute(query.order_by(Block.id)).all():
        _set(session, block.id, due_at=block.expires_at)
        if block.left and not block.renews:
            facts = {"block": block.id, "left": block.left, "expires_at": block.expires_at}
            events.record(session, [events.about_account(account_id, "quota_expiring", now, facts)])


def _end(session: Session, account_id: int, block: Any, now: float) -> bool:
    """End a block and, if it renews, all that followed it until now; whether it did."""
    number, held = block.id, Holding(*(getattr(block, name) for name in Holding.__dataclass_fields__))
    while True:
        end = held.expires_at
        facts = {"block": number, "size": held.size, "lost": held.left}
        _set(session, number, left=0, due_at=None)
        ledger.enter(session, [(account_id, number, "expire", -held.left)], end)
        if not held.renews:
            events.record(session, [events.about_account(account_id, "quota_expired", end, facts)])
            return False
        held, ended = held.renewed(), number
        number = open_block(session, account_id, block.kind, held)
        ledger.enter(session, [(account_id, number, "renew", held.size)], end)
        facts |= {"block": number, "replaces": ended, "kind": block.kind, "expires_at": held.expires_at}
        events.record(session, [events.about_account(account_id, "quota_renewed", end, facts)])
        if held.expires_at > now:
            return True


def _set(session: Session, block_id: int, **values: Any) -> None:
    session.connection().execute(update(table(Block)).where(Block.id == block_id).values(**values))
