"""The tables of quota: booked blocks, the ledger of all moves, and the slots of the hourly limit."""

from __future__ import annotations

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from postmeter.store.base import Base

FREQUENT = ("reserve", "charge")  # kinds of entries that every mail leads to
RARE = "kind NOT IN ('reserve', 'charge')"  # the others have an index of their own, in which they are found among those


class Block(Base):
    """Booked quota. ``left`` and ``reserved`` move only by arithmetic in the database, together with the ledger.

    ``due_at``: when it needs care next (a notice ahead of its expiry, then its expiry); None: it has ended, and what
    is released in it is lost. ``request`` is the key of the booking, so that a double click books once.
    """

    __tablename__ = "block"
    id: Mapped[int] = mapped_column(primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"))
    kind: Mapped[str]  # demo or paid
    size: Mapped[int]
    left: Mapped[int]
    reserved: Mapped[int] = mapped_column(default=0)
    charged: Mapped[int] = mapped_column(default=0)
    booked_at: Mapped[float]
    expires_at: Mapped[float]
    renews: Mapped[bool] = mapped_column(default=False)
    due_at: Mapped[float | None]
    request: Mapped[str | None]
    __table_args__ = (
        Index("ix_block_account_id_expires_at", "account_id", "expires_at"),
        Index(
            "ix_block_open",
            "account_id",
            sqlite_where=text("due_at IS NOT NULL"),
            postgresql_where=text("due_at IS NOT NULL"),
        ),
        Index(
            "ix_block_due_at",
            "due_at",
            sqlite_where=text("due_at IS NOT NULL"),
            postgresql_where=text("due_at IS NOT NULL"),
        ),
        Index("uq_block_account_id_request", "account_id", "request", unique=True),
    )


class Ledger(Base):
    """Append-only: every move of units, one entry per commit, block and kind; ``units`` is signed.

    What is left changes by ``units`` of each entry but a charge: book and renew +, reserve -, release +, expire -.
    Beyond all blocks (``block_id`` None) it is overdraft -, + when released; invoice + when it is on an invoice. A
    charge + moves units that are taken already out of reserved. So all balances are sums of ``units``:

    left = all kinds but charge; charged = charge; reserved = -(reserve + overdraft + release + charge);
    overdraft = -overdraft, of which -(overdraft + invoice) is not invoiced.
    """

    __tablename__ = "ledger"
    id: Mapped[int] = mapped_column(primary_key=True)
    account_id: Mapped[int]
    block_id: Mapped[int | None]  # None: overdraft
    kind: Mapped[str]
    units: Mapped[int]
    at: Mapped[float]
    __table_args__ = (
        Index("ix_ledger_account_id_id", "account_id", "id"),
        Index("ix_ledger_rare", "account_id", "id", sqlite_where=text(RARE), postgresql_where=text(RARE)),
    )


class Throttle(Base):
    """The slots given last to an account under the hourly limit: when each of those recipients may leave, in order."""

    __tablename__ = "throttle"
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"), primary_key=True)
    slots: Mapped[list[float]]
