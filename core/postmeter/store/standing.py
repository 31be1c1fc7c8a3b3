"""An account under its lock: what it may do, what it owes, and the notices that are given when its quota falls."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from sqlalchemy import bindparam, select, update
from sqlalchemy.orm import Session

from postmeter.quota.level import OVERDRAFT, Armed
from postmeter.store import events
from postmeter.store.base import table
from postmeter.store.statement import Statement
from postmeter.store.tables import Account


class Standing(NamedTuple):
    """The columns of a locked account that payment goes by."""

    agreement: bool
    blocked: str
    threshold: int
    overdraft: int
    invoiced: int
    overdraft_policy: str
    overdraft_cap: int | None
    paid_since: float | None
    low_armed: bool
    empty_armed: bool
    overdraft_armed: bool

    @property
    def owed(self) -> int:
        """Units of overdraft that are on no invoice yet; below 0 when some were released after theirs."""
        return self.overdraft - self.invoiced

    @property
    def armed(self) -> Armed:
        """Which notices would be given."""
        return Armed(bool(self.low_armed), bool(self.empty_armed), bool(self.overdraft_armed))


# Who locks an account holds it until its commit: nobody else takes, books, renews or ends units of it meanwhile. The
# lock comes before those of the account's blocks, so whoever waits for it sees the blocks as they are afterwards.
_LOCK = Statement(
    select(*(getattr(Account, name) for name in Standing._fields))
    .where(Account.id == bindparam("account"))
    .with_for_update(key_share=True)
)


def lock(session: Session, account_id: int) -> Standing:
    """Lock an account (who locks several does so by number); IndexError when there is none."""
    return Standing(*_LOCK.fetch(session, {"account": account_id})[0])


def lock_all(session: Session, accounts: Iterable[int]) -> None:
    """Lock those of these accounts that there are."""
    for account_id in sorted(accounts):
        _LOCK.fetch(session, {"account": account_id})


def fell(session: Session, account_id: int, standing: Standing, left: int, overdrawn: int, now: float) -> None:
    """Units were taken, ``overdrawn`` of them beyond all blocks, or have expired: give the notices that this means."""
    armed, kinds = standing.armed.fallen(left, standing.threshold, overdrawn > 0)
    if kinds:
        _arm(session, account_id, armed)
        low, beyond = {"left": left, "threshold": standing.threshold}, {"overdraft": standing.owed + overdrawn}
        told = [(kind, beyond if kind == OVERDRAFT else low) for kind in kinds]
        events.record(session, [events.about_account(account_id, kind, now, facts) for kind, facts in told])


def rose(session: Session, account_id: int, standing: Standing, left: int) -> Standing:
    """A block was booked or renewed: arm the notices of the levels that the account is above again."""
    armed = standing.armed.refilled(left, standing.threshold)
    if armed != standing.armed:
        _arm(session, account_id, armed)
    return standing._replace(low_armed=armed.low, empty_armed=armed.empty)


def _arm(session: Session, account_id: int, armed: Armed) -> None:
    change(session, account_id, low_armed=armed.low, empty_armed=armed.empty, overdraft_armed=armed.overdraft)


def change(session: Session, account_id: int, **values: Any) -> None:
    """Set columns of a locked account."""
    session.connection().execute(update(table(Account)).where(Account.id == account_id).values(**values))
