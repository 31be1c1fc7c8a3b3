"""Sending domains, their DKIM keys and what must be published in the DNS for them."""

from __future__ import annotations

import secrets as random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from postmeter.errors import UsageError
from postmeter.message import signature
from postmeter.message.editing import list_help_value
from postmeter.message.originator import a_labels
from postmeter.store import domain_checks
from postmeter.store.rows import add_unique
from postmeter.store.secrets import Secrets
from postmeter.store.tables import Account, Connection, ConnectionDomain, SendingDomain, SigningKey

_SELECTOR_CHARACTERS = "abcdefghijkmnpqrstuvwxyz23456789"  # none that look alike


@dataclass(frozen=True)
class DnsRecord:
    """A record to publish; one that is not ``required`` is advice."""

    name: str
    type: str
    value: str
    required: bool


@dataclass(frozen=True)
class NewKey:
    """A DKIM key before it is stored. Make it outside of a transaction: that takes 0.1 s and more."""

    algorithm: str
    selector: str
    pem: bytes = field(repr=False)
    dns_value: str

    @classmethod
    def generate(cls, algorithm: str = signature.RSA) -> NewKey:
        """A new key under a selector that nobody has yet and that no other account can guess."""
        selector = "pm" + "".join(random.choice(_SELECTOR_CHARACTERS) for _ in range(8))
        return cls.of(algorithm, selector, signature.generate(algorithm))

    @classmethod
    def of(cls, algorithm: str, selector: str, pem: bytes) -> NewKey:
        """A key that is there already; UsageError when it cannot be used."""
        try:
            key = signature.SigningKey.load("example", selector, algorithm, pem)
        except ValueError as error:
            raise UsageError(str(error)) from None
        return cls(algorithm, selector, pem, key.dns_value())


@dataclass(frozen=True)
class DomainKeys:
    """The keys of a sending domain: those that sign, and new ones that wait until their records are published."""

    active: tuple[signature.SigningKey, ...]
    waiting: tuple[signature.SigningKey, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Where their records are looked for."""
        return tuple(key.dns_name for key in (*self.active, *self.waiting))


@dataclass(frozen=True)
class Verdict:
    """What a look at the DNS comes to: ``ready`` are the selectors of waiting keys that can take over.

    ``problems`` keep the domain from being verified once they have; nothing: it is verified.
    """

    problems: tuple[str, ...]
    ready: tuple[str, ...]


@dataclass(frozen=True)
class DomainFacts:
    """A sending domain of an account; ``records`` are those of its active keys, and advice.

    ``problem`` says what the last look at the DNS (at ``checked_at``) found missing, and ``failing_since`` since when.
    """

    account_id: int
    account: str
    name: str
    list_help: str
    trusted: bool
    verified: bool
    problem: str
    checked_at: float | None
    failing_since: float | None
    records: tuple[DnsRecord, ...]
    return_path: str = ""  # empty: bounces come back to the relay's own domain
    returns: bool = False  # to the return path, whose records are there


@dataclass(frozen=True)
class AddedDomain:
    """A sending domain and the records to publish for it."""

    name: str
    verified: bool
    records: tuple[DnsRecord, ...]


def add_domain(
    session: Session,
    secrets: Secrets,
    account: Account,
    name: str,
    list_help: str,
    trust: bool,
    keys: Sequence[NewKey],
    now: float,
) -> AddedDomain:
    """Add a From domain, or change the List-Help and trust of one that is there; UsageError when it cannot be one.

    Of ``keys`` those are kept whose algorithm the account has no key for in this domain; where others sign already,
    they wait for their records. ``trust`` marks the domain verified without a look at the DNS; it is never taken away
    here.
    """
    name = clean_domain(name)
    domain = session.get(SendingDomain, (account.id, name))
    if domain is None:
        domain = SendingDomain(account_id=account.id, name=name, list_help="", created_at=now)
        session.add(domain)
    domain.list_help = _list_help(list_help)
    active, waiting = _rows(session, account.id, name), _waiting(session, account.id, name)
    waits = domain.verified_at is not None and bool(active)
    if trust:
        domain.trusted, domain.verified_at, domain.problem = True, now, ""
        domain_checks.settle(session, domain, None, now)
    present = {key.algorithm for key in (*active, *waiting)}
    for key in keys:
        if key.algorithm not in present:
            add_key(session, secrets, account.id, name, key, now, active=not waits)
    if waits:
        domain_checks.look_for_new_key(session, domain, now)
    session.flush()
    new = map(dkim_record, _waiting(session, account.id, name))
    return AddedDomain(name, domain.verified_at is not None, (*new, *_records(session, account.id, name)))


def add_operator_key(session: Session, secrets: Secrets, domain: str, key: NewKey, now: float) -> DnsRecord:
    """Add a key of the operator, which signs every message in addition; the record to publish."""
    return dkim_record(add_key(session, secrets, None, clean_domain(domain), key, now))


def domains_of(session: Session, account_id: int | None, name: str | None = None) -> list[DomainFacts]:
    """The sending domains of an account (None: of all), or those of this name, by name."""
    query = (
        select(SendingDomain, Account.name)
        .join(Account, Account.id == SendingDomain.account_id)
        .order_by(SendingDomain.name, Account.name)
    )
    if account_id is not None:
        query = query.where(SendingDomain.account_id == account_id)
    if name is not None:
        query = query.where(SendingDomain.name == clean_domain(name))
    return [_facts(session, domain, account) for domain, account in session.execute(query).all()]


def domain_of(session: Session, account_id: int, name: str) -> DomainFacts | None:
    """The account's sending domain of exactly this name."""
    row = session.get(SendingDomain, (account_id, name))
    return _facts(session, row, session.get_one(Account, account_id).name) if row else None


def users_of(session: Session, account_id: int) -> dict[str, tuple[str, ...]]:
    """By sending domain: the names of the account's connections that send from it."""
    rows = session.execute(
        select(ConnectionDomain.domain, Connection.name)
        .join(Connection, Connection.id == ConnectionDomain.connection_id)
        .where(ConnectionDomain.account_id == account_id, Connection.retired_at.is_(None))
        .order_by(Connection.name)
    ).all()
    return {domain: tuple(name for other, name in rows if other == domain) for domain, _ in rows}


def set_list_help(session: Session, account_id: int, name: str, list_help: str) -> None:
    """Give a sending domain another List-Help; UsageError when that is none."""
    session.get_one(SendingDomain, (account_id, name)).list_help = _list_help(list_help)
    session.flush()


def remove_domain(session: Session, account_id: int, name: str) -> None:
    """Take a sending domain away; UsageError when a connection uses it.

    Its active keys stay: mail under way is signed by them, and who adds the domain again has published them already.
    """
    row = session.get_one(SendingDomain, (account_id, name), with_for_update=True)
    if users := users_of(session, account_id).get(name):
        raise UsageError(f"the domain {name} is used by: {', '.join(users)}; take it out of them first")
    session.execute(
        delete(ConnectionDomain).where(ConnectionDomain.account_id == account_id, ConnectionDomain.domain == name)
    )
    session.execute(delete(SigningKey).where(*domain_checks.waiting(account_id, name)))
    session.delete(row)
    session.flush()


def keys_for(session: Session, secrets: Secrets, account_id: int, domain: str) -> tuple[signature.SigningKey, ...]:
    """The keys that sign mail of this sending domain: the account's active ones, then the operator's own.

    Unseals and parses the keys (about a millisecond each): keep the result.
    """
    own = account_keys(session, secrets, account_id, domain)
    rows = session.scalars(
        select(SigningKey).where(SigningKey.account_id.is_(None), SigningKey.active).order_by(SigningKey.id)
    )
    return (*own, *(_load(secrets, row) for row in rows))


def account_keys(session: Session, secrets: Secrets, account_id: int, domain: str) -> tuple[signature.SigningKey, ...]:
    """The account's own active keys for a sending domain."""
    return tuple(_load(secrets, row) for row in _rows(session, account_id, domain))


def domain_keys(session: Session, secrets: Secrets, account_id: int, domain: str) -> DomainKeys:
    """The account's own keys for a sending domain, also those that wait."""
    rows = _waiting(session, account_id, domain)
    return DomainKeys(account_keys(session, secrets, account_id, domain), tuple(_load(secrets, row) for row in rows))


def examine(keys: DomainKeys, found: Mapping[str, Sequence[str]]) -> Verdict:
    """What the TXT texts found under each name mean for a domain whose new keys take over as soon as they can."""
    ready = tuple(key for key in keys.waiting if not judge([key], found))
    algorithms = {key.algorithm for key in ready}
    active = (*(key for key in keys.active if key.algorithm not in algorithms), *ready)
    return Verdict(tuple(judge(active, found)), tuple(key.selector for key in ready))


def judge(keys: Sequence[signature.SigningKey], found: Mapping[str, Sequence[str]]) -> list[str]:
    """What keeps a domain from being verified, given the TXT texts found under each name; nothing: it is verified."""
    if not keys:
        return ["There is no DKIM key for this domain."]
    problems: list[str] = []
    for key in keys:
        texts = found.get(key.dns_name, ())
        faults = [key.fault_in(text) for text in texts]
        if not texts:
            problems.append(f"{key.dns_name}: There is no TXT record.")
        elif len(texts) > 1:  # RFC 6376, 3.6.2.2: the result is undefined
            problems.append(f"{key.dns_name}: There are {len(texts)} TXT records; only one is allowed.")
        elif faults[0]:
            problems.append(f"{key.dns_name}: {faults[0]}")
    return problems


def clean_domain(name: str) -> str:
    """The domain in lower case and A-labels (RFC 5890); UsageError when it is not a full domain name."""
    text = name.strip().rstrip(".")
    try:
        domain = a_labels(text)
    except ValueError:
        domain = ""
    if "." not in domain or len(domain) > 253:
        raise UsageError(f"{name!r} is not a domain name such as shop.example")
    return domain


def _list_help(text: str) -> str:
    try:
        return list_help_value(text.strip())
    except ValueError as error:
        raise UsageError(str(error)) from None


def add_key(
    session: Session,
    secrets: Secrets,
    account_id: int | None,
    domain: str,
    key: NewKey,
    now: float,
    *,
    active: bool = True,
) -> SigningKey:
    """Store a key of an account or (None) of the operator; one that is not ``active`` waits for its record."""
    row = SigningKey(
        account_id=account_id,
        domain=domain,
        selector=key.selector,
        algorithm=key.algorithm,
        private_key=secrets.seal(key.pem),
        dns_value=key.dns_value,
        active=active,
        activated_at=now if active else None,
        created_at=now,
    )
    add_unique(session, row, f"there is a key with the selector {key.selector} for {domain} already")
    return row


def _rows(session: Session, account_id: int, domain: str) -> list[SigningKey]:
    return list(
        session.scalars(
            select(SigningKey)
            .where(SigningKey.account_id == account_id, SigningKey.domain == domain, SigningKey.active)
            .order_by(SigningKey.id)
        )
    )


def _waiting(session: Session, account_id: int, domain: str) -> list[SigningKey]:
    query = select(SigningKey).where(*domain_checks.waiting(account_id, domain))
    return list(session.scalars(query.order_by(SigningKey.id)))


def _load(secrets: Secrets, row: SigningKey) -> signature.SigningKey:
    return signature.SigningKey.load(
        row.domain, row.selector, row.algorithm, secrets.unseal(row.private_key), proven=True
    )


def _records(session: Session, account_id: int, name: str) -> tuple[DnsRecord, ...]:
    keys = tuple(dkim_record(row) for row in _rows(session, account_id, name))
    return (*keys, DnsRecord(f"_dmarc.{name}", "TXT", "v=DMARC1; p=none", required=False))


def dkim_record(row: SigningKey) -> DnsRecord:
    """The record that publishes a key."""
    return DnsRecord(f"{row.selector}._domainkey.{row.domain}", "TXT", row.dns_value, required=True)


def _facts(session: Session, domain: SendingDomain, account: str) -> DomainFacts:
    return DomainFacts(
        account_id=domain.account_id,
        account=account,
        name=domain.name,
        list_help=domain.list_help,
        trusted=domain.trusted,
        verified=domain.verified_at is not None,
        problem=domain.problem,
        checked_at=domain.checked_at,
        failing_since=domain.failing_since,
        records=_records(session, domain.account_id, domain.name),
        return_path=domain.return_path,
        returns=domain.return_path_verified_at is not None,
    )
