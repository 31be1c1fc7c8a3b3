"""What receiving providers have said within an hour, where a reply rule takes several of the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session

from postmeter.store import providers
from postmeter.store.operator_tables import ProviderReplies
from postmeter.store.providers import Suspension
from postmeter.store.rows import delete_some
from postmeter.store.statement import Statement

HOUR = 3_600.0

_HOLD = Statement(
    text(
        "INSERT INTO provider_replies (provider, rule, times, last_at) VALUES (:provider, :rule, '[]', :at) "
        "ON CONFLICT (provider, rule) DO UPDATE SET last_at = excluded.last_at"
    )
)


@dataclass(frozen=True)
class Heard:
    """A reply that a rule is about; at the ``times``-th within an hour it leads to ``restriction``."""

    restriction: Suspension
    times: int


def hear(session: Session, replies: Sequence[Heard]) -> list[Suspension | None]:
    """A change for the writer: count them; what holds now for those at which a rule has fired.

    They are taken in an order in which nobody deadlocks.
    """
    ordered = sorted(replies, key=lambda one: (one.restriction.provider, one.restriction.rule, one.restriction.since))
    made = {one: _hear(session, one) for one in dict.fromkeys(ordered)}
    return [made[one] for one in replies]


def forget(session: Session, now: float) -> int:
    """Delete what was said more than an hour ago, some at a time; how many rows."""
    return delete_some(session, ProviderReplies, ProviderReplies.last_at <= now - HOUR)


def _hear(session: Session, one: Heard) -> Suspension | None:
    """Several workers hear at the same time: the row is held first, so that each counts what the others have."""
    provider, rule, at = one.restriction.provider, one.restriction.rule, one.restriction.since
    _HOLD.run(session, [{"provider": provider, "rule": rule, "at": at}])
    row = session.get_one(ProviderReplies, (provider, rule), populate_existing=True)
    times = sorted({*(said for said in row.times if said > at - HOUR), at})
    fires = len(times) >= one.times
    row.times, row.last_at = [] if fires else times, times[-1]  # it begins anew
    session.flush()
    return providers.restrict(session, [one.restriction])[0] if fires else None
