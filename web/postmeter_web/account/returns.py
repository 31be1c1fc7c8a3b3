"""A sending domain's return path: the name that bounces come back to, what to publish for it, what the DNS says."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.orm import Session

from postmeter.store import returning
from postmeter.store.domains import DnsRecord, DomainFacts
from postmeter.store.returning import Sight
from postmeter_web.context import now, panel
from postmeter_web.looks import FRESH


@dataclass(frozen=True)
class Seen:
    """What there is to say of a return path: its records, and what is wrong (empty: nothing, or ``unknown``)."""

    records: tuple[DnsRecord, ...]
    problem: str
    unknown: str


def offered() -> bool:
    """Whether this relay reads bounces at all."""
    return bool(panel().settings.smtp.reports)


def see(facts: DomainFacts, fresh: float = FRESH) -> Seen | None:
    """Look at a domain's return path; None when it has none of its own."""
    settings, name = panel().settings, facts.return_path
    if not name or not offered():
        return None
    own = settings.smtp.return_path
    names = (name, own) if own else (name,)
    heard = panel().looks.look(settings.delivery.resolver, names, now(), "MX", fresh)
    unknown = next((heard.unknown[one] for one in names if one in heard.unknown), "")
    ours = returning.exchanges(settings.hostname, heard.records.get(own, ()))
    problem = "" if unknown else returning.fault_in(name, heard.records.get(name, ()), ours)
    return Seen(returning.records(name, settings.hostname, own), problem, unknown)


def record(db: Session, facts: DomainFacts, seen: Seen | None) -> None:
    """Keep what was seen; a record that is gone is forgiven for as long as by the relay's own looks."""
    if seen is not None and not seen.unknown:
        returning.record_sights(db, [Sight(facts.account_id, facts.name, facts.return_path, seen.problem, now())])
