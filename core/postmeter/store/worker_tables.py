"""The tables of the workers: which there are, what only one of them does at a time, and what each tells of itself."""

from __future__ import annotations

from sqlalchemy.orm import Mapped, mapped_column

from postmeter.store.base import Base


class Worker(Base):
    """A process that may own recipients. Its leases all end at ``lease_until``, which its heartbeat moves on.

    A number is never given again: who lost its leases must not be taken for somebody else.
    """

    __tablename__ = "worker"
    id: Mapped[int] = mapped_column(primary_key=True)
    node: Mapped[str]
    pid: Mapped[int]
    started_at: Mapped[float]
    lease_until: Mapped[float]
    __table_args__ = {"sqlite_autoincrement": True}  # noqa: RUF012 - SQLAlchemy's own form


class Duty(Base):
    """Work that one worker of all does at a time (telling plugins the events), held by lease."""

    __tablename__ = "duty"
    name: Mapped[str] = mapped_column(primary_key=True)
    owner: Mapped[int]
    until: Mapped[float]


class ProviderSessions(Base):
    """How many sessions a worker has with a receiving provider, and may have: a part of one, where workers share it."""

    __tablename__ = "provider_sessions"
    worker: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    provider: Mapped[str] = mapped_column(primary_key=True)
    open: Mapped[int]
    allowed: Mapped[float]
