"""Where bounces come back to: a name below the customer's sending domain once its records lead here, or the relay's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from postmeter.config import Settings
from postmeter.errors import UsageError
from postmeter.message.return_path import ReturnDomain, ReturnPaths
from postmeter.store.domain_checks import SOON
from postmeter.store.domains import DnsRecord, clean_domain
from postmeter.store.secrets import Secrets
from postmeter.store.tables import SendingDomain

DAY = 86_400.0
LONGEST = 5 * DAY  # that a message may be under way, whatever the setting says
PATIENCE = DAY  # that a record may be gone until bounces go to the relay's own domain again

_OF = select(SendingDomain.return_path).where(
    SendingDomain.account_id == bindparam("account"),
    SendingDomain.name == bindparam("name"),
    SendingDomain.return_path_verified_at.is_not(None),
)


def return_paths(settings: Settings, secrets: Secrets) -> ReturnPaths:
    """Writes and reads return paths, in the same way at every start and on every machine of the relay."""
    lifetime = max(settings.delivery.lifetime_days * DAY, LONGEST)
    return ReturnPaths(secrets.derive("return path"), lifetime)


def domains(settings: Settings, secrets: Secrets) -> ReturnDomains | None:
    """The return domains of mail; None while nobody listens for reports: bounces are the senders' own then."""
    if not settings.smtp.reports:
        return None
    return ReturnDomains(return_paths(settings, secrets), settings.smtp.return_path)


@dataclass(frozen=True, slots=True)
class ReturnDomains:
    """Finds the domain of a sending domain's return path; ``own`` is the relay's (empty: it has none)."""

    paths: ReturnPaths
    own: str

    def of(self, session: Session, account_id: int, name: str) -> ReturnDomain | None:
        """The customer's own if its records are there, or else the relay's."""
        found = session.scalar(_OF, {"account": account_id, "name": name}) or self.own.lower()
        return ReturnDomain(self.paths, found) if found else None


def is_in_use(session: Session, name: str) -> bool:
    """Whether bounces of some customer come back to this domain."""
    query = select(SendingDomain.name).where(
        SendingDomain.return_path == name,
        SendingDomain.return_path != "",  # for the index
        SendingDomain.return_path_verified_at.is_not(None),
    )
    return session.scalar(query.limit(1)) is not None


# A customer's own domain for bounces


@dataclass(frozen=True, slots=True)
class Sight:
    """A look ``at`` that time at a sending domain's return path; ``problem`` empty: it leads here."""

    account_id: int
    domain: str
    return_path: str
    problem: str
    at: float


def wanted(session: Session, account_id: int, domain: str) -> str:
    """The return path that a sending domain is to have; empty: none of its own."""
    row = session.get(SendingDomain, (account_id, domain))
    return row.return_path if row else ""


def set_return_path(session: Session, account_id: int, domain: str, text: str, now: float) -> str:
    """Have bounces of a domain's mail come back to a name below it (empty: to the relay's); the name as it is kept.

    It is in use once its records are found, for which the relay looks soon. UsageError when the name cannot be used.
    """
    row = session.get(SendingDomain, (account_id, domain), with_for_update=True)
    if row is None:
        raise UsageError(f"the account has no domain {domain}")
    name = clean_domain(text) if text.strip() else ""
    if name and not name.endswith(f".{domain}"):
        raise UsageError(f"the return path must be a name below {domain}, such as bounce.{domain}")
    if name != row.return_path:
        row.return_path, row.return_path_verified_at, row.return_path_failing_since = name, None, None
        if name and row.verified_at is not None:
            row.next_check_at = min(row.next_check_at or now + SOON, now + SOON)
    session.flush()
    return name


def records(name: str, hostname: str, own: str) -> tuple[DnsRecord, ...]:
    """What to publish for a return path: that bounces come to this relay, and that it may send (SPF)."""
    if own:
        return (DnsRecord(name, "CNAME", f"{own}.", required=True),)
    return (
        DnsRecord(name, "MX", f"10 {hostname}.", required=True),
        DnsRecord(name, "TXT", f"v=spf1 a:{hostname} -all", required=False),
    )


def exchanges(hostname: str, own: Iterable[str]) -> frozenset[str]:
    """The mail servers that are ours: this one, and those of the relay's return path, given its MX records."""
    return frozenset([hostname.lower(), *_hosts(own)])


def fault_in(name: str, found: Iterable[str], ours: frozenset[str]) -> str:
    """What keeps bounces to ``name`` from coming here, given its MX records (``10 mx.example.``); empty: nothing."""
    hosts = _hosts(found)
    if not hosts:
        return f"{name}: There is no MX record."
    if not ours & set(hosts):
        return f"{name}: The MX record leads to {hosts[0] or 'nobody'}, not to this relay."
    return ""


def _hosts(records: Iterable[str]) -> list[str]:
    return [text.split()[-1].rstrip(".").lower() for text in records if text.strip()]


def record_sights(session: Session, sights: Sequence[Sight]) -> list[bool]:
    """Keep what looks have found; whether each return path is in use.

    One that was in use stays so until its records have been missing for ``PATIENCE``.
    """
    return [_record(session, sight) for sight in sights]


def _record(session: Session, sight: Sight) -> bool:
    row = session.get(SendingDomain, (sight.account_id, sight.domain), with_for_update=True)
    if row is None or row.return_path != sight.return_path:
        return False
    if not sight.problem:
        row.return_path_verified_at = row.return_path_verified_at or sight.at
        row.return_path_failing_since = None
    elif row.return_path_verified_at is not None:
        row.return_path_failing_since = row.return_path_failing_since or sight.at
        if sight.at - row.return_path_failing_since >= PATIENCE:
            row.return_path_verified_at = row.return_path_failing_since = None
    session.flush()
    return row.return_path_verified_at is not None
