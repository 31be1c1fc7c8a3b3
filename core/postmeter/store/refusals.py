"""What a receiving provider has answered lately when it did not take a mail."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from postmeter.store.tables import BOUNCED, DEFERRED, EXPIRED, Event

LOOKED_AT = 20_000  # events at most, the last ones


@dataclass(frozen=True)
class Refusal:
    """An answer, and how many recipients got it; ``last_at``: the last one, in seconds since the epoch."""

    kind: str  # deferred, bounced or expired
    reply: str
    recipients: int
    last_at: float


def refusals(session: Session, provider: str, limit: int = 20) -> list[Refusal]:
    """The answers of a provider among the relay's last events, the most frequent first."""
    newest = session.scalar(select(func.max(Event.id))) or 0
    reply, number = Event.facts["reply"].as_string(), func.count()
    query = (
        select(Event.kind, reply, number, func.max(Event.at))
        .where(
            Event.id > newest - LOOKED_AT,
            Event.kind.in_((DEFERRED, BOUNCED, EXPIRED)),
            Event.facts["provider"].as_string() == provider,
        )
        .group_by(Event.kind, reply)
        .order_by(number.desc(), Event.kind, reply)
    )
    return [Refusal(*row) for row in session.execute(query.limit(limit))]
