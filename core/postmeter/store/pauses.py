"""Connections that are paused and resumed: by people, or by the guard for what becomes of their mail."""

from __future__ import annotations

import math
from typing import Any

from sqlalchemy.orm import Session

from postmeter.store import events
from postmeter.store.connections import ConnectionFacts, connection_by_name, facts_of, told_reason
from postmeter.store.counters import BUCKET
from postmeter.store.tables import Account, Connection


def pause(session: Session, account: Account, name: str, reason: str, now: float) -> ConnectionFacts:
    """Refuse the connection's log-ins and messages from now on; the reason is told to the shop and the admins.

    Another reason for one that is paused replaces the first, without being told again. UsageError when the account
    has no such connection, or the reason is no plain sentence.
    """
    connection = connection_by_name(session, account, name, lock=True)
    pause_one(session, connection, reason, now)
    return facts_of(session, connection)


def pause_one(session: Session, connection: Connection, reason: str, now: float, **facts: Any) -> None:
    """The same for a connection that is locked; ``facts`` are told besides the reason."""
    told = told_reason(reason)
    if not connection.paused:
        _record(session, connection, "connection_paused", told, now, **facts)
    connection.paused = told
    session.flush()


def resume(session: Session, account: Account, name: str, now: float) -> ConnectionFacts:
    """Take the connection's mail again, unless something else is wrong with it; UsageError when there is none.

    The guard (``conduct``) forgets what became of its mail before.
    """
    connection = connection_by_name(session, account, name, lock=True)
    resume_one(session, connection, now)
    return facts_of(session, connection)


def resume_one(session: Session, connection: Connection, now: float) -> None:
    """The same for a connection that is locked."""
    if connection.paused:
        _record(session, connection, "connection_resumed", connection.paused, now)
        connection.guarded_since = math.ceil(now / BUCKET) * float(BUCKET)
    connection.paused = ""
    session.flush()


def _record(session: Session, connection: Connection, kind: str, reason: str, now: float, **facts: Any) -> None:
    told = {"connection": connection.name, "reason": reason, **facts}
    events.record(session, [events.about_account(connection.account_id, kind, now, told)])
