"""What is agreed with an account: whether it may overdraw and how far, and below which number of mails it is told."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from sqlalchemy.orm import Session

from postmeter.errors import UsageError
from postmeter.store import renewal, standing
from postmeter.store.tables import Account

POLICIES = ("agreement", "always", "never")


@dataclass(frozen=True)
class Terms:
    """``threshold``: a notice is given when fewer mails are left; 0: none.

    ``overdraft_policy`` is one of POLICIES and ``overdraft_cap`` a number of mails (0: any); empty and None: as the
    settings say.
    """

    agreement: bool
    threshold: int
    overdraft_policy: str
    overdraft_cap: int | None


def terms_of(account: Account) -> Terms:
    """What is agreed with an account."""
    return Terms(account.agreement, account.threshold, account.overdraft_policy, account.overdraft_cap)


def set_terms(session: Session, account_id: int, terms: Terms, now: float) -> None:
    """Agree on other terms; UsageError when they cannot be.

    A new threshold is told when the quota falls below it from now on, not when it is below already.
    """
    if terms.overdraft_policy and terms.overdraft_policy not in POLICIES:
        raise UsageError(f"there is no overdraft policy {terms.overdraft_policy!r}; there are: {', '.join(POLICIES)}")
    if terms.threshold < 0 or (terms.overdraft_cap or 0) < 0:
        raise UsageError("a number of mails is not negative")
    before = renewal.catch_up(session, account_id, now, standing.lock(session, account_id))
    standing.change(session, account_id, **asdict(terms))
    if terms.threshold != before.threshold:
        standing.change(session, account_id, low_armed=renewal.left_of(session, account_id) >= terms.threshold)
