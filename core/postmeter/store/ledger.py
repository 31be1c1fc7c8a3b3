"""The ledger: every move of units as an entry that is only ever added."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import bindparam, insert, update
from sqlalchemy.orm import Session

from postmeter.store.tables import Account, Block, Ledger

_ENTRY = insert(Ledger.__table__)  # type: ignore[arg-type]
_units = bindparam("units", type_=Block.left.type)
_block = bindparam("block", type_=Block.id.type)

_RESERVE = (
    update(Block.__table__)  # type: ignore[arg-type]
    .where(Block.id == _block, Block.left >= _units)
    .values(left=Block.left - _units, reserved=Block.reserved + _units)
)
_CHARGE = (
    update(Block.__table__)  # type: ignore[arg-type]
    .where(Block.id == _block)
    .values(reserved=Block.reserved - _units, charged=Block.charged + _units)
)
_RELEASE = (
    update(Block.__table__)  # type: ignore[arg-type]
    .where(Block.id == _block)
    .values(reserved=Block.reserved - _units, left=Block.left + _units)
)
_MOVES = {"reserve": _RESERVE, "charge": _CHARGE, "release": _RELEASE}
_OVERDRAWN = {"reserve": 1, "charge": 0, "release": -1}

# (account, block or None for the overdraft) -> units
Units = Mapping[tuple[int, int | None], int]


def move(session: Session, kind: str, units: Units, now: float) -> None:
    """Reserve, charge or release units: in the blocks by the database's arithmetic, and as entries.

    RuntimeError when a block does not hold what is to be reserved in it: the transaction must not be committed.
    """
    if not units:
        return
    connection = session.connection()
    for (account_id, block_id), n in sorted(units.items(), key=lambda item: (item[0][0], item[0][1] or 0)):
        if block_id is not None:
            done = connection.execute(_MOVES[kind], {"block": block_id, "units": n})
            if done.rowcount != 1:
                raise RuntimeError(f"block {block_id} does not hold {n} units to {kind}")
        elif _OVERDRAWN[kind]:
            change = Account.overdraft + n * _OVERDRAWN[kind]
            connection.execute(update(Account).where(Account.id == account_id).values(overdraft=change))
    entry(session, kind, units, now)


def entry(session: Session, kind: str, units: Units, now: float) -> None:
    """Write entries without moving anything (a booking makes its block itself)."""
    rows = [
        {"account_id": account_id, "block_id": block_id, "kind": kind, "units": n, "at": now}
        for (account_id, block_id), n in units.items()
    ]
    session.connection().execute(_ENTRY, rows)
