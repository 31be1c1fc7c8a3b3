"""Booking of blocks, and what is left of an account's quota."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from postmeter import config
from postmeter.errors import UsageError
from postmeter.quota.block import DAY, Holding, check_size, expiry, in_order_of_payment, runs_out
from postmeter.store import events, ledger
from postmeter.store.counters import BUCKET
from postmeter.store.tables import Account, Block, Counter

DEMO, PAID = "demo", "paid"
PACE = 7 * DAY  # seconds of the past that a forecast goes by


@dataclass(frozen=True)
class BlockFacts:
    """A block that still pays; ``expires`` in ISO 8601, UTC."""

    kind: str
    size: int
    left: int
    expires: str


@dataclass(frozen=True)
class QuotaFacts:
    """An account's quota: mails left in unexpired blocks (in the order of payment) and units taken beyond them.

    ``runs_out``: when nothing will be left at the pace of the last seven days, by use or expiry (ISO 8601, UTC);
    None when nothing is left.
    """

    left: int
    blocks: tuple[BlockFacts, ...]
    overdraft: int
    threshold: int
    runs_out: str | None


@dataclass(frozen=True)
class Booking:
    """A block as it was booked; ``kind`` is demo or paid, times are in seconds since the epoch."""

    block_id: int
    kind: str
    size: int
    booked_at: float
    expires_at: float


def book_block(session: Session, account_id: int, units: int, settings: config.Block, now: float) -> int:
    """Book a paid block and give its id; UsageError when no block of this size is sold."""
    try:
        check_size(units, settings.min, settings.step)
    except ValueError as error:
        raise UsageError(str(error)) from None
    return _book(session, account_id, PAID, units, settings.days, now)


def book_demo(session: Session, account_id: int, settings: config.Demo, now: float) -> int | None:
    """Give the account its demo quota, once; None when it had one or there is none to give."""
    had = session.scalar(select(Block.id).where(Block.account_id == account_id, Block.kind == DEMO).limit(1))
    if had is not None or settings.size == 0:
        return None
    return _book(session, account_id, DEMO, settings.size, settings.days, now)


def quota_of(session: Session, account_id: int, now: float) -> QuotaFacts:
    """What the account has left and until when; UsageError when there is no such account."""
    account = session.get(Account, account_id)
    if account is None:
        raise UsageError(f"there is no account with the number {account_id}")
    rows = {
        block.id: block
        for block in session.scalars(select(Block).where(Block.account_id == account_id, Block.expires_at > now))
    }
    holdings = in_order_of_payment(Holding(b.id, b.left, b.booked_at, b.expires_at) for b in rows.values())
    end = runs_out(holdings, _pace(session, account_id, now), now)
    return QuotaFacts(
        left=sum(holding.left for holding in holdings),
        blocks=tuple(_facts(rows[holding.id]) for holding in holdings),
        overdraft=account.overdraft,
        threshold=account.threshold,
        runs_out=None if end is None else iso(end),
    )


def bookings_of(session: Session, account_id: int) -> list[Booking]:
    """All blocks that the account has ever had, oldest first."""
    columns = (Block.id, Block.kind, Block.size, Block.booked_at, Block.expires_at)
    rows = session.execute(select(*columns).where(Block.account_id == account_id).order_by(Block.booked_at, Block.id))
    return [Booking(*row) for row in rows]


def iso(seconds: float) -> str:
    """Seconds since the epoch as ISO 8601 text in UTC, to the second."""
    return datetime.fromtimestamp(int(seconds), UTC).isoformat().replace("+00:00", "Z")


def _book(session: Session, account_id: int, kind: str, units: int, days: int, now: float) -> int:
    block = Block(account_id=account_id, kind=kind, size=units, left=units, booked_at=now, expires_at=expiry(now, days))
    session.add(block)
    session.flush()
    ledger.entry(session, "book", {(account_id, block.id): units}, now)
    facts = {"block": block.id, "kind": kind, "size": units, "expires_at": block.expires_at}
    events.record(session, [events.about_account(account_id, "quota_booked", now, facts)])
    return block.id


def _facts(block: Block) -> BlockFacts:
    return BlockFacts(block.kind, block.size, block.left, iso(block.expires_at))


def _pace(session: Session, account_id: int, now: float) -> float:
    """Recipients accepted per second, over the last seven days or since the first one."""
    arrived, first = session.execute(
        select(func.sum(Counter.arrived), func.min(Counter.bucket)).where(
            Counter.account_id == account_id, Counter.bucket > now - PACE
        )
    ).one()
    return int(arrived or 0) / max(now - first, BUCKET) if first is not None else 0.0
