"""Idempotency keys: of a connection's messages with the same key and recipients within a day the first is accepted."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from sqlalchemy import bindparam, delete, select, text
from sqlalchemy.orm import Session

from postmeter.store.base import table
from postmeter.store.recipient_tables import Idempotency
from postmeter.store.rows import delete_some
from postmeter.store.statement import Statement

KEPT = 86_400.0  # seconds for which a key stands for its first message
_DIGEST = 16  # octets

# account, connection and the digest of what the client gave and of the recipients
Key = tuple[int, int, bytes]

# Whoever comes second waits here for the end of the first one's transaction (PostgreSQL; SQLite has one writer).
_CLAIM = Statement(
    text(
        "INSERT INTO idempotency (account_id, connection_id, digest, message_id, at) "
        "VALUES (:account, :connection, :digest, :message, :at) "
        "ON CONFLICT (account_id, connection_id, digest) DO UPDATE "
        "SET message_id = excluded.message_id, at = excluded.at WHERE idempotency.at <= :before"
    )
)
_key = (
    Idempotency.account_id == bindparam("account"),
    Idempotency.connection_id == bindparam("connection"),
    Idempotency.digest == bindparam("digest"),
)
_HOLDER = Statement(select(Idempotency.message_id).where(*_key, Idempotency.at > bindparam("before")))
_WITHDRAW = Statement(delete(table(Idempotency)).where(*_key))


def key(account_id: int, connection_id: int, given: bytes, forward_paths: Iterable[str]) -> Key:
    """The key under which what a client gave is kept.

    The recipients are part of it: a client sends one mail in several envelopes when there are too many of them, or
    when some are to be hidden, and each of them has to be delivered.
    """
    digest = hashlib.blake2b(given, digest_size=_DIGEST)
    for path in sorted(set(forward_paths)):
        digest.update(b"\0" + path.encode("utf-8", "surrogateescape"))
    return account_id, connection_id, digest.digest()


class Claims:
    """The keys that one transaction has asked for, each with the message that it stands for.

    Several keys are to be asked for in their order, so that nobody deadlocks.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._holders: dict[Key, str] = {}

    def holder(self, key: Key, message_id: str, at: float) -> str:
        """The message that the key stands for: one that came first within ``KEPT``, else this one from now on."""
        if key not in self._holders:
            before = at - KEPT
            row = {**_bound(key), "message": message_id, "at": at, "before": before}
            if _CLAIM.run(self._session, [row]) == 1:
                self._holders[key] = message_id
            else:
                [self._holders[key]] = _held(self._session, key, before)  # it is locked: it cannot go meanwhile
        return self._holders[key]

    def withdraw(self, key: Key) -> None:
        """The message that has claimed the key is not accepted after all: the next one may be.

        Until the end of the transaction nobody else gets it, so it may be asked for anew whatever the order.
        """
        del self._holders[key]
        _WITHDRAW.run(self._session, [_bound(key)])


def holder(session: Session, key: Key, at: float) -> str | None:
    """The message that the key stands for at a time; None: it is free."""
    return next(iter(_held(session, key, at - KEPT)), None)


def forget(session: Session, now: float) -> int:
    """Delete keys that are free again, some at a time; how many."""
    return delete_some(session, Idempotency, Idempotency.at <= now - KEPT)


def _held(session: Session, key: Key, before: float) -> list[str]:
    return [message_id for (message_id,) in _HOLDER.fetch(session, {**_bound(key), "before": before})]


def _bound(key: Key) -> dict[str, int | bytes]:
    account, connection, digest = key
    return {"account": account, "connection": connection, "digest": digest}
