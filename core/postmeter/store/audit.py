"""The audit log: what people changed, written in the transaction of the change; the database lets nobody alter it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from postmeter.store.panel_tables import Audit
from postmeter.store.tables import Account

_SEARCHED = (Audit.actor, Audit.action, Audit.subject)
COMMAND_LINE = "command line"  # who that is, is the operating system's business


@dataclass(frozen=True)
class Actor:
    """Who changes something, and from which IP address; ``user_id`` None: nobody who is logged in."""

    user_id: int | None
    name: str
    address: str


@dataclass(frozen=True)
class Entry:
    """A change: ``action`` such as connection.pause, its ``subject``, further ``facts``; ``at`` since the epoch."""

    id: int
    at: float
    actor: str
    address: str
    account_id: int | None
    account: str | None  # its name today
    action: str
    subject: str
    facts: Mapping[str, Any]


def record(
    session: Session,
    actor: Actor,
    action: str,
    subject: str,
    now: float,
    *,
    account_id: int | None = None,
    facts: Mapping[str, Any] | None = None,
) -> None:
    """Note a change; never a secret: what is noted stays readable for ever."""
    session.add(
        Audit(
            at=now,
            user_id=actor.user_id,
            actor=actor.name,
            address=actor.address,
            account_id=account_id,
            action=action,
            subject=subject,
            facts=dict(facts or {}),
        )
    )
    session.flush()


def entries(
    session: Session,
    account_id: int | None = None,
    *,
    before: int | None = None,
    find: str = "",
    action: str = "",
    since: float | None = None,
    until: float | None = None,
    limit: int = 50,
) -> list[Entry]:
    """The changes of an account (None: all there are), newest first, with a number below ``before``.

    ``find``: of those only whose actor, action or subject has this text in it; ``action``: this one, or all of a
    subject (``queue.``); from one time to before another.
    """
    query = select(Audit, Account.name).outerjoin(Account, Account.id == Audit.account_id)
    if account_id is not None:
        query = query.where(Audit.account_id == account_id)
    if before is not None:
        query = query.where(Audit.id < before)
    if find:
        query = query.where(or_(*(c.icontains(find, autoescape=True) for c in _SEARCHED)))
    if action:
        query = query.where(Audit.action.startswith(action, autoescape=True))
    if since is not None:
        query = query.where(Audit.at >= since)
    if until is not None:
        query = query.where(Audit.at < until)
    rows = session.execute(query.order_by(Audit.id.desc()).limit(limit))
    return [_entry(row, account) for row, account in rows]


def _entry(row: Audit, account: str | None) -> Entry:
    return Entry(row.id, row.at, row.actor, row.address, row.account_id, account, row.action, row.subject, row.facts)
