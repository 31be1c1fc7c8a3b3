"""What happened to a message, and what waits in the queue and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from postmeter.message.handling import Handling
from postmeter.store.tables import DEFERRED, HELD, LEASED, QUEUED, Event, Message, Recipient

WAITING = (QUEUED, LEASED, DEFERRED, HELD)


@dataclass(frozen=True)
class RecipientFacts:
    """One forward path of a message and how far it got; times in seconds since the epoch."""

    n: int
    forward_path: str
    state: str
    attempts: int
    in_doubt: int
    next_attempt_at: float | None  # None once the state is final
    final_at: float | None
    reply: str
    charge: str
    route: str = ""  # where the operator wants it sent, host:port
    failure: str = ""  # the class of the last refusal; empty: there was none


@dataclass(frozen=True)
class EventFacts:
    """A committed fact about a message; ``recipient`` is the number of the one it is about."""

    kind: str
    at: float
    recipient: int | None
    facts: dict[str, Any]


@dataclass(frozen=True)
class MessageFacts:
    """An accepted message with its recipients and its timeline."""

    id: str
    account_id: int
    connection_id: int
    accepted_at: float
    domain: str
    reverse_path: str
    header_from: str
    subject: str
    message_id: str
    size: int
    sha256: str  # hexadecimal
    reference: str  # what the sender calls its subject matter; empty: nothing
    handling: Handling
    recipients: tuple[RecipientFacts, ...]
    events: tuple[EventFacts, ...]


@dataclass(frozen=True)
class Reason:
    """How many recipients wait in a state after the same answer of the remote side (empty: not tried yet)."""

    state: str
    reply: str
    recipients: int


@dataclass(frozen=True)
class WaitingRecipient:
    """A recipient that waits; ``next_attempt_at`` in seconds since the epoch.

    ``route``: where an operator wants it sent (host:port), empty: where the settings or the DNS say.
    """

    message_id: str
    account_id: int
    n: int
    forward_path: str
    state: str
    attempts: int
    accepted_at: float
    next_attempt_at: float
    reply: str
    route: str


@dataclass(frozen=True)
class QueueFacts:
    """The queue: all that waits by state, the most frequent reasons, and the recipients that are due next."""

    total: int
    states: dict[str, int]
    reasons: tuple[Reason, ...]
    waiting: tuple[WaitingRecipient, ...]


def message_facts(session: Session, message_id: str, account_id: int | None = None) -> MessageFacts | None:
    """Everything about a message; None when there is none of this id in the account (None: in any)."""
    message = session.scalar(select(Message).where(Message.id == message_id, *_scope(Message, account_id)))
    if message is None:
        return None
    return MessageFacts(
        id=message.id,
        account_id=message.account_id,
        connection_id=message.connection_id,
        accepted_at=message.accepted_at,
        domain=message.domain,
        reverse_path=message.reverse_path,
        header_from=message.header_from,
        subject=message.subject,
        message_id=message.message_id,
        size=message.size,
        sha256=message.sha256.hex(),
        reference=message.reference,
        handling=Handling(message.priority, message.lifetime, message.tls_required),
        recipients=_recipients(session, message),
        events=_events(session, message),
    )


def queue_facts(session: Session, account_id: int | None = None, limit: int = 50) -> QueueFacts:
    """What waits in an account (None: in all) and why, with at most ``limit`` reasons and ``limit`` recipients."""
    waiting = (Recipient.state.in_(WAITING), *_scope(Recipient, account_id))
    number = func.count().label("number")
    counted = session.execute(select(Recipient.state, number).where(*waiting).group_by(Recipient.state))
    states = {row.state: row.number for row in counted}
    reasons = session.execute(
        select(Recipient.state, Recipient.reply, number)
        .where(*waiting)
        .group_by(Recipient.state, Recipient.reply)
        .order_by(number.desc(), Recipient.state, Recipient.reply)
        .limit(limit)
    )
    rows = session.execute(
        select(Recipient, Message.accepted_at)
        .join(Message, (Message.id == Recipient.message_id) & (Message.account_id == Recipient.account_id))
        .where(*waiting)
        .order_by(Recipient.next_attempt_at, Recipient.message_id, Recipient.n)
        .limit(limit)
    )
    return QueueFacts(
        total=sum(states.values()),
        states={state: states[state] for state in WAITING if state in states},
        reasons=tuple(Reason(state, reply, recipients) for state, reply, recipients in reasons),
        waiting=tuple(waiting_recipient(row, accepted_at) for row, accepted_at in rows),
    )


def _scope(table: type[Message | Recipient], account_id: int | None) -> list[ColumnElement[bool]]:
    return [] if account_id is None else [table.account_id == account_id]


def _recipients(session: Session, message: Message) -> tuple[RecipientFacts, ...]:
    rows = session.scalars(
        select(Recipient)
        .where(Recipient.message_id == message.id, Recipient.account_id == message.account_id)
        .order_by(Recipient.n)
    )
    return tuple(
        RecipientFacts(
            n=row.n,
            forward_path=row.forward_path,
            state=row.state,
            attempts=row.attempts,
            in_doubt=row.in_doubt,
            next_attempt_at=row.next_attempt_at if row.state in WAITING else None,
            final_at=row.final_at,
            reply=row.reply,
            charge=row.charge,
            route=row.route,
            failure=row.failure,
        )
        for row in rows
    )


def _events(session: Session, message: Message) -> tuple[EventFacts, ...]:
    rows = session.scalars(
        select(Event)
        .where(Event.message_id == message.id, Event.account_id == message.account_id)
        .order_by(Event.at, Event.id)
    )
    return tuple(EventFacts(row.kind, row.at, row.recipient, row.facts) for row in rows)


def waiting_recipient(row: Recipient, accepted_at: float) -> WaitingRecipient:
    """A waiting recipient as people see it."""
    return WaitingRecipient(
        message_id=row.message_id,
        account_id=row.account_id,
        n=row.n,
        forward_path=row.forward_path,
        state=row.state,
        attempts=row.attempts,
        accepted_at=accepted_at,
        next_attempt_at=row.next_attempt_at,
        reply=row.reply,
        route=row.route,
    )
