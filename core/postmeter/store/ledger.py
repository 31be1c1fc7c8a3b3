"""The ledger: every move of units as a signed entry that is only ever added."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import BigInteger, bindparam, insert, select, text, update
from sqlalchemy.orm import Session

from postmeter.store.base import table
from postmeter.store.quota_tables import FREQUENT, RARE, Block, Ledger
from postmeter.store.statement import Statement
from postmeter.store.tables import Account

KINDS = ("book", "renew", "expire", "reserve", "charge", "release", "overdraft", "invoice")

_ENTRY = Statement(insert(table(Ledger)), ("account_id", "block_id", "kind", "units", "at"))
_units = bindparam("units", type_=BigInteger())
_block = update(table(Block)).where(Block.id == bindparam("block"))

_MOVES = {
    "reserve": Statement(
        _block.where(Block.left >= _units).values(left=Block.left - _units, reserved=Block.reserved + _units)
    ),
    "charge": Statement(_block.values(reserved=Block.reserved - _units, charged=Block.charged + _units)),
    "release": Statement(
        _block.where(Block.due_at.is_not(None)).values(reserved=Block.reserved - _units, left=Block.left + _units)
    ),
    "lose": Statement(_block.where(Block.due_at.is_(None)).values(reserved=Block.reserved - _units)),
}
_overdraft = update(table(Account)).where(Account.id == bindparam("account"))
_OVERDRAWN = {
    "reserve": Statement(_overdraft.values(overdraft=Account.overdraft + _units)),
    "release": Statement(_overdraft.values(overdraft=Account.overdraft - _units)),
}
# What a move is called in the ledger, and its sign: in a block, and beyond all blocks
_IN_BLOCK = {"reserve": ("reserve", -1), "charge": ("charge", 1), "release": ("release", 1), "lose": ("expire", -1)}
_BEYOND = {"reserve": ("overdraft", -1), "charge": ("charge", 1), "release": ("overdraft", 1)}

# (account, block or None for the overdraft) -> units, 1 or more
Units = Mapping[tuple[int, int | None], int]


@dataclass(frozen=True)
class Entry:
    """A move of units as people read it; ``at`` in seconds since the epoch."""

    id: int
    at: float
    kind: str
    block: int | None
    units: int


def move(session: Session, kind: str, units: Units, now: float) -> None:
    """Reserve, charge or release units: in the blocks by the database's arithmetic, and as entries.

    RuntimeError when a block does not hold what is to be reserved in it: the transaction must not be committed.
    """
    moves(session, {kind: units}, now)


def moves(session: Session, by_kind: Mapping[str, Units], now: float) -> None:
    """Several kinds of ``move`` at once: all accounts in one order, then all blocks, so that nobody deadlocks.

    What is released in a block that has ended is lost: it expires at once.
    """
    steps = sorted(
        (block_id is not None, account_id, block_id or 0, kind, n)
        for kind, units in by_kind.items()
        for (account_id, block_id), n in units.items()
    )
    entries: Tally[tuple[int, int | None, str]] = Tally()
    for in_block, account_id, block_id, kind, n in steps:
        if not in_block:
            if kind in _OVERDRAWN:
                _OVERDRAWN[kind].run(session, [{"account": account_id, "units": n}])
            name, sign = _BEYOND[kind]
            entries[account_id, None, name] += sign * n
            continue
        for done in _in_block(session, kind, block_id, n):
            name, sign = _IN_BLOCK[done]
            entries[account_id, block_id, name] += sign * n
    enter(session, ((*key, n) for key, n in entries.items()), now)


def enter(session: Session, entries: Iterable[tuple[int, int | None, str, int]], now: float) -> None:
    """Write entries (account, block, kind, signed units) without moving anything; those of 0 units are left out."""
    rows = [
        {"account_id": account_id, "block_id": block_id, "kind": kind, "units": n, "at": now}
        for account_id, block_id, kind, n in entries
        if n
    ]
    if rows:
        _ENTRY.run(session, rows)


def entries_of(
    session: Session, account_id: int, limit: int, *, before: int | None = None, kind: str = ""
) -> list[Entry]:
    """The last entries of an account (of one of KINDS), newest first, with a number below ``before``."""
    columns = (Ledger.id, Ledger.at, Ledger.kind, Ledger.block_id, Ledger.units)
    query = select(*columns).where(Ledger.account_id == account_id)
    if kind:
        query = query.where(Ledger.kind == kind)
    if kind in KINDS and kind not in FREQUENT:
        query = query.where(text(RARE))  # what makes the databases use the index of just those
    if before is not None:
        query = query.where(Ledger.id < before)
    return [Entry(*row) for row in session.execute(query.order_by(Ledger.id.desc()).limit(limit))]


def _in_block(session: Session, kind: str, block_id: int, units: int) -> tuple[str, ...]:
    """Move units of a block; which moves that were."""
    row = [{"block": block_id, "units": units}]
    if _MOVES[kind].run(session, row) == 1:
        return (kind,)
    if kind == "release" and _MOVES["lose"].run(session, row) == 1:
        return ("release", "lose")
    raise RuntimeError(f"block {block_id} does not hold {units} units to {kind}")
