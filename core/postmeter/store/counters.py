"""Statistics: counters per account, connection and quarter of an hour, raised in the transaction of the fact."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import text
from sqlalchemy.orm import Session

from postmeter.store.statement import Statement

BUCKET = 900  # seconds
NAMES = ("arrived", "delivered", "bounced", "deferred", "suppressed", "cancelled", "complained")

_RAISE = Statement(
    text(
        f"INSERT INTO counter (account_id, connection_id, bucket, {', '.join(NAMES)}) "  # noqa: S608 - own names
        f"VALUES (:account_id, :connection_id, :bucket, {', '.join(':' + name for name in NAMES)}) "
        "ON CONFLICT (account_id, connection_id, bucket) DO UPDATE SET "
        + ", ".join(f"{name} = counter.{name} + excluded.{name}" for name in NAMES)
    )
)

# account, connection, when, name of the counter, by how much
Change = tuple[int, int, float, str, int]


def count(session: Session, changes: Iterable[Change]) -> None:
    """Add all changes, one row per account, connection and bucket (in a fixed order, so that nobody deadlocks)."""
    rows: dict[tuple[int, int, int], dict[str, int]] = {}
    for account_id, connection_id, at, name, by in changes:
        key = (account_id, connection_id, int(at) // BUCKET * BUCKET)
        row = rows.get(key)
        if row is None:
            row = rows[key] = dict.fromkeys(NAMES, 0)
        row[name] += by
    if rows:
        keys = sorted(rows)
        _RAISE.run(
            session,
            [{"account_id": key[0], "connection_id": key[1], "bucket": key[2], **rows[key]} for key in keys],
        )
