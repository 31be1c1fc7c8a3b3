"""The tables of what the operator decides: orders on the queue, suspended providers, and how warm our addresses are."""

from __future__ import annotations

from sqlalchemy import Index
from sqlalchemy.orm import Mapped, mapped_column

from postmeter.store.base import MESSAGE_ID, Base, only


class QueueOrder(Base):
    """A verb that is carried out on all that a filter has matched, some recipients at a time.

    ``object`` is what the verb needs besides. Of messages up to ``upto`` only, as they were counted (``matched``) when
    it was placed. The ``last_`` columns are the place in the queue that has been reached; ``left_out`` counts those
    that a worker had in its hands.
    """

    __tablename__ = "queue_order"
    id: Mapped[int] = mapped_column(primary_key=True)
    verb: Mapped[str]
    object: Mapped[str] = mapped_column(default="")
    filter: Mapped[str]
    upto: Mapped[str] = mapped_column(MESSAGE_ID)
    matched: Mapped[int]
    done: Mapped[int] = mapped_column(default=0)
    left_out: Mapped[int] = mapped_column(default=0)
    placed_at: Mapped[float]
    placed_by: Mapped[str]
    last_due: Mapped[float]
    last_message: Mapped[str] = mapped_column(MESSAGE_ID)
    last_n: Mapped[int]
    finished_at: Mapped[float | None]
    __table_args__ = (Index("ix_queue_order_open", "id", **only("finished_at IS NULL")),)


class ProviderSuspension(Base):
    """A receiving provider that is sent nothing or only little, until a time or (None) until it is lifted.

    ``sessions`` at most at a time and ``per_minute`` mails at most; both None: nothing at all. ``rule`` is the reply
    rule that has led to it; empty: a person.
    """

    __tablename__ = "provider_suspension"
    provider: Mapped[str] = mapped_column(primary_key=True)
    reason: Mapped[str]
    since: Mapped[float]
    until: Mapped[float | None]
    by: Mapped[str]
    sessions: Mapped[int | None]
    per_minute: Mapped[int | None]
    rule: Mapped[str] = mapped_column(default="")


class ProviderReplies(Base):
    """When a receiving provider has said what a reply rule is about that takes several of them, since it last fired."""

    __tablename__ = "provider_replies"
    provider: Mapped[str] = mapped_column(primary_key=True)
    rule: Mapped[str] = mapped_column(primary_key=True)
    times: Mapped[list[float]]
    last_at: Mapped[float]


class ProviderResumption(Base):
    """When a receiving provider was last resumed: workers begin again with it, as if it had never complained."""

    __tablename__ = "provider_resumption"
    provider: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[float]


class SourceDay(Base):
    """What left from one of our addresses for a provider within a day (``day``: its first second, UTC)."""

    __tablename__ = "source_day"
    address: Mapped[str] = mapped_column(primary_key=True)
    day: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    provider: Mapped[str] = mapped_column(primary_key=True)
    attempts: Mapped[int] = mapped_column(default=0)
    delivered: Mapped[int] = mapped_column(default=0)
    refused: Mapped[int] = mapped_column(default=0)  # for good
    deferred: Mapped[int] = mapped_column(default=0)
    encrypted: Mapped[int] = mapped_column(default=0)  # attempts with TLS
    limited: Mapped[int] = mapped_column(default=0)  # deferred because it was too much, or we are not trusted enough
    last_at: Mapped[float]


class SourceWarm(Base):
    """One of our addresses that providers know already, on the word of an operator."""

    __tablename__ = "source_warm"
    address: Mapped[str] = mapped_column(primary_key=True)
    since: Mapped[float]
    by: Mapped[str]
