"""Deliveries in the database: what waits for which endpoint, what came of it, and what is to be sent again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, and_, bindparam, delete, exists, func, or_, select, text, update
from sqlalchemy.orm import Session

from postmeter_webhooks import tables
from postmeter_webhooks.schedule import FAILED, WAITING, Answer, Verdict

MAX_ANSWER = 200  # characters of an answer that are kept
PRUNED = 500  # deliveries deleted in one go
_table = tables.delivery
_waits = _table.c.done_at.is_(None)

# Also when an event is told a second time: what is known by its webhook-id is not queued again.
_INSERT = text(
    "INSERT INTO webhooks_delivery (webhook_id, account_id, endpoint_id, event_id, type, about, body, state, attempts,"
    " next_at, status, answer, created_at, done_at) VALUES (:webhook_id, :account_id, :endpoint_id, :event_id, :type,"
    " :about, :body, :state, :attempts, :next_at, :status, :answer, :created_at, :done_at)"
    " ON CONFLICT (webhook_id) DO NOTHING"
)
_other = _table.alias("other")
# A scalar, so that PostgreSQL looks it up in the index for the few rows wanted, and does not join all that waits.
_FIRST_OF_ITS_MESSAGE = (
    _table.c.id
    == select(func.min(_other.c.id))
    .where(_other.c.endpoint_id == _table.c.endpoint_id, _other.c.about == _table.c.about, _other.c.done_at.is_(None))
    .scalar_subquery()
)
_RECORD = (
    update(_table)
    .where(_table.c.id == bindparam("number"), _table.c.attempts == bindparam("before"), _waits)
    .values(
        {name: bindparam(f"new_{name}") for name in ("state", "attempts", "next_at", "status", "answer", "done_at")}
    )
)


@dataclass(frozen=True, slots=True)
class Delivery:
    """Something to be said to an endpoint, after ``attempts`` in vain."""

    id: int
    webhook_id: str
    type: str
    body: bytes
    attempts: int


@dataclass(frozen=True)
class DeliveryFacts:
    """A delivery as shown to people; times in seconds since the epoch, ``next_at`` only while it waits."""

    webhook_id: str
    event_id: int | None
    type: str
    state: str
    attempts: int
    status: int | None
    answer: str
    created_at: float
    next_at: float | None
    done_at: float | None


def row(
    webhook_id: str,
    account_id: int,
    endpoint_id: int,
    event_id: int | None,
    type: str,
    about: str,
    body: str,
    now: float,
) -> dict[str, Any]:
    """A row for ``enqueue``, due at once."""
    return {
        "webhook_id": webhook_id,
        "account_id": account_id,
        "endpoint_id": endpoint_id,
        "event_id": event_id,
        "type": type,
        "about": about,
        "body": body,
        "state": WAITING,
        "attempts": 0,
        "next_at": now,
        "status": None,
        "answer": "",
        "created_at": now,
        "done_at": None,
    }


def enqueue(session: Session, rows: Sequence[dict[str, Any]]) -> None:
    """Have these sent, but for those that are known already."""
    session.execute(_INSERT, list(rows))


def endpoints_due(session: Session, now: float) -> list[tuple[int, int]]:
    """The endpoints for which something is due, each with its account."""
    endpoint = tables.endpoint
    due = exists().where(_table.c.endpoint_id == endpoint.c.id, _waits, _table.c.next_at <= now)
    found = session.execute(select(endpoint.c.id, endpoint.c.account_id).where(endpoint.c.off == "", due))
    return [(number, account) for number, account in found]


def due(session: Session, endpoint_id: int, now: float, limit: int) -> list[Delivery]:
    """What is due for an endpoint, the longest due first; of each message only what comes next."""
    query = (
        select(_table.c.id, _table.c.webhook_id, _table.c.type, _table.c.body, _table.c.attempts)
        .where(_table.c.endpoint_id == endpoint_id, _waits, _table.c.next_at <= now, _FIRST_OF_ITS_MESSAGE)
        .order_by(_table.c.next_at, _table.c.id)
        .limit(limit)
    )
    return [
        Delivery(number, key, type, body.encode("ascii"), n) for number, key, type, body, n in session.execute(query)
    ]


def record(session: Session, outcomes: Sequence[tuple[Delivery, Answer, Verdict]], now: float) -> None:
    """Keep what came of attempts; of one whose delivery has changed meanwhile nothing is kept."""
    session.connection().execute(_RECORD, [_outcome(*outcome, now) for outcome in outcomes])


def replay(
    session: Session,
    endpoint_id: int,
    now: float,
    *,
    since: float | None = None,
    event_id: int | None = None,
    failed: bool = False,
) -> int:
    """Have finished deliveries sent again, under the same webhook-id: those of these conditions; how many."""
    conditions = [_table.c.endpoint_id == endpoint_id, _table.c.event_id.is_not(None), ~_waits]
    if since is not None:
        conditions.append(_table.c.created_at >= since)
    if event_id is not None:
        conditions.append(_table.c.event_id == event_id)
    if failed:
        conditions.append(_table.c.state == FAILED)
    again = update(_table).where(*conditions).values(state=WAITING, attempts=0, next_at=now, done_at=None)
    return session.connection().execute(again).rowcount


def recent(session: Session, endpoint_id: int, limit: int) -> list[DeliveryFacts]:
    """The newest deliveries of an endpoint, newest first."""
    query = select(_table).where(_table.c.endpoint_id == endpoint_id).order_by(_table.c.id.desc()).limit(limit)
    return [_facts(found) for found in session.execute(query)]


def prune(session: Session, before: float) -> int:
    """Delete some of the deliveries that were finished before then, and old ones that nobody will send; how many."""
    on = select(tables.endpoint.c.id).where(tables.endpoint.c.off == "")
    lost = and_(_waits, _table.c.created_at < before, _table.c.endpoint_id.not_in(on))
    over = select(_table.c.id).where(or_(_table.c.done_at < before, lost)).limit(PRUNED)
    return session.connection().execute(delete(_table).where(_table.c.id.in_(over))).rowcount


def _outcome(one: Delivery, answer: Answer, verdict: Verdict, now: float) -> dict[str, Any]:
    return {
        "number": one.id,
        "before": one.attempts,
        "new_state": verdict.state,
        "new_attempts": verdict.attempts,
        "new_next_at": verdict.next_at,
        "new_status": answer.status,
        "new_answer": answer.text,
        "new_done_at": None if verdict.state == WAITING else now,
    }


def _facts(found: Row[tuple[object, ...]]) -> DeliveryFacts:
    return DeliveryFacts(
        webhook_id=found.webhook_id,
        event_id=found.event_id,
        type=found.type,
        state=found.state,
        attempts=found.attempts,
        status=found.status,
        answer=found.answer,
        created_at=found.created_at,
        next_at=found.next_at if found.done_at is None else None,
        done_at=found.done_at,
    )
