"""Statistics: counters by time, connection, domain and provider, raised in the transaction of the fact."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.orm import Session

from postmeter.store.statement import Statement

BUCKET = 900  # seconds
NAMES = ("arrived", "delivered", "bounced", "deferred", "suppressed", "cancelled", "complained")
KEY = ("account_id", "bucket", "connection_id", "domain", "provider")

_RAISE = Statement(
    text(
        f"INSERT INTO counter ({', '.join((*KEY, *NAMES))}) "  # noqa: S608 - own names
        f"VALUES ({', '.join(':' + name for name in (*KEY, *NAMES))}) "
        f"ON CONFLICT ({', '.join(KEY)}) DO UPDATE SET "
        + ", ".join(f"{name} = counter.{name} + excluded.{name}" for name in NAMES)
    )
)

Key = tuple[int, int, int, str, str]  # the values of KEY
Figures = dict[str, int]  # by name


class Change(NamedTuple):
    """The counter ``name`` moves by so many at that time; ``domain`` is the sending domain.

    ``provider`` is the receiving one of the attempt, empty when there was none.
    """

    account_id: int
    connection_id: int
    at: float
    name: str
    by: int
    domain: str = ""
    provider: str = ""


def count(session: Session, changes: Iterable[Change]) -> None:
    """Add all changes, those with the same key and bucket in one row."""
    rows: dict[Key, Figures] = {}
    for account_id, connection_id, at, name, by, domain, provider in changes:
        key = (account_id, int(at) // BUCKET * BUCKET, connection_id, domain, provider)
        row = rows.get(key)
        if row is None:
            row = rows[key] = dict.fromkeys(NAMES, 0)
        row[name] += by
    if rows:
        add(session, rows)


def add(session: Session, rows: Mapping[Key, Figures]) -> None:
    """Add figures to the rows of these keys, in the order in which everybody does, so that nobody deadlocks.

    The relay's own mail (account 0) comes last, since what is settled leads to notifications.
    """
    ordered = sorted(rows, reverse=True)
    _RAISE.run(session, [{**dict(zip(KEY, key, strict=True)), **rows[key]} for key in ordered])
