"""What failures for good lead to: addresses that are not tried for a while, and owners who hear of refused domains."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, delete, func, select, text
from sqlalchemy.orm import Session

from postmeter.message.bounce import CLASSES, Classification
from postmeter.store import events, suppressions
from postmeter.store.base import table
from postmeter.store.recipient_tables import DomainRefusal, Strike
from postmeter.store.rows import delete_some
from postmeter.store.statement import Statement
from postmeter.store.suppressions import BOUNCE, EVERY_ACCOUNT, Suppression

DAY = 86_400
STRIKES_KEPT = max(meaning.within for meaning in CLASSES.values())  # seconds

_STRIKE = Statement(
    text(
        "INSERT INTO strike (account_id, address, message_id, at) VALUES (:account, :address, :message, :at) "
        "ON CONFLICT (account_id, address, message_id) DO NOTHING"
    )
)
_of_address = (Strike.account_id == bindparam("account"), Strike.address == bindparam("address"))
_STRIKES = Statement(select(func.count()).select_from(Strike).where(*_of_address, Strike.at > bindparam("since")))
_FORGIVE = Statement(delete(table(Strike)).where(*_of_address))
_REFUSED = Statement(
    text(
        "INSERT INTO domain_refusal (account_id, domain, provider, day) VALUES (:account, :domain, :provider, :day) "
        "ON CONFLICT (account_id, domain, provider, day) DO NOTHING"
    )
)


@dataclass(frozen=True, slots=True)
class Failed:
    """A recipient's mail that has failed for good at ``at``: the address, and what the other side has said."""

    account_id: int
    address: str
    failure: Classification
    reply: str
    message_id: str
    at: float


@dataclass(frozen=True, slots=True)
class Refusal:
    """Mail of a sending domain that a provider does not believe to be the domain's (policy.auth)."""

    account_id: int
    domain: str
    provider: str
    reply: str
    message_id: str
    at: float


def suppress_for_failures(session: Session, failed: Iterable[Failed]) -> int:
    """Suppress the addresses whose failure for good is their own fault, each for its account; how many were.

    Not those that are suppressed already, for whatever reason, and none for the relay's own mail. In the order of
    their keys, so that nobody deadlocks.
    """
    concerned = [(_suppression(one), one.failure) for one in failed if _may_be(one)]
    concerned.sort(key=lambda pair: (pair[0].account_id, pair[0].address))
    return suppressions.suppress_new(session, [made for made, failure in concerned if _enough(session, made, failure)])


def tell_of_refusals(session: Session, refusals: Iterable[Refusal]) -> int:
    """Tell an account once a day that a provider does not believe in one of its domains; how often that was."""
    told: dict[tuple[int, str, str], Refusal] = {}
    for one in refusals:
        if one.account_id != EVERY_ACCOUNT:
            told.setdefault((one.account_id, one.domain, one.provider), one)
    new = [told[key] for key in sorted(told) if _REFUSED.run(session, [_refused(told[key])]) == 1]
    if new:
        events.record(session, [_event(one) for one in new])
    return len(new)


def forget(session: Session, now: float) -> int:
    """Delete what is remembered no longer, some at a time; how many."""
    return delete_some(session, Strike, Strike.at <= now - STRIKES_KEPT) + delete_some(
        session, DomainRefusal, DomainRefusal.day <= int(now) - 2 * DAY
    )


def _may_be(one: Failed) -> bool:
    return one.failure.suppress_for is not None and one.account_id != EVERY_ACCOUNT and "@" in one.address


def _suppression(one: Failed) -> Suppression:
    return Suppression(
        one.account_id,
        suppressions.comparable(one.address),
        BOUNCE,
        suppressions.clean_detail(one.reply),
        one.message_id,
        one.at,
        one.at + (one.failure.suppress_for or 0.0),
    )


def _enough(session: Session, made: Suppression, failure: Classification) -> bool:
    """Whether an address that must fail several times has done so; then it begins anew."""
    if failure.times == 1:
        return True
    key = {"account": made.account_id, "address": made.address}
    _STRIKE.run(session, [{**key, "message": made.message_id, "at": made.created_at}])
    [(count,)] = _STRIKES.fetch(session, {**key, "since": made.created_at - failure.within})
    if count < failure.times:
        return False
    _FORGIVE.run(session, [key])
    return True


def _refused(one: Refusal) -> dict[str, Any]:
    day = int(one.at) // DAY * DAY
    return {"account": one.account_id, "domain": one.domain, "provider": one.provider, "day": day}


def _event(one: Refusal) -> dict[str, Any]:
    facts = {"domain": one.domain, "provider": one.provider, "reply": one.reply, "message": one.message_id}
    return events.about_account(one.account_id, "domain_refused", one.at, facts)
