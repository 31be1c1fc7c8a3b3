"""The tables that reception looks into before it takes a message: what came before, and whom nobody writes to."""

from __future__ import annotations

from sqlalchemy import Index
from sqlalchemy.orm import Mapped, mapped_column

from postmeter.store.base import MESSAGE_ID, Base, only


class Idempotency(Base):
    """A key that a client gave a message, and its recipients (the digest): for a day it stands for the first one."""

    __tablename__ = "idempotency"
    account_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    connection_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    digest: Mapped[bytes] = mapped_column(primary_key=True)
    message_id: Mapped[str] = mapped_column(MESSAGE_ID)
    at: Mapped[float] = mapped_column(index=True)  # when that message was accepted
    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012 - SQLAlchemy's own form


class Suppression(Base):
    """An address that is not to be tried for an account; account_id 0: for any, on the operator's word.

    ``address`` has the form in which addresses are compared; ``reason`` is bounce, complaint or manual, ``detail`` the
    server's answer or a person's words, ``message_id`` the message that led to it.
    """

    __tablename__ = "suppression"
    account_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    address: Mapped[str] = mapped_column(primary_key=True)
    reason: Mapped[str]
    detail: Mapped[str] = mapped_column(default="")
    message_id: Mapped[str | None] = mapped_column(MESSAGE_ID)
    created_at: Mapped[float]
    expires_at: Mapped[float | None]  # None: until it is lifted
    __table_args__ = (Index("ix_suppression_expires_at", "expires_at", **only("expires_at IS NOT NULL")),)


class Strike(Base):
    """A message that an address did not take for a reason which suppresses it if it comes again and again."""

    __tablename__ = "strike"
    account_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    address: Mapped[str] = mapped_column(primary_key=True)
    message_id: Mapped[str] = mapped_column(MESSAGE_ID, primary_key=True)
    at: Mapped[float] = mapped_column(index=True)
    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012 - SQLAlchemy's own form


class DomainRefusal(Base):
    """An account was told that a provider did not believe in one of its domains on a day (its first second, UTC)."""

    __tablename__ = "domain_refusal"
    account_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    domain: Mapped[str] = mapped_column(primary_key=True)
    provider: Mapped[str] = mapped_column(primary_key=True)
    day: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, index=True)
    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012 - SQLAlchemy's own form
