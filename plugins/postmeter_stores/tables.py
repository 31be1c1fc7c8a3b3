"""The tables of this plugin. Times are seconds since the epoch (UTC)."""

from __future__ import annotations

from sqlalchemy import BigInteger, Connection, Double, Index, Integer, LargeBinary, String, Text, UniqueConstraint, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

WAITING, WRITTEN = "waiting", "written"  # the states of a note …
MISSING, REJECTED, GIVEN_UP = "missing", "rejected", "given up"  # … and how it may end besides


class Base(DeclarativeBase):
    """All tables of this plugin."""

    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy's own form
        int: BigInteger().with_variant(Integer(), "sqlite"),
        float: Double(),
        bytes: LargeBinary(),
        str: Text(),
    }


class ShopRow(Base):
    """The shop of a connection. ``credentials`` are JSON, sealed; ``deliveries``: they are written, too.

    ``retry_at`` is when it may be asked again after ``failures`` in a row, ``refused_since`` when it began to refuse
    the log-in; ``paused`` says why nothing is written, ``leased_until`` until when a thread is writing.
    """

    __tablename__ = "stores_shop"
    connection_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    account_id: Mapped[int] = mapped_column(index=True)
    kind: Mapped[str]
    url: Mapped[str]
    credentials: Mapped[bytes]
    pattern: Mapped[str] = mapped_column(default="")
    deliveries: Mapped[bool] = mapped_column(default=False)
    paused: Mapped[str] = mapped_column(default="")
    said: Mapped[str] = mapped_column(default="")
    failures: Mapped[int] = mapped_column(default=0)
    refused_since: Mapped[float | None]
    retry_at: Mapped[float] = mapped_column(default=0.0)
    leased_until: Mapped[float] = mapped_column(default=0.0)
    created_at: Mapped[float]


class NoteRow(Base):
    """A note for an order, once for each message, recipient and kind; kept for a while after it was written.

    ``number`` is the order's, once it was found without ``reference``; ``said`` what the shop answered last.
    """

    __tablename__ = "stores_note"
    id: Mapped[int] = mapped_column(primary_key=True)
    connection_id: Mapped[int]
    message_id: Mapped[str] = mapped_column(String(26))
    recipient: Mapped[str]
    kind: Mapped[str]
    at: Mapped[float]
    reply: Mapped[str]
    reference: Mapped[str]
    number: Mapped[str] = mapped_column(default="")
    state: Mapped[str] = mapped_column(default=WAITING)
    attempts: Mapped[int] = mapped_column(default=0)
    next_at: Mapped[float]
    said: Mapped[str] = mapped_column(default="")
    created_at: Mapped[float]
    ended_at: Mapped[float | None]
    __table_args__ = (
        UniqueConstraint("message_id", "recipient", "kind", name="uq_stores_note"),
        Index(
            "ix_stores_note_waiting",
            "connection_id",
            "next_at",
            sqlite_where=text("state = 'waiting'"),
            postgresql_where=text("state = 'waiting'"),
        ),
        Index("ix_stores_note_ended_at", "ended_at"),
    )


_BY_SHOP = Index("ix_stores_note_connection_id_id", NoteRow.connection_id, NoteRow.id)


def first_tables(connection: Connection) -> None:
    """Make the tables of the first version."""
    Base.metadata.create_all(connection)


def notes_by_shop(connection: Connection) -> None:
    """A shop's notes are listed, newest first."""
    _BY_SHOP.create(connection, checkfirst=True)
