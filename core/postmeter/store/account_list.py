"""The accounts as the operator goes through them: thousands of them by name, a page at a time, with their figures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

from sqlalchemy import ColumnElement, Select, func, or_, select
from sqlalchemy.orm import Session

from postmeter.store.quota_tables import Block
from postmeter.store.tables import Account, Counter, Membership, User

BLOCKED, OVERDRAWN, AGREEMENT, TRIAL = "blocked", "overdrawn", "agreement", "trial"
KINDS: dict[str, ColumnElement[bool]] = {
    BLOCKED: Account.blocked != "",
    OVERDRAWN: Account.overdraft > Account.invoiced,
    AGREEMENT: Account.agreement.is_(True),
    TRIAL: Account.paid_since.is_(None),  # no paid block yet
}


@dataclass(frozen=True)
class Line:
    """An account in the list: what its blocks still give, and what became of its mail since a time.

    ``owner`` is the first one's address, ``members`` counts all people of the account; ``overdraft``: units beyond
    all blocks that are on no invoice.
    """

    id: int
    name: str
    blocked: str
    agreement: bool
    trial: bool
    overdraft: int
    owner: str
    members: int
    left: int
    arrived: int
    delivered: int
    bounced: int


def page(
    session: Session, now: float, since: float, *, find: str = "", kind: str = "", after: str = "", limit: int = 50
) -> list[Line]:
    """The accounts behind the name ``after``, by name; figures are those since ``since``.

    ``find``: of those only whose name, or a member's address, has this text in it; ``kind``: one of KINDS.
    """
    found = session.scalars(_chosen(find, kind).where(Account.name > after).order_by(Account.name).limit(limit)).all()
    numbers = [account.id for account in found]
    people, left, mail = _people(session, numbers), _left(session, numbers, now), _mail(session, numbers, since)
    return [
        Line(
            account.id,
            account.name,
            account.blocked,
            account.agreement,
            account.paid_since is None,
            max(0, account.overdraft - account.invoiced),
            *people.get(account.id, ("", 0)),
            left.get(account.id, 0),
            *mail.get(account.id, (0, 0, 0)),
        )
        for account in found
    ]


def number_of(session: Session, find: str = "", kind: str = "") -> int:
    """How many accounts there are of that kind with that text."""
    return session.scalar(select(func.count()).select_from(_chosen(find, kind).subquery())) or 0


def _chosen(find: str, kind: str) -> Select[Account]:
    query = select(Account)
    if find:
        member = select(Membership.account_id).join(User).where(User.email.icontains(find, autoescape=True))
        query = query.where(or_(Account.name.icontains(find, autoescape=True), Account.id.in_(member)))
    return query.where(KINDS[kind]) if kind in KINDS else query


def _people(session: Session, numbers: Sequence[int]) -> dict[int, tuple[str, int]]:
    owner = func.min(User.email).filter(Membership.role == "owner")
    query = select(Membership.account_id, func.coalesce(owner, ""), func.count()).join(User)
    query = query.where(Membership.account_id.in_(numbers)).group_by(Membership.account_id)
    return _by_number(session.execute(query))


def _left(session: Session, numbers: Sequence[int], now: float) -> dict[int, int]:
    usable = (Block.account_id.in_(numbers), Block.due_at.is_not(None), Block.expires_at > now)
    query = select(Block.account_id, func.sum(Block.left)).where(*usable).group_by(Block.account_id)
    return {number: int(left) for number, (left,) in _by_number(session.execute(query)).items()}


def _mail(session: Session, numbers: Sequence[int], since: float) -> dict[int, tuple[int, int, int]]:
    sums = [func.sum(column) for column in (Counter.arrived, Counter.delivered, Counter.bounced)]
    query = select(Counter.account_id, *sums).where(Counter.account_id.in_(numbers), Counter.bucket >= ceil(since))
    found = _by_number(session.execute(query.group_by(Counter.account_id)))
    return {number: (int(a), int(d), int(b)) for number, (a, d, b) in found.items()}


def _by_number(rows: Iterable[Any]) -> dict[int, Any]:
    return {number: tuple(rest) for number, *rest in rows}
