"""The queue at a glance: how many recipients wait in which state, and what those that are due first have in common."""

from __future__ import annotations

from collections import Counter as Tally
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from postmeter.store.queue_filter import PARTS, STATES, Filter
from postmeter.store.tables import Account, Message, Recipient
from postmeter.store.timeline import WaitingRecipient, waiting_recipient

LOOKED_AT = 20_000  # recipients at most that are sorted by what they have in common
MOST = 10  # groups of each kind


@dataclass(frozen=True)
class Group:
    """Recipients with the same account, provider, domain or last answer (empty: none yet)."""

    name: str
    recipients: int


@dataclass(frozen=True)
class Overview:
    """What waits: exact numbers by state, and the largest groups among the ``looked_at`` that are due first.

    ``oldest``: when the message was accepted that has waited longest. ``first`` are the recipients due next.
    """

    total: int
    states: dict[str, int]
    oldest: float | None
    looked_at: int
    accounts: tuple[Group, ...]
    providers: tuple[Group, ...]
    domains: tuple[Group, ...]
    reasons: tuple[Group, ...]
    first: tuple[WaitingRecipient, ...]


def overview(session: Session, chosen: Filter, limit: int = 25) -> Overview:
    """What of the queue the filter matches; UsageError when it names what is not there."""
    chosen.check(session)
    states, oldest = _states(session, chosen)
    seen = _first(session, chosen)
    names = _names(session, {row.account_id for row in seen})
    return Overview(
        total=sum(states.values()),
        states={state: states[state] for state in STATES if state in states},
        oldest=session.scalar(select(func.min(Message.accepted_at)).where(Message.id == oldest)) if oldest else None,
        looked_at=len(seen),
        accounts=_groups(Tally(names.get(row.account_id, "") for row in seen)),
        providers=_groups(Tally(row.provider for row in seen)),
        domains=_groups(Tally(row.forward_path.rpartition("@")[2].lower() for row in seen)),
        reasons=_groups(Tally(row.reply for row in seen)),
        first=_shown(session, chosen, limit),
    )


def by_provider(session: Session) -> dict[str, int]:
    """How many recipients wait for each provider; an empty name: it is not known yet."""
    tally: Tally[str] = Tally()
    query = select(Recipient.provider, func.count()).group_by(Recipient.provider)
    for part in PARTS.values():
        for provider, number in session.execute(query.where(part)):
            tally[provider] += number
    return dict(tally)


def _states(session: Session, chosen: Filter) -> tuple[dict[str, int], str | None]:
    """How many there are of each state, and the first message among them."""
    query = select(Recipient.state, func.count(), func.min(Recipient.message_id)).group_by(Recipient.state)
    rows = [row for part in PARTS.values() for row in session.execute(query.where(part, *chosen.clauses()))]
    return {state: number for state, number, _ in rows}, min((first for *_, first in rows), default=None)


def _first(session: Session, chosen: Filter) -> list[Any]:
    columns = (Recipient.account_id, Recipient.provider, Recipient.forward_path, Recipient.reply)
    query = select(*columns).order_by(Recipient.next_attempt_at).limit(LOOKED_AT)
    found = [row for part in PARTS.values() for row in session.execute(query.where(part, *chosen.clauses()))]
    return found[:LOOKED_AT]


def _names(session: Session, accounts: set[int]) -> dict[int, str]:
    query = select(Account.id, Account.name).where(Account.id.in_(accounts))
    return {row.id: row.name for row in session.execute(query)}


def _shown(session: Session, chosen: Filter, limit: int) -> tuple[WaitingRecipient, ...]:
    behind = (Message.id == Recipient.message_id) & (Message.account_id == Recipient.account_id)
    query = select(Recipient, Message.accepted_at).join(Message, behind).where(*chosen.clauses())
    query = query.order_by(Recipient.next_attempt_at).limit(limit)
    found = [row for part in PARTS.values() for row in session.execute(query.where(part))]
    return tuple(waiting_recipient(row, accepted_at) for row, accepted_at in found[:limit])


def _groups(tally: Tally[str]) -> tuple[Group, ...]:
    largest = sorted(tally.items(), key=lambda one: (-one[1], one[0]))
    return tuple(Group(name, number) for name, number in largest[:MOST])
