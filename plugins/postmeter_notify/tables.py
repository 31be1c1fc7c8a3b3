"""The plugin's tables: the languages of accounts, and which mails were sent."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Column, Connection, Double, Integer, MetaData, Table, Text, delete, select, text
from sqlalchemy.orm import Session

METADATA = MetaData()
NUMBER = BigInteger().with_variant(Integer(), "sqlite")

LANGUAGE = Table(
    "notify_language",
    METADATA,
    Column("account_id", NUMBER, primary_key=True, autoincrement=False),
    Column("language", Text, nullable=False),
)
# That a mail about an event was sent to an address is written with the mail, so it is sent once. ``at``: the event's.
SENT = Table(
    "notify_sent",
    METADATA,
    Column("event_id", NUMBER, primary_key=True, autoincrement=False),
    Column("address", Text, primary_key=True),
    Column("at", Double, nullable=False, index=True),
)

_MARK = text("INSERT INTO notify_sent (event_id, address, at) VALUES (:event, :address, :at) ON CONFLICT DO NOTHING")
_SET = text(
    "INSERT INTO notify_language (account_id, language) VALUES (:account, :language) "
    "ON CONFLICT (account_id) DO UPDATE SET language = excluded.language"
)


def create(connection: Connection) -> None:
    """The first step: make the tables."""
    METADATA.create_all(connection)


def mark(session: Session, event_id: int, address: str, at: float) -> bool:
    """Note that the mail about an event is sent to an address; False when it was before, also a moment ago."""
    done: Any = session.execute(_MARK, {"event": event_id, "address": address, "at": at})
    return bool(done.rowcount)


def forget(session: Session, before: float) -> None:
    """Drop the notes about events older than that, which lead to no mail any more."""
    session.execute(delete(SENT).where(SENT.c.at < before))


def language_of(session: Session, account_id: int) -> str | None:
    """The language that was set for an account."""
    return session.scalar(select(LANGUAGE.c.language).where(LANGUAGE.c.account_id == account_id))


def set_language(session: Session, account_id: int, language: str | None) -> None:
    """Set the language of an account; None: the default one."""
    if language is None:
        session.execute(delete(LANGUAGE).where(LANGUAGE.c.account_id == account_id))
    else:
        session.execute(_SET, {"account": account_id, "language": language})
