"""Which quota pays for the recipients of a message."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import and_, select
from sqlalchemy.orm import Session

from postmeter.store.quota_tables import Block
from postmeter.store.tables import Recipient


@dataclass(frozen=True)
class Payment:
    """What is paid for a recipient: ``charge`` is reserved, charged, released or free.

    ``kind`` (demo or paid), ``size`` and ``booked_at`` (seconds since the epoch) are the block's that pays; None:
    none does, it is overdraft.
    """

    charge: str
    kind: str | None
    size: int | None
    booked_at: float | None


def payments(session: Session, account_id: int, message_id: str) -> dict[int, Payment]:
    """What is paid for each recipient of an account's message, by its number."""
    query = (
        select(Recipient.n, Recipient.charge, Block.kind, Block.size, Block.booked_at)
        .outerjoin(Block, and_(Block.id == Recipient.block_id, Block.account_id == Recipient.account_id))
        .where(Recipient.message_id == message_id, Recipient.account_id == account_id)
    )
    return {row.n: Payment(row.charge, row.kind, row.size, row.booked_at) for row in session.execute(query)}
