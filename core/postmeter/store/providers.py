"""Receiving providers that are sent nothing for a while, on the operator's word: their mail waits, its time runs."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import delete, or_, select
from sqlalchemy.orm import Session

from postmeter.errors import UsageError
from postmeter.store import orders
from postmeter.store.base import table
from postmeter.store.connections import told_reason
from postmeter.store.operator_tables import ProviderSuspension
from postmeter.store.orders import Matching
from postmeter.store.queue_filter import Filter

MOST_NAME = 100  # characters


@dataclass(frozen=True)
class Suspension:
    """A provider that is sent nothing, and why; ``until`` None: until it is resumed. Times since the epoch."""

    provider: str
    reason: str
    since: float
    until: float | None
    by: str


def suspend(session: Session, provider: str, reason: str, until: float | None, now: float, by: str) -> Suspension:
    """Send the provider nothing from now on; what was said before about it is replaced. UsageError says what is wrong.

    ``other`` stands for all whom the relay does not know by name.
    """
    provider = provider.strip()
    if not (provider.isprintable() and 0 < len(provider) <= MOST_NAME):
        raise UsageError(f"the name of a provider has 1 to {MOST_NAME} printable characters")
    if until is not None and until <= now:
        raise UsageError("a suspension ends in the future")
    row = ProviderSuspension(provider=provider, reason=told_reason(reason), since=now, until=until, by=by)
    session.merge(row)
    session.flush()
    return Suspension(row.provider, row.reason, row.since, row.until, row.by)


def what_waits(session: Session, provider: str, now: float) -> Matching:
    """What ``resume`` would make due. To be asked for in a read transaction: it looks through the queue."""
    return orders.matching(session, "retry", _of(provider), now, limit=0)


def resume(session: Session, provider: str, waiting: Matching, now: float, by: str) -> int:
    """Send it mail again; the number of the order that makes due what waits. UsageError when it is not suspended."""
    gone = delete(table(ProviderSuspension)).where(ProviderSuspension.provider == provider)
    if session.connection().execute(gone).rowcount == 0:
        raise UsageError(f"the provider {provider!r} is not suspended")
    return orders.place(session, "retry", _of(provider), waiting.count, waiting.upto, now, by)


def suspensions(session: Session, now: float) -> list[Suspension]:
    """Those in force, by name."""
    in_force = or_(ProviderSuspension.until.is_(None), ProviderSuspension.until > now)
    rows = session.scalars(select(ProviderSuspension).where(in_force).order_by(ProviderSuspension.provider))
    return [Suspension(row.provider, row.reason, row.since, row.until, row.by) for row in rows]


def _of(provider: str) -> Filter:
    return Filter((("provider", provider),))
