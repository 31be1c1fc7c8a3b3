"""New DKIM keys in the place of old ones: they wait for their records, then sign; the old records stay for a while."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from postmeter.errors import UsageError
from postmeter.message.signature import SigningKey as Key
from postmeter.store.domain_checks import look_for_new_key, take_over, waiting
from postmeter.store.domains import DnsRecord, NewKey, add_key, dkim_record, judge
from postmeter.store.secrets import Secrets
from postmeter.store.tables import SendingDomain, SigningKey

STAYS = 7 * 86_400.0  # seconds that a record is still needed: receivers may look at a mail days after it was sent
FORGOTTEN = 90 * 86_400.0  # seconds until a retired key is shown no more

State = Literal["waiting", "active", "retired"]


@dataclass(frozen=True)
class KeyFacts:
    """A DKIM key as shown to people, with the record that publishes it; times in seconds since the epoch.

    The record of a retired key may be removed from the DNS at ``removable_at``.
    """

    domain: str
    selector: str
    algorithm: str
    state: State
    record: DnsRecord
    created_at: float
    activated_at: float | None
    removable_at: float | None


def keys_of(session: Session, account_id: int | None, name: str | None = None) -> list[KeyFacts]:
    """The keys of an account or (None) of the operator, of one domain or of all: active, waiting, then retired ones."""
    owner = SigningKey.account_id.is_(None) if account_id is None else SigningKey.account_id == account_id
    query = select(SigningKey).where(owner)
    if name is not None:
        query = query.where(SigningKey.domain == name)
    rows = session.scalars(query.order_by(SigningKey.active.desc(), SigningKey.id.desc()))
    return sorted(map(_facts, rows), key=lambda key: (key.domain, key.state == "retired"))


def rotate(session: Session, secrets: Secrets, account_id: int | None, name: str, key: NewKey, now: float) -> DnsRecord:
    """Have a new key of an account or (None) of the operator wait for its record, which is to be published.

    It takes the place of the active one of its algorithm, if there is one. UsageError when one waits already, or
    nothing is signed for the domain yet.
    """
    domain = _may_rotate(session, account_id, name)
    rows = session.scalars(select(SigningKey).where(*waiting(account_id, name))).all()
    if any(row.algorithm == key.algorithm for row in rows):
        raise UsageError(f"a new key of {name} waits for its record already; publish that, or cancel the key")
    session.execute(delete(SigningKey).where(SigningKey.retired_at < now - FORGOTTEN))
    record = dkim_record(add_key(session, secrets, account_id, name, key, now, active=False))
    if domain is not None:
        look_for_new_key(session, domain, now)
    session.flush()
    return record


def _may_rotate(session: Session, account_id: int | None, name: str) -> SendingDomain | None:
    """The account's domain, if it is one's; of two who want a new key at once the second waits here for the first."""
    if account_id is None:
        owner, of_domain, *_ = waiting(None, name)
        active = select(SigningKey.id).where(owner, of_domain, SigningKey.active).order_by(SigningKey.id)
        if not session.scalars(active.with_for_update()).all():
            raise UsageError(f"there is no key of the operator's for {name}; make one with `postmeter key add`")
        return None
    domain = session.get_one(SendingDomain, (account_id, name), with_for_update=True)
    if domain.verified_at is None:
        raise UsageError(f"the domain {name} is not verified; publish the records that it has")
    return domain


def cancel(session: Session, account_id: int | None, name: str, selector: str) -> None:
    """Forget a key that waits; UsageError when it does not (any more)."""
    gone = delete(SigningKey).where(*waiting(account_id, name), SigningKey.selector == selector)
    if not session.execute(gone.returning(SigningKey.id)).all():
        raise UsageError(f"no key {selector} of {name} waits for its record (any more)")


def operator_waiting(session: Session, secrets: Secrets) -> list[Key]:
    """The operator's own keys that wait."""
    query = select(SigningKey).where(
        SigningKey.account_id.is_(None), SigningKey.active.is_(False), SigningKey.retired_at.is_(None)
    )
    return [
        Key.load(row.domain, row.selector, row.algorithm, secrets.unseal(row.private_key), proven=True)
        for row in session.scalars(query.order_by(SigningKey.id))
    ]


def take_over_if_published(session: Session, key: Key, texts: list[str], now: float) -> bool:
    """Let a waiting key of the operator's sign when these TXT texts publish it; whether it does."""
    return not judge([key], {key.dns_name: texts}) and take_over(session, None, key.domain, [key.selector], now)


def _facts(row: SigningKey) -> KeyFacts:
    state: State = "active" if row.active else "waiting" if row.retired_at is None else "retired"
    return KeyFacts(
        domain=row.domain,
        selector=row.selector,
        algorithm=row.algorithm,
        state=state,
        record=dkim_record(row),
        created_at=row.created_at,
        activated_at=row.activated_at,
        removable_at=None if row.retired_at is None else row.retired_at + STAYS,
    )
