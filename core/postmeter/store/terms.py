"""What is agreed with an account: whether it may send at all, overdraw and how far, and when it is told."""

from __future__ import annotations

from typing import TypedDict, Unpack

from sqlalchemy.orm import Session

from postmeter.errors import UsageError
from postmeter.quota.block import MOST_MAILS
from postmeter.store import events, renewal, standing
from postmeter.store.connections import told_reason

POLICIES = ("agreement", "always", "never")


class Terms(TypedDict, total=False):
    """``threshold``: a notice is given when fewer mails are left; 0: none.

    ``overdraft_policy`` is one of POLICIES and ``overdraft_cap`` a number of mails (0: any); empty and None: as the
    settings say. ``pool``: the source addresses that its mail leaves from; empty: the default ones.
    """

    agreement: bool
    threshold: int
    overdraft_policy: str
    overdraft_cap: int | None
    pool: str


def set_terms(session: Session, account_id: int, now: float, **changes: Unpack[Terms]) -> None:
    """Agree on other terms, and leave those alone that are not named; UsageError when they cannot be.

    A new threshold is told when the quota falls below it from now on, not when it is below already.
    """
    policy = changes.get("overdraft_policy")
    if policy and policy not in POLICIES:
        raise UsageError(f"there is no overdraft policy {policy!r}; there are: {', '.join(POLICIES)}")
    numbers = (changes.get("threshold"), changes.get("overdraft_cap"))
    if not all(0 <= (number or 0) <= MOST_MAILS for number in numbers):
        raise UsageError(f"a number of mails is between 0 and {MOST_MAILS:,}")
    before = renewal.catch_up(session, account_id, now, standing.lock(session, account_id))
    if changes:
        standing.change(session, account_id, **changes)
    threshold = changes.get("threshold", before.threshold)
    if threshold != before.threshold:
        standing.change(session, account_id, low_armed=renewal.left_of(session, account_id) >= threshold)


def block(session: Session, account_id: int, reason: str, now: float) -> None:
    """Refuse log-ins and messages of all connections of the account; the reason is told to who sends.

    What waits still leaves: the queue can be held as well. UsageError when the reason is no plain sentence.
    """
    told = told_reason(reason)
    _set_blocked(session, account_id, told, "account_blocked", told, now)


def unblock(session: Session, account_id: int, now: float) -> None:
    """Take the account's mail again."""
    before = standing.lock(session, account_id).blocked
    if before:
        _set_blocked(session, account_id, "", "account_unblocked", before, now)


def _set_blocked(session: Session, account_id: int, blocked: str, kind: str, reason: str, now: float) -> None:
    standing.lock(session, account_id)
    standing.change(session, account_id, blocked=blocked)
    events.record(session, [events.about_account(account_id, kind, now, {"reason": reason})])
