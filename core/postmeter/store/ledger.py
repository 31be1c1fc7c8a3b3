"""The ledger: every move of units as an entry that is only ever added."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import BigInteger, bindparam, insert, update
from sqlalchemy.orm import Session

from postmeter.store.base import table
from postmeter.store.statement import Statement
from postmeter.store.tables import Account, Block, Ledger

_ENTRY = Statement(insert(table(Ledger)), ("account_id", "block_id", "kind", "units", "at"))
_units = bindparam("units", type_=BigInteger())
_block = update(table(Block)).where(Block.id == bindparam("block"))

_MOVES = {
    "reserve": Statement(
        _block.where(Block.left >= _units).values(left=Block.left - _units, reserved=Block.reserved + _units)
    ),
    "charge": Statement(_block.values(reserved=Block.reserved - _units, charged=Block.charged + _units)),
    "release": Statement(_block.values(reserved=Block.reserved - _units, left=Block.left + _units)),
}
_overdraft = update(table(Account)).where(Account.id == bindparam("account"))
_OVERDRAWN = {
    "reserve": Statement(_overdraft.values(overdraft=Account.overdraft + _units)),
    "release": Statement(_overdraft.values(overdraft=Account.overdraft - _units)),
}

# (account, block or None for the overdraft) -> units
Units = Mapping[tuple[int, int | None], int]


def move(session: Session, kind: str, units: Units, now: float) -> None:
    """Reserve, charge or release units: in the blocks by the database's arithmetic, and as entries.

    RuntimeError when a block does not hold what is to be reserved in it: the transaction must not be committed.
    """
    moves(session, {kind: units}, now)


def moves(session: Session, by_kind: Mapping[str, Units], now: float) -> None:
    """Several kinds of ``move`` at once: all blocks in one order, then all accounts, so that nobody deadlocks."""
    steps = sorted(
        (block_id is None, account_id, block_id or 0, kind, n)
        for kind, units in by_kind.items()
        for (account_id, block_id), n in units.items()
    )
    for overdraft, account_id, block_id, kind, n in steps:
        if not overdraft:
            if _MOVES[kind].run(session, [{"block": block_id, "units": n}]) != 1:
                raise RuntimeError(f"block {block_id} does not hold {n} units to {kind}")
        elif kind in _OVERDRAWN:
            _OVERDRAWN[kind].run(session, [{"account": account_id, "units": n}])
    for kind, units in by_kind.items():
        if units:
            entry(session, kind, units, now)


def entry(session: Session, kind: str, units: Units, now: float) -> None:
    """Write entries without moving anything (a booking makes its block itself)."""
    rows = [
        {"account_id": account_id, "block_id": block_id, "kind": kind, "units": n, "at": now}
        for (account_id, block_id), n in units.items()
    ]
    _ENTRY.run(session, rows)
