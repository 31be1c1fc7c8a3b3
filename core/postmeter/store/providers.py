"""Receiving providers that are sent nothing or little for a while, on the operator's word or by a reply rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from math import inf

from sqlalchemy import delete, or_, select
from sqlalchemy.orm import Session

from postmeter.errors import UsageError
from postmeter.store import audit, orders, provider_sessions
from postmeter.store.audit import Actor
from postmeter.store.base import table
from postmeter.store.connections import told_reason
from postmeter.store.operator_tables import ProviderSuspension
from postmeter.store.orders import Matching
from postmeter.store.queue_filter import Filter
from postmeter.store.rows import delete_some

MOST_NAME = 100  # characters
BY_RULE = "reply rule"  # who restricts a provider when no person does


@dataclass(frozen=True)
class Suspension:
    """A provider that is sent nothing, and why; ``until`` None: until it is resumed. Times since the epoch.

    With ``sessions`` at a time or mails ``per_minute`` it is only slowed down to so many. ``rule``: the reply rule that
    has led to it; empty: a person.
    """

    provider: str
    reason: str
    since: float
    until: float | None
    by: str
    sessions: int | None = None
    per_minute: int | None = None
    rule: str = ""

    @property
    def stops(self) -> bool:
        """Nothing at all is sent: its mail waits, and its time runs."""
        return self.sessions is None and self.per_minute is None

    def end(self) -> float:
        """When it ends; infinite: not by itself."""
        return inf if self.until is None else self.until


def suspend(session: Session, provider: str, reason: str, until: float | None, now: float, by: str) -> Suspension:
    """Send the provider nothing from now on; what was said before about it is replaced. UsageError says what is wrong.

    ``other`` stands for all whom the relay does not know by name.
    """
    provider = provider.strip()
    if not (provider.isprintable() and 0 < len(provider) <= MOST_NAME):
        raise UsageError(f"the name of a provider has 1 to {MOST_NAME} printable characters")
    if until is not None and until <= now:
        raise UsageError("a suspension ends in the future")
    row = ProviderSuspension(
        provider=provider,
        reason=told_reason(reason),
        since=now,
        until=until,
        by=by,
        sessions=None,
        per_minute=None,
        rule="",
    )
    session.merge(row)
    session.flush()
    return _suspension(row)


def what_waits(session: Session, provider: str, now: float) -> Matching:
    """What ``resume`` would make due. To be asked for in a read transaction: it looks through the queue."""
    return orders.matching(session, "retry", _of(provider), now, limit=0)


def resume(session: Session, provider: str, waiting: Matching, now: float, by: str) -> int:
    """Send it mail again, with as many sessions as at the beginning; the order that makes due what waits (its number).

    UsageError when it is neither restricted nor known to a worker.
    """
    gone = delete(table(ProviderSuspension)).where(ProviderSuspension.provider == provider)
    if session.connection().execute(gone).rowcount == 0 and not provider_sessions.told_of(session, provider):
        raise UsageError(f"the provider {provider!r} is not suspended, and no session with it is open or limited")
    provider_sessions.begin_again(session, provider, now)
    return orders.place(session, "retry", _of(provider), waiting.count, waiting.upto, now, by)


def suspensions(session: Session, now: float) -> list[Suspension]:
    """Those in force, by name."""
    in_force = or_(ProviderSuspension.until.is_(None), ProviderSuspension.until > now)
    rows = session.scalars(select(ProviderSuspension).where(in_force).order_by(ProviderSuspension.provider))
    return [_suspension(row) for row in rows]


def forget(session: Session, now: float) -> int:
    """Delete those that are over, some at a time; how many."""
    return delete_some(session, ProviderSuspension, ProviderSuspension.until <= now)


def restrict(session: Session, by_rules: Sequence[Suspension]) -> list[Suspension]:
    """A change for the writer: what reply rules have led to; what holds now for each.

    A person's word stands as it is; of two rules, the stricter word and the later end. They are taken in an order in
    which nobody deadlocks.
    """
    made = {one: _restrict(session, one) for one in sorted(by_rules, key=lambda one: (one.provider, one.since))}
    return [made[one] for one in by_rules]


def _restrict(session: Session, one: Suspension) -> Suspension:
    row = session.get(ProviderSuspension, one.provider, with_for_update=True, populate_existing=True)
    held = _suspension(row) if row is not None and _suspension(row).end() > one.since else None
    made = one if held is None else stricter(held, one)
    if made != held:
        session.merge(ProviderSuspension(**asdict(made)))
        facts = {"rule": one.rule, "reason": one.reason, "until": made.until}
        audit.record(session, Actor(None, one.by, ""), "provider.restrict", one.provider, one.since, facts=facts)
    return made


def stricter(held: Suspension, one: Suspension) -> Suspension:
    """What holds when a reply rule speaks about a provider that is restricted already."""
    if not held.rule or (held.stops and not one.stops):
        return held
    if one.stops and not held.stops:
        return one
    sessions, per_minute = _fewest(held.sessions, one.sessions), _fewest(held.per_minute, one.per_minute)
    later = one if one.end() > held.end() else held
    return replace(later, since=held.since, sessions=sessions, per_minute=per_minute)


def _fewest(*numbers: int | None) -> int | None:
    return min((number for number in numbers if number is not None), default=None)


def _suspension(row: ProviderSuspension) -> Suspension:
    return Suspension(row.provider, row.reason, row.since, row.until, row.by, row.sessions, row.per_minute, row.rule)


def _of(provider: str) -> Filter:
    return Filter((("provider", provider),))
