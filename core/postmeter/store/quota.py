"""Booking of blocks, and what is left of an account's quota."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from postmeter import config
from postmeter.errors import UsageError
from postmeter.quota.block import DAY, Holding, check_size, expiry, first_due, in_order_of_payment, runs_out
from postmeter.store import events, ledger, renewal, standing, throttle
from postmeter.store.base import table
from postmeter.store.counters import BUCKET
from postmeter.store.quota_tables import Block
from postmeter.store.standing import Standing
from postmeter.store.tables import Account, Counter

DEMO, PAID = "demo", "paid"
PACE = 7 * DAY  # seconds of the past that a forecast goes by


@dataclass(frozen=True)
class BlockFacts:
    """A block that still pays; ``expires`` in ISO 8601, UTC. ``renews``: it is booked again at that instant."""

    kind: str
    size: int
    left: int
    expires: str
    id: int
    renews: bool


@dataclass(frozen=True)
class QuotaFacts:
    """An account's quota: mails left in unexpired blocks (in the order of payment).

    ``overdraft``: units taken beyond all blocks that are on no invoice yet. ``runs_out``: when nothing will be left
    at the pace of the last seven days, by use or expiry (ISO 8601, UTC); None when nothing is left, or when renewals
    keep up with the pace.
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


def book_block(
    session: Session,
    account_id: int,
    units: int,
    settings: config.Block,
    now: float,
    *,
    renews: bool = True,
    request: str | None = None,
) -> int:
    """Book a paid block and give its id; UsageError when no block of this size is sold.

    A second booking of the account with the same ``request`` is the first one again. The first paid block of an
    account ends its hourly limit.
    """
    try:
        check_size(units, settings.min, settings.step)
    except ValueError as error:
        raise UsageError(str(error)) from None
    account = standing.lock(session, account_id)
    if request is not None and (booked := _requested(session, account_id, request, units)) is not None:
        return booked
    if account.paid_since is None:
        standing.change(session, account_id, paid_since=now)
        throttle.lift(session, account_id, now)
    block = Holding(0, units, now, expiry(now, settings.days), units, renews)
    return _book(session, account_id, account, PAID, block, request)


def booked_with(session: Session, account_id: int, request: str, *, lock: bool = False) -> int | None:
    """The block that the account has booked with this key; ``lock``: nobody else books until the transaction ends."""
    if lock:
        standing.lock(session, account_id)
    query = select(Block.id).where(Block.account_id == account_id, Block.request == request)
    return session.scalar(query)


def book_demo(session: Session, account_id: int, settings: config.Demo, now: float) -> int | None:
    """Give the account its demo quota, once; None when it had one or there is none to give."""
    account = standing.lock(session, account_id)
    had = session.scalar(select(Block.id).where(Block.account_id == account_id, Block.kind == DEMO).limit(1))
    if had is not None or settings.size == 0:
        return None
    block = Holding(0, settings.size, now, expiry(now, settings.days), settings.size)
    return _book(session, account_id, account, DEMO, block)


def set_renewal(session: Session, account_id: int, block_id: int | None, renews: bool, now: float) -> list[int]:
    """Have one paid block (None: all of them) renewed at its expiry, or not any more; which ones there are.

    UsageError when the account has no such block, or it has expired.
    """
    account = standing.lock(session, account_id)
    renewal.catch_up(session, account_id, now, account)
    open_blocks = select(Block.id, Block.booked_at, Block.expires_at, Block.renews).where(
        Block.account_id == account_id, Block.kind == PAID, Block.due_at.is_not(None)
    )
    query = open_blocks if block_id is None else open_blocks.where(Block.id == block_id)
    found = session.execute(query.order_by(Block.id)).all()
    if block_id is not None and not found:
        raise UsageError(f"the account has no paid block {block_id} that could be renewed")
    for block in found:
        if block.renews != renews:
            due = first_due(block.booked_at, block.expires_at, renews)
            change = update(table(Block)).where(Block.id == block.id).values(renews=renews, due_at=due)
            session.connection().execute(change)
    return [block.id for block in found]


def invoice_overdraft(session: Session, account_id: int, now: float) -> int:
    """Mark all overdraft that is on no invoice as invoiced; how many units that is.

    Nothing is owed then, also when what there was has been released: the notice of the next one is armed again.
    """
    account = standing.lock(session, account_id)
    units = max(0, account.owed)
    if units or not account.overdraft_armed:
        standing.change(session, account_id, invoiced=account.invoiced + units, overdraft_armed=True)
        ledger.enter(session, [(account_id, None, "invoice", units)], now)
    return units


def quota_of(session: Session, account_id: int, now: float) -> QuotaFacts:
    """What the account has left and until when; UsageError when there is no such account."""
    account = session.get(Account, account_id)
    if account is None:
        raise UsageError(f"there is no account with the number {account_id}")
    rows = session.execute(
        select(Block.id, Block.left, Block.booked_at, Block.expires_at, Block.size, Block.renews, Block.kind).where(
            Block.account_id == account_id, Block.due_at.is_not(None)
        )
    ).all()
    kinds = {row.id: row.kind for row in rows}
    current = (Holding(*row[:-1]).at(now) for row in rows)  # nobody may have cared for an expiry yet
    holdings = in_order_of_payment(holding for holding in current if holding is not None)
    end = runs_out(holdings, _pace(session, account_id, now), now)
    return QuotaFacts(
        left=sum(holding.left for holding in holdings),
        blocks=tuple(_facts(holding, kinds[holding.id]) for holding in holdings),
        overdraft=max(0, account.overdraft - account.invoiced),
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


def _requested(session: Session, account_id: int, request: str, units: int) -> int | None:
    """The block that was booked with this key; UsageError when it is of another size."""
    query = select(Block.id, Block.size).where(Block.account_id == account_id, Block.request == request)
    found = session.execute(query).one_or_none()
    if found is not None and found.size != units:
        raise UsageError(f"with the key {request!r} a block of {found.size:,} mails was booked, not of {units:,}")
    return None if found is None else int(found.id)


def _book(
    session: Session, account_id: int, account: Standing, kind: str, block: Holding, request: str | None = None
) -> int:
    """Add a block to an account that is locked."""
    now = block.booked_at
    account = renewal.catch_up(session, account_id, now, account)
    number = renewal.open_block(session, account_id, kind, block, request)
    ledger.enter(session, [(account_id, number, "book", block.size)], now)
    facts = {"block": number, "kind": kind, "size": block.size, "expires_at": block.expires_at, "renews": block.renews}
    events.record(session, [events.about_account(account_id, "quota_booked", now, facts)])
    standing.rose(session, account_id, account, renewal.left_of(session, account_id))
    return number


def _facts(block: Holding, kind: str) -> BlockFacts:
    return BlockFacts(kind, block.size, block.left, iso(block.expires_at), block.id, bool(block.renews))


def _pace(session: Session, account_id: int, now: float) -> float:
    """Recipients accepted per second, over the last seven days or since the first one."""
    arrived, first = session.execute(
        select(func.sum(Counter.arrived), func.min(Counter.bucket)).where(
            Counter.account_id == account_id, Counter.bucket > int(now - PACE)
        )
    ).one()
    return int(arrived or 0) / max(now - first, BUCKET) if first is not None else 0.0
