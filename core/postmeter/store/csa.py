"""What the database tells about the criteria of the Certified Senders Alliance, and the operator's own answers."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import exists, func, select
from sqlalchemy.orm import Session

from postmeter.errors import UsageError
from postmeter.message.identifier import new_id
from postmeter.store import statistics
from postmeter.store.panel_tables import CsaItem
from postmeter.store.recipient_tables import Suppression
from postmeter.store.statistics import Totals
from postmeter.store.tables import (
    BOUNCED,
    Account,
    Connection,
    Counter,
    Recipient,
    SendingDomain,
    SigningKey,
    User,
)

WINDOW = 7 * 86_400.0  # seconds that rates are of
OFTEN = 3  # bounces of one address in the window: it should have been suppressed
MAX_NOTE = 500  # characters


@dataclass(frozen=True)
class AccountRates:
    """What one account's recipients of the window came to."""

    account: str
    delivered: int
    bounced: int
    complained: int


@dataclass(frozen=True)
class Facts:
    """The evidence in the database; rates are of the last seven days, ``since`` is when the first mail arrived."""

    totals: Totals
    accounts: tuple[AccountRates, ...]
    since: float | None
    repeated: int  # addresses that bounced OFTEN and are not suppressed
    suppressed: dict[str, int]  # addresses by reason
    domains: int
    without_help: int
    operator_key: bool
    users: int
    users_with_factor: int
    blocked: int
    capped: int


@dataclass(frozen=True)
class Answer:
    """What the operator says about a criterion of his own."""

    key: str
    done: bool
    note: str
    at: float
    by: str


def facts(session: Session, now: float) -> Facts:
    """All of it; looks through the recipients of the window, which takes a moment when they are many."""
    since = session.scalar(select(func.min(Counter.bucket)).where(Counter.arrived > 0))
    suppressed = select(Suppression.reason, func.count()).group_by(Suppression.reason)
    capped = (Connection.per_hour > 0) | (Connection.per_day > 0) | (Connection.per_month > 0)
    return Facts(
        totals=statistics.totals(session, None, now - WINDOW),
        accounts=_accounts(session, now - WINDOW),
        since=None if since is None else float(since),
        repeated=_repeated(session, now - WINDOW, now),
        suppressed={row[0]: row[1] for row in session.execute(suppressed)},
        domains=_count(session, SendingDomain.name, SendingDomain.verified_at.is_not(None)),
        without_help=_count(session, SendingDomain.name, SendingDomain.list_help == ""),
        operator_key=bool(_count(session, SigningKey.id, SigningKey.account_id.is_(None), SigningKey.active)),
        users=_count(session, User.id),
        users_with_factor=_count(session, User.id, User.totp.is_not(None)),
        blocked=_count(session, Account.id, Account.blocked != ""),
        capped=_count(session, Connection.id, capped, Connection.retired_at.is_(None)),
    )


def answers(session: Session) -> dict[str, Answer]:
    """What the operator has said, by criterion."""
    return {row.key: Answer(row.key, row.done, row.note, row.at, row.by) for row in session.scalars(select(CsaItem))}


def answer(session: Session, key: str, done: bool, note: str, by: str, now: float) -> None:
    """Keep what the operator says about a criterion; UsageError when the note is too long or no plain text."""
    note = " ".join(note.split())
    if len(note) > MAX_NOTE or not note.isprintable():
        raise UsageError(f"a note has at most {MAX_NOTE} printable characters")
    session.merge(CsaItem(key=key, done=done, note=note, at=now, by=by))
    session.flush()


def _count(session: Session, column: object, *where: object) -> int:
    return session.scalar(select(func.count(column)).where(*where)) or 0  # type: ignore[arg-type]


def _accounts(session: Session, since: float) -> tuple[AccountRates, ...]:
    sums = [func.sum(getattr(Counter, name)) for name in ("delivered", "bounced", "complained")]
    rows = session.execute(
        select(Account.name, *sums)
        .join(Counter, Counter.account_id == Account.id)
        .where(Counter.bucket >= since)
        .group_by(Account.name)
        .order_by(Account.name)
    )
    return tuple(AccountRates(name, *map(int, numbers)) for name, *numbers in rows)


def _repeated(session: Session, since: float, now: float) -> int:
    address = func.lower(Recipient.forward_path)
    often = (
        select(Recipient.account_id, address.label("address"))
        .where(Recipient.message_id >= new_id(int(since * 1000), bytes(10)), Recipient.state == BOUNCED)
        .group_by(Recipient.account_id, address)
        .having(func.count() >= OFTEN)
        .subquery()
    )
    known = exists().where(
        Suppression.account_id.in_((0, often.c.account_id)),
        func.lower(Suppression.address) == often.c.address,
        (Suppression.expires_at.is_(None)) | (Suppression.expires_at > now),
    )
    return session.scalar(select(func.count()).select_from(often).where(~known)) or 0
