"""Deliveries in the database: what waits for which endpoint, what came of it, and what is to be sent again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row, bindparam, delete, exists, func, select, text, update
from sqlalchemy.orm import Session

from postmeter_webhooks import tables
from postmeter_webhooks.schedule import FAILED, WAITING, Answer, Verdict

TOO_LATE = "not sent: the endpoint is too slow"
MAX_ANSWER = 200  # characters of an answer that are kept
PRUNED = 500  # deliveries given up or deleted in one go
_table = tables.delivery
_waits = _table.c.done_at.is_(None)

# Also when an event is told a second time: what is known by its webhook-id is not queued again.
_INSERT = text(
    "INSERT INTO webhooks_delivery (webhook_id, account_id, endpoint_id, event_id, type, about, body, state, attempts,"
    " next_at, status, answer, created_at, done_at) VALUES (:webhook_id, :account_id, :endpoint_id, :event_id, :type,"
    " :about, :body, :state, :attempts, :next_at, :status, :answer, :created_at, :done_at)"
    " ON CONFLICT (webhook_id) DO NOTHING"
)
_RECORD = (
    update(_table)
    .where(_table.c.id == bindparam("number"), _table.c.attempts == bindparam("before"), _waits)
    .values(
        {name: bindparam(f"new_{name}") for name in ("state", "attempts", "next_at", "status", "answer", "done_at")}
    )
)
_HOLD_BACK = (
    update(_table)
    .where(
        _table.c.endpoint_id == bindparam("endpoint"),
        _table.c.about == bindparam("message"),
        _table.c.next_at < bindparam("until"),
        _waits,
    )
    .values(next_at=bindparam("until"))
)


@dataclass(frozen=True, slots=True)
class Delivery:
    """Something to be said to an endpoint, after ``attempts`` in vain."""

    id: int
    webhook_id: str
    endpoint_id: int
    about: str  # the message; empty: the account
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


def enqueue(session: Session, rows: Sequence[dict[str, Any]]) -> int:
    """Have these sent, but for those that are known already and those whose endpoint is not called any more; how many.

    What comes behind something of its message that waits for its retry waits too.
    """
    on = _lock(session, {one["endpoint_id"] for one in rows})
    held = _held_back(session, on, {one["about"] for one in rows}, min(one["next_at"] for one in rows))
    due = [(one, held.get((one["endpoint_id"], one["about"]), 0.0)) for one in rows if one["endpoint_id"] in on]
    if not due:
        return 0
    values = [{**one, "next_at": max(one["next_at"], until)} for one, until in due]
    return session.connection().execute(_INSERT, values).rowcount


def keep(session: Session, one: dict[str, Any], answer: Answer, verdict: Verdict, now: float) -> None:
    """Keep what was sent without being queued."""
    session.execute(_INSERT, {**one, **_came_to(answer, verdict, now)})


def endpoints_due(session: Session, now: float) -> list[tuple[int, int]]:
    """The endpoints for which something is due, each with its account."""
    endpoint = tables.endpoint
    due = exists().where(_table.c.endpoint_id == endpoint.c.id, _waits, _table.c.next_at <= now)
    found = session.execute(select(endpoint.c.id, endpoint.c.account_id).where(endpoint.c.off == "", due))
    return [(number, account) for number, account in found]


def due(session: Session, endpoint_id: int, now: float, limit: int) -> list[Delivery]:
    """What is due for an endpoint, the longest due first, and of each message in order."""
    query = (
        select(_table.c.id, _table.c.webhook_id, _table.c.about, _table.c.body, _table.c.attempts)
        .where(_table.c.endpoint_id == endpoint_id, _waits, _table.c.next_at <= now)
        .order_by(_table.c.next_at, _table.c.id)
        .limit(limit)
    )
    return [
        Delivery(number, key, endpoint_id, about, body.encode("ascii"), attempts)
        for number, key, about, body, attempts in session.execute(query)
    ]


def record(session: Session, outcomes: Sequence[tuple[Delivery, Answer, Verdict]], now: float) -> None:
    """Keep what came of attempts, and have what comes behind those that failed wait for them.

    Of one whose delivery has changed meanwhile nothing is kept.
    """
    _lock(session, {one.endpoint_id for one, _, _ in outcomes})
    rows = [
        {"number": one.id, "before": one.attempts}
        | {f"new_{name}": value for name, value in _came_to(answer, verdict, now).items()}
        for one, answer, verdict in outcomes
    ]
    session.connection().execute(_RECORD, rows)
    held = [
        {"endpoint": one.endpoint_id, "message": one.about, "until": verdict.next_at}
        for one, _, verdict in outcomes
        if verdict.state == WAITING
    ]
    if held:
        session.connection().execute(_HOLD_BACK, held)


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
    finished = _finished(endpoint_id, since, event_id, failed)
    again = update(_table).where(*finished).values(state=WAITING, attempts=0, next_at=now, done_at=None)
    return session.connection().execute(again).rowcount


def replayable(session: Session, endpoint_id: int, *, since: float | None = None, failed: bool = False) -> int:
    """How many deliveries ``replay`` would have sent again."""
    query = select(func.count()).select_from(_table).where(*_finished(endpoint_id, since, None, failed))
    return session.scalar(query) or 0


def known(session: Session, webhook_ids: Sequence[str]) -> int:
    """How many of these there are."""
    query = select(func.count()).select_from(_table).where(_table.c.webhook_id.in_(webhook_ids))
    return session.scalar(query) or 0


def waiting(session: Session, endpoint_ids: Sequence[int]) -> dict[int, int]:
    """How many deliveries wait, by endpoint; one for which none does is missing."""
    query = select(_table.c.endpoint_id, func.count()).where(_table.c.endpoint_id.in_(endpoint_ids), _waits)
    return {row[0]: row[1] for row in session.execute(query.group_by(_table.c.endpoint_id))}


def recent(session: Session, endpoint_id: int, limit: int) -> list[DeliveryFacts]:
    """The newest deliveries of an endpoint, newest first."""
    return [facts for _, facts in older(session, endpoint_id, limit)]


def older(
    session: Session, endpoint_id: int, limit: int, before: int | None = None, state: str = ""
) -> list[tuple[int, DeliveryFacts]]:
    """An endpoint's deliveries (in one state) before the one of that number, newest first, with their numbers."""
    query = select(_table).where(_table.c.endpoint_id == endpoint_id).order_by(_table.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(_table.c.id < before)
    if state:
        query = query.where(_table.c.state == state)
    return [(found.id, _facts(found)) for found in session.execute(query)]


def give_up(session: Session, before: float, now: float) -> int:
    """Have some of the deliveries failed that have been due since before then, their turn never came; how many."""
    late = select(_table.c.id).where(_waits, _table.c.next_at < before).limit(PRUNED)
    failed = update(_table).where(_table.c.id.in_(late)).values(state=FAILED, done_at=now, answer=TOO_LATE)
    return session.connection().execute(failed).rowcount


def prune(session: Session, before: float) -> int:
    """Delete some of the deliveries that were finished before then; how many."""
    over = select(_table.c.id).where(_table.c.done_at < before).limit(PRUNED)
    return session.connection().execute(delete(_table).where(_table.c.id.in_(over))).rowcount


def _finished(endpoint_id: int, since: float | None, event_id: int | None, failed: bool) -> list[ColumnElement[bool]]:
    conditions = [_table.c.endpoint_id == endpoint_id, _table.c.event_id.is_not(None), ~_waits]
    if since is not None:
        conditions.append(_table.c.created_at >= since)
    if event_id is not None:
        conditions.append(_table.c.event_id == event_id)
    if failed:
        conditions.append(_table.c.state == FAILED)
    return conditions


def _lock(session: Session, endpoint_ids: set[int]) -> set[int]:
    """Those of the endpoints that are called; until the commit nobody else queues for them or notes what they said."""
    endpoint = tables.endpoint
    query = select(endpoint.c.id).where(endpoint.c.id.in_(endpoint_ids), endpoint.c.off == "").order_by(endpoint.c.id)
    return set(session.scalars(query.with_for_update()))


def _held_back(session: Session, endpoint_ids: set[int], abouts: set[str], now: float) -> dict[tuple[int, str], float]:
    """Until when messages wait, by endpoint and message."""
    query = (
        select(_table.c.endpoint_id, _table.c.about, func.max(_table.c.next_at))
        .where(_table.c.endpoint_id.in_(endpoint_ids), _table.c.about.in_(abouts), _table.c.next_at > now, _waits)
        .group_by(_table.c.endpoint_id, _table.c.about)
    )
    return {(endpoint, about): until for endpoint, about, until in session.execute(query)}


def _came_to(answer: Answer, verdict: Verdict, now: float) -> dict[str, Any]:
    return {
        "state": verdict.state,
        "attempts": verdict.attempts,
        "next_at": verdict.next_at,
        "status": answer.status,
        "answer": answer.text,
        "done_at": None if verdict.state == WAITING else now,
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
