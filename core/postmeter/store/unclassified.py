"""Refusals that no bounce rule knows, the most frequent first: what the operator may write rules for."""

from __future__ import annotations

from collections import Counter as Tally
from dataclasses import dataclass

from sqlalchemy import ColumnElement, func, literal_column, select
from sqlalchemy.orm import Session

from postmeter.message.bounce import UNCLASSIFIED
from postmeter.store.queue_filter import PARTS
from postmeter.store.tables import BOUNCED, EXPIRED, Recipient

# Written out for the partial index of what has failed, as the parts of the queue are for theirs.
_FAILED = Recipient.state.in_([literal_column(f"'{state}'") for state in (BOUNCED, EXPIRED)])


@dataclass(frozen=True)
class Unclassified:
    """So many recipients have failed, or wait, after this last answer of a provider (empty: it is not known)."""

    failure: str
    provider: str
    reply: str
    recipients: int


def unclassified(session: Session, since: float, limit: int) -> list[Unclassified]:
    """What has failed since then, and what waits now; at most ``limit`` answers."""
    tally: Tally[tuple[str, str, str]] = Tally()
    for part in ([_FAILED, Recipient.final_at >= since], *([waits] for waits in PARTS.values())):
        tally.update(_counted(session, part))
    found = sorted(tally.items(), key=lambda one: (-one[1], one[0]))
    return [Unclassified(*key, number) for key, number in found[:limit]]


def _counted(session: Session, part: list[ColumnElement[bool]]) -> dict[tuple[str, str, str], int]:
    columns = (Recipient.failure, Recipient.provider, Recipient.reply)
    query = select(*columns, func.count()).where(*part, Recipient.failure.in_(UNCLASSIFIED.values())).group_by(*columns)
    return {(failure, provider, reply): number for failure, provider, reply, number in session.execute(query)}
