"""What looks at the DNS mean for domains and new keys: a person's counts at once, the relay's own are patient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from postmeter.store import events
from postmeter.store.tables import SendingDomain, SigningKey

EVERY = 86_400.0  # seconds until a domain whose records are there is looked up again
AGAIN = 3_600.0  # until one is whose records are gone, or about which the DNS gives no answer
ENOUGH = 3  # failed looks in a row …
SOON = 300.0  # seconds until a domain with a new key is looked up again, at first; later after a tenth of the key's age
LONG = 86_400.0  # … over so many seconds lead to a warning, and to an end so many seconds after that
MOST = 8  # domains looked up at a time


@dataclass(frozen=True, slots=True)
class Look:
    """What was found wrong with a domain's records ``at`` that time (nothing: they are as they should be).

    ``ready`` are the selectors of waiting keys whose records are there; ``problems`` are those once they are active.
    """

    account_id: int
    name: str
    problems: tuple[str, ...]
    at: float
    ready: tuple[str, ...] = ()


def any_due(session: Session, now: float) -> bool:
    """Whether a domain waits for its look."""
    due = select(SendingDomain.name).where(SendingDomain.next_check_at <= now).limit(1)
    return session.scalar(due) is not None


def claim(session: Session, times: Sequence[float]) -> list[list[tuple[int, str]]]:
    """For each time: some domains (account, name) that are due, longest first; nobody else gets them for now.

    Of those that nothing is recorded about (the DNS gave no answer, the worker ended) it is tried ``AGAIN`` later.
    """
    return [_claim(session, now) for now in times]


def _claim(session: Session, now: float) -> list[tuple[int, str]]:
    due = select(SendingDomain).where(SendingDomain.next_check_at <= now).order_by(SendingDomain.next_check_at)
    rows = session.scalars(due.limit(MOST).with_for_update(skip_locked=True)).all()
    for row in rows:
        row.next_check_at = now + AGAIN
    session.flush()
    return [(row.account_id, row.name) for row in rows]


def record_looks(session: Session, looks: Sequence[Look]) -> list[bool]:
    """Keep what the relay itself found; whether mail is taken for each domain.

    One whose records are gone is given a warning after ``ENOUGH`` looks over ``LONG``, and is off ``LONG`` later.
    What was recorded before, or is older than what is known, changes nothing.
    """
    return [_record(session, look) for look in looks]


def record_check(
    session: Session, account_id: int, name: str, problems: Sequence[str], now: float, ready: Sequence[str] = ()
) -> bool:
    """Keep what a person's look found and give whether mail is taken for the domain; a trusted one stays verified.

    Waiting keys whose selectors are ``ready`` take over, see ``Look``.
    """
    domain = session.get_one(SendingDomain, (account_id, name), with_for_update=True)
    if not take_over(session, account_id, name, ready, now):
        return domain.verified_at is not None
    _keep(session, domain, problems, now)
    if problems and domain.verified_at is not None and not domain.trusted:
        _end(session, domain, problems, now)
    session.flush()
    return domain.verified_at is not None


def _record(session: Session, look: Look) -> bool:
    domain = session.get(SendingDomain, (look.account_id, look.name), with_for_update=True)
    if domain is None:
        return False
    known = (domain.checked_at or 0.0) >= look.at
    if known or not take_over(session, look.account_id, look.name, look.ready, look.at):
        return domain.verified_at is not None
    _keep(session, domain, look.problems, look.at)
    if look.problems and domain.verified_at is not None and not domain.trusted:
        _judge(session, domain, look.problems, look.at)
    session.flush()
    return domain.verified_at is not None


def _keep(session: Session, domain: SendingDomain, problems: Sequence[str], now: float) -> None:
    domain.checked_at, domain.problem = now, " ".join(problems)
    if domain.trusted:
        look_next(session, domain, None, now)
        return
    if problems:
        domain.failures += 1
        domain.failing_since = domain.failing_since or now
        known = domain.verified_at is not None or domain.next_check_at is not None
        look_next(session, domain, AGAIN if known else None, now)  # who was never verified looks for himself
        return
    if domain.verified_at is None:
        domain.verified_at = now
        _tell(session, domain, "domain_verified", (), now)
    settle(session, domain, EVERY, now)


def settle(session: Session, domain: SendingDomain, seconds: float | None, now: float) -> None:
    """Nothing is wrong with a domain (any more); ``seconds`` until it is looked up again as a rule (None: never)."""
    domain.failures, domain.failing_since, domain.warned_at = 0, None, None
    look_next(session, domain, seconds, now)


def look_next(session: Session, domain: SendingDomain, seconds: float | None, now: float) -> None:
    """Have a domain looked up after so many seconds (None: never).

    Or before, while a key waits for its record, or because of its return path.
    """
    if domain.return_path and domain.verified_at is not None:
        there = domain.return_path_verified_at is not None and domain.return_path_failing_since is None
        seconds = min(EVERY if seconds is None else seconds, EVERY if there else AGAIN)
    newest = session.scalar(select(func.max(SigningKey.created_at)).where(*waiting(domain.account_id, domain.name)))
    if newest is not None:
        soon = min(max((now - newest) / 10, SOON), EVERY)
        seconds = soon if seconds is None else min(seconds, soon)
    domain.next_check_at = None if seconds is None else now + seconds


def look_for_new_key(session: Session, domain: SendingDomain, now: float) -> None:
    """A key of the domain waits from now on: have its record looked for soon."""
    left = None if domain.next_check_at is None else domain.next_check_at - now
    look_next(session, domain, left, now)


def waiting(account_id: int | None, name: str) -> tuple[ColumnElement[bool], ...]:
    """Says which keys wait for their record: a domain's, of an account or (None) of the operator."""
    owner = SigningKey.account_id.is_(None) if account_id is None else SigningKey.account_id == account_id
    return owner, SigningKey.domain == name, SigningKey.active.is_(False), SigningKey.retired_at.is_(None)


def take_over(session: Session, account_id: int | None, name: str, selectors: Sequence[str], now: float) -> bool:
    """Let waiting keys sign from now on instead of those of their kind, whose private halves are forgotten.

    Nothing happens, and False, when one of them is not to be had any more: who looked did not know of that.
    """
    owner, of_domain, *_ = waiting(account_id, name)
    keys = session.scalars(
        select(SigningKey).where(owner, of_domain, SigningKey.retired_at.is_(None)).with_for_update()
    ).all()
    if set(selectors) - {key.selector for key in keys}:
        return False
    for new in keys:
        if new.selector in selectors and not new.active:
            for old in keys:
                if old.active and old.algorithm == new.algorithm:
                    old.active, old.retired_at, old.private_key = False, now, b""
            new.active, new.activated_at = True, now
    session.flush()
    return True


def _judge(session: Session, domain: SendingDomain, problems: Sequence[str], now: float) -> None:
    if domain.warned_at is not None:
        if now - domain.warned_at >= LONG:
            _end(session, domain, problems, now)
    elif domain.failures >= ENOUGH and now - (domain.failing_since or now) >= LONG:
        domain.warned_at = now
        _tell(session, domain, "domain_broken", problems, now, warning=True, off_at=now + LONG)


def _end(session: Session, domain: SendingDomain, problems: Sequence[str], now: float) -> None:
    domain.verified_at = None
    _tell(session, domain, "domain_broken", problems, now)


def _tell(
    session: Session, domain: SendingDomain, kind: str, problems: Sequence[str], now: float, **more: object
) -> None:
    facts = {"domain": domain.name, "problems": list(problems), **more}
    events.record(session, [events.about_account(domain.account_id, kind, now, facts)])
