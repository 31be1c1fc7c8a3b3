"""What is known of mail servers' TLS and of domains' MTA-STS policies, kept so that a restart forgets none of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from postmeter.store.rows import delete_some
from postmeter.store.statement import Statement
from postmeter.store.tls_tables import BrokenTlsHost, MtaSts

MOST = 10_000  # of each that a worker reads at its start

_BREAK = Statement(
    text(
        "INSERT INTO broken_tls (name, address, port, until) VALUES (:name, :address, :port, :until) "
        "ON CONFLICT (name, address, port) DO UPDATE SET until = excluded.until"
    )
)
_KEEP = Statement(
    text(
        "INSERT INTO mta_sts (domain, record, policy, fetched_at, expires_at) "
        "VALUES (:domain, :record, :policy, :fetched_at, :expires_at) "
        "ON CONFLICT (domain) DO UPDATE SET record = excluded.record, policy = excluded.policy, "
        "fetched_at = excluded.fetched_at, expires_at = excluded.expires_at"
    )
)


class Broken(NamedTuple):
    """A mail server with which TLS cannot be agreed on, and until when that is believed (seconds since the epoch)."""

    name: str
    address: str
    port: int
    until: float


class KeptPolicy(NamedTuple):
    """A domain's MTA-STS policy in its own words, the id its record had, when it was fetched and how long it holds."""

    domain: str
    record: str
    policy: str
    fetched_at: float
    expires_at: float


class Memory(NamedTuple):
    """What a worker knows at its start."""

    broken: Sequence[Broken] = ()
    policies: Sequence[KeptPolicy] = ()


def read(session: Session, now: float) -> Memory:
    """What still holds."""
    return Memory(broken(session, now), policies(session, now))


def broken(session: Session, now: float) -> list[Broken]:
    """Those that are still believed to be, the latest ``MOST``, the last one last."""
    query = select(BrokenTlsHost).where(BrokenTlsHost.until > now).order_by(BrokenTlsHost.until.desc()).limit(MOST)
    return [Broken(row.name, row.address, row.port, row.until) for row in session.scalars(query)][::-1]


def policies(session: Session, now: float) -> list[KeptPolicy]:
    """Those that still hold, the latest ``MOST``, the last one last."""
    query = select(MtaSts).where(MtaSts.expires_at > now).order_by(MtaSts.fetched_at.desc()).limit(MOST)
    rows = session.scalars(query)
    return [KeptPolicy(row.domain, row.record, row.policy, row.fetched_at, row.expires_at) for row in rows][::-1]


def add_broken(session: Session, found: Sequence[Broken]) -> list[None]:
    """Keep them, in an order that is the same for all who write."""
    _BREAK.run(session, [one._asdict() for one in sorted(found)])
    return [None] * len(found)


def keep_policies(session: Session, fetched: Sequence[KeptPolicy]) -> list[None]:
    """Keep them in the place of what was known of those domains."""
    _KEEP.run(session, [one._asdict() for one in sorted(fetched)])
    return [None] * len(fetched)


def forget(session: Session, now: float) -> int:
    """Delete some of what is over; how many rows."""
    gone = delete_some(session, BrokenTlsHost, BrokenTlsHost.until <= now)
    return gone + delete_some(session, MtaSts, MtaSts.expires_at <= now)
