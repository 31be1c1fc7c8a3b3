"""The tables of the panel: log-ins, second factors, invitations, requests for access, the audit log, the self-check."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from postmeter.store.base import Base


class Login(Base):
    """A browser in which a user is logged in; ``token`` is the keyed hash of what its cookie holds."""

    __tablename__ = "login"
    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id"), index=True)
    token: Mapped[bytes] = mapped_column(unique=True)
    created_at: Mapped[float]
    seen_at: Mapped[float]  # to a minute or so
    address: Mapped[str]
    agent: Mapped[str]  # what the browser calls itself
    __table_args__ = (Index("ix_login_seen_at", "seen_at"),)


class RecoveryCode(Base):
    """A code that stands for the second factor once; ``digest`` is its keyed hash."""

    __tablename__ = "recovery_code"
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id"), primary_key=True)
    digest: Mapped[bytes] = mapped_column(primary_key=True)
    used_at: Mapped[float | None]


class Ticket(Base):
    """What a link in a mail allows once: to join an account (``invitation``) or to set a new ``password``.

    ``digest`` is the keyed hash of the link's secret; an invitation has ``account_id``, ``role`` and who invited.
    """

    __tablename__ = "ticket"
    id: Mapped[int] = mapped_column(primary_key=True)
    digest: Mapped[bytes] = mapped_column(unique=True)
    purpose: Mapped[str]
    email: Mapped[str] = mapped_column(index=True)
    account_id: Mapped[int | None] = mapped_column(ForeignKey("account.id"), index=True)
    role: Mapped[str] = mapped_column(default="")
    invited_by: Mapped[int | None]  # a user
    created_at: Mapped[float]
    expires_at: Mapped[float]
    used_at: Mapped[float | None]


class AccessRequest(Base):
    """Somebody who wants an account; ``state`` is open, approved or declined."""

    __tablename__ = "access_request"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]  # of the account
    email: Mapped[str]
    website: Mapped[str]
    text: Mapped[str]
    language: Mapped[str]
    address: Mapped[str]
    state: Mapped[str] = mapped_column(default="open", index=True)
    created_at: Mapped[float]
    decided_at: Mapped[float | None]
    decided_by: Mapped[int | None]  # a user


class Audit(Base):
    """What a person changed, written in the commit of the change; no row is ever altered or deleted."""

    __tablename__ = "audit"
    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[float]
    user_id: Mapped[int | None]  # None: nobody who is logged in
    actor: Mapped[str]  # the address of the user, or who else it was
    address: Mapped[str]  # IP address
    account_id: Mapped[int | None]
    action: Mapped[str]  # connection.pause, quota.book, …
    subject: Mapped[str]  # what was changed
    facts: Mapped[dict[str, Any]]
    __table_args__ = (Index("ix_audit_account_id_id", "account_id", "id"),)


class CsaItem(Base):
    """What the operator himself answers for in the CSA's criteria: whether it is done, a note, and who said so when."""

    __tablename__ = "csa_item"
    key: Mapped[str] = mapped_column(primary_key=True)
    done: Mapped[bool]
    note: Mapped[str]
    at: Mapped[float]
    by: Mapped[str]  # the address of the user
