"""The plugin's tables: who is called, and what is to be said or was said. Times are seconds since the epoch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Connection,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

NUMBER = BigInteger().with_variant(Integer(), "sqlite")
metadata = MetaData()

endpoint = Table(
    "webhooks_endpoint",
    metadata,
    Column("id", NUMBER, primary_key=True),
    Column("account_id", NUMBER, nullable=False, index=True),
    Column("connection_id", NUMBER),  # null: all of the account's
    Column("url", Text, nullable=False),
    Column("types", JSON, nullable=False),  # empty: all
    Column("secret", LargeBinary, nullable=False),  # sealed, like old_secret
    Column("old_secret", LargeBinary),  # signs too until old_until
    Column("old_until", Double),
    Column("off", Text, nullable=False),  # why nothing is sent; empty: it is
    Column("off_at", Double),  # since when; null: it is on
    Column("failures", Integer, nullable=False),  # in a row
    Column("failing_since", Double),  # when the first of them began; null: there is none
    Column("alive_at", Double, nullable=False),  # last success, or when it was added or switched on
    Column("created_at", Double, nullable=False),
    sqlite_autoincrement=True,  # a number is never given again: it is part of webhook-id
)

delivery = Table(
    "webhooks_delivery",
    metadata,
    Column("id", NUMBER, primary_key=True),
    Column("webhook_id", String(64), nullable=False, unique=True),
    Column("account_id", NUMBER, nullable=False),
    Column("endpoint_id", NUMBER, nullable=False),
    Column("event_id", NUMBER),  # null: a test
    Column("type", String(32), nullable=False),
    Column("about", String(32), nullable=False),  # what is sent in order: a message's id; empty: the account
    Column("body", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_at", Double, nullable=False),
    Column("status", Integer),  # of the last answer
    Column("answer", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("done_at", Double),  # null while it waits
    Index("ix_webhooks_delivery_endpoint_id_id", "endpoint_id", "id"),
)
_WAITS = delivery.c.done_at.is_(None)
Index(
    "ix_webhooks_delivery_due",
    delivery.c.endpoint_id,
    delivery.c.next_at,
    delivery.c.id,
    sqlite_where=_WAITS,
    postgresql_where=_WAITS,
)
Index(
    "ix_webhooks_delivery_about",
    delivery.c.endpoint_id,
    delivery.c.about,
    sqlite_where=_WAITS,
    postgresql_where=_WAITS,
)
Index(
    "ix_webhooks_delivery_done_at",
    delivery.c.done_at,
    sqlite_where=delivery.c.done_at.is_not(None),
    postgresql_where=delivery.c.done_at.is_not(None),
)


def _first(connection: Connection) -> None:
    metadata.create_all(connection)


STEPS: Sequence[Callable[[Connection], None]] = (_first,)
