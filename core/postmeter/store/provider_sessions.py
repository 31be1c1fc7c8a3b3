"""Sessions with receiving providers, as workers tell of them, and the word that they shall begin again with one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil

from sqlalchemy import delete, exists, func, select, text
from sqlalchemy.orm import Session

from postmeter.store.base import table
from postmeter.store.operator_tables import ProviderResumption
from postmeter.store.rows import delete_some
from postmeter.store.statement import Statement
from postmeter.store.worker_tables import ProviderSessions, Worker

KEPT = 3_600.0  # seconds for which a resumption is kept: workers look for it every few seconds

_TELL = Statement(
    text(
        "INSERT INTO provider_sessions (worker, provider, open, allowed) VALUES (:worker, :provider, :open, :allowed) "
        "ON CONFLICT (worker, provider) DO UPDATE SET open = excluded.open, allowed = excluded.allowed"
    )
)
_NO_MORE = Statement(text("DELETE FROM provider_sessions WHERE worker = :worker AND provider = :provider"))
_BEGIN_AGAIN = Statement(
    text(
        "INSERT INTO provider_resumption (provider, at) VALUES (:provider, :at) "
        "ON CONFLICT (provider) DO UPDATE SET at = excluded.at"
    )
)


@dataclass(frozen=True, slots=True)
class Sessions:
    """How many are open and how many may be at present, by what the provider bears and how it has taken the mail."""

    open: int = 0
    allowed: float = 0.0

    def __add__(self, other: Sessions) -> Sessions:
        return Sessions(self.open + other.open, self.allowed + other.allowed)


NONE = Sessions()


@dataclass(frozen=True)
class Report:
    """What has changed with a worker, by provider; ``NONE``: there is nothing to tell any more."""

    worker: int
    changed: Mapping[str, Sessions]


def report(session: Session, reports: Sequence[Report]) -> list[None]:
    """A change for the writer: what workers tell of their sessions. Each has rows of its own."""
    for one in reports:
        for provider, now in sorted(one.changed.items()):
            key = {"worker": one.worker, "provider": provider}
            if now == NONE:
                _NO_MORE.run(session, [key])
            else:
                _TELL.run(session, [{**key, "open": now.open, "allowed": now.allowed}])
    return [None] * len(reports)


def sessions(session: Session, now: float) -> dict[str, Sessions]:
    """Those of all workers that are at work, by provider."""
    alive = select(Worker.id).where(Worker.lease_until > now)
    sums = func.sum(ProviderSessions.open), func.sum(ProviderSessions.allowed)
    query = select(ProviderSessions.provider, *sums).where(ProviderSessions.worker.in_(alive))
    rows = session.execute(query.group_by(ProviderSessions.provider))
    return {provider: Sessions(int(opened), ceil(round(allowed, 6))) for provider, opened, allowed in rows}


def told_of(session: Session, provider: str) -> bool:
    """Whether a worker has something to tell of the provider."""
    return bool(session.scalar(select(exists().where(ProviderSessions.provider == provider))))


def forget_workers(session: Session) -> None:
    """What workers told that are gone."""
    gone = ProviderSessions.worker.not_in(select(Worker.id))
    session.connection().execute(delete(table(ProviderSessions)).where(gone))


def begin_again(session: Session, provider: str, now: float) -> None:
    """Let all workers forget how the provider has taken the mail so far."""
    _BEGIN_AGAIN.run(session, [{"provider": provider, "at": now}])


def resumptions(session: Session) -> dict[str, float]:
    """When ``begin_again`` was last said, by provider."""
    return {row.provider: row.at for row in session.scalars(select(ProviderResumption))}


def forget(session: Session, now: float) -> int:
    """Delete resumptions that all workers have seen, some at a time; how many."""
    return delete_some(session, ProviderResumption, ProviderResumption.at <= now - KEPT)
