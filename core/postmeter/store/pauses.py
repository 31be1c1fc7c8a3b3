"""Connections that are paused and resumed: by people, or by the guard for what becomes of their mail."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from postmeter.errors import UsageError
from postmeter.store import events, orders
from postmeter.store.connections import ConnectionFacts, connection_by_name, facts_of, told_reason
from postmeter.store.counters import BUCKET
from postmeter.store.orders import Matching
from postmeter.store.queue_filter import Filter
from postmeter.store.tables import Account, Connection


@dataclass(frozen=True, slots=True)
class Stopped:
    """A connection that the guard has paused: what waits of it is not sent, and why."""

    account_id: int
    connection_id: int
    reason: str


def stopped(session: Session) -> list[Stopped]:
    """All of them: what the workers go by."""
    rows = select(Connection.account_id, Connection.id, Connection.paused).where(text("stopped"))
    return [Stopped(*row) for row in session.execute(rows)]


def pause(session: Session, account: Account, name: str, reason: str, now: float) -> ConnectionFacts:
    """Refuse the connection's log-ins and messages from now on; the reason is told to the shop and the admins.

    Another reason for one that is paused replaces the first, without being told again. UsageError when the account
    has no such connection, or the reason is no plain sentence.
    """
    connection = connection_by_name(session, account, name, lock=True)
    _pause(session, connection, reason, now)
    return facts_of(session, connection)


def stop_one(session: Session, connection: Connection, reason: str, now: float, **facts: Any) -> None:
    """The guard's pause: what waits is not sent either, until the connection is resumed; ``facts`` are told as well."""
    connection.stopped = True
    _pause(session, connection, reason, now, **facts)


def _pause(session: Session, connection: Connection, reason: str, now: float, **facts: Any) -> None:
    told = told_reason(reason)
    if not connection.paused:
        _record(session, connection, "connection_paused", told, now, **facts)
    connection.paused = told
    session.flush()


def what_waits(session: Session, connection: Connection, now: float) -> Matching | None:
    """What ``resume`` would make due; None when nothing is kept back.

    To be asked for in a read transaction: it looks through the queue.
    """
    return orders.matching(session, "retry", _of(connection), now, limit=0) if connection.stopped else None


def resume(
    session: Session, account: Account, name: str, waiting: Matching | None, now: float, by: str
) -> ConnectionFacts:
    """Take the connection's mail again, unless something else is wrong with it; UsageError when there is none.

    ``waiting`` of it leaves now (``what_waits``), without which no pause of the guard can be ended (UsageError). The
    guard (``conduct``) forgets what became of its mail before.
    """
    connection = connection_by_name(session, account, name, lock=True)
    resume_one(session, connection, waiting, now, by)
    return facts_of(session, connection)


def resume_one(session: Session, connection: Connection, waiting: Matching | None, now: float, by: str) -> None:
    """The same for a connection that is locked."""
    if connection.stopped:
        if waiting is None:  # asked for by the customer, or not seen yet by who did
            raise UsageError("this connection was paused for its bounces or complaints: only the operator resumes it")
        orders.place(session, "retry", _of(connection), waiting.count, waiting.upto, now, by)
    connection.stopped = False
    if connection.paused:
        _record(session, connection, "connection_resumed", connection.paused, now)
        connection.guarded_since = math.ceil(now / BUCKET) * float(BUCKET)
    connection.paused = ""
    session.flush()


def _of(connection: Connection) -> Filter:
    return Filter((("connection", connection.username),))


def _record(session: Session, connection: Connection, kind: str, reason: str, now: float, **facts: Any) -> None:
    told = {"connection": connection.name, "reason": reason, **facts}
    events.record(session, [events.about_account(connection.account_id, kind, now, told)])
