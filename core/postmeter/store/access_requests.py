"""Requests for access: who wants an account, until an operator approves or declines."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from postmeter.config import Settings
from postmeter.errors import UsageError
from postmeter.store import tickets
from postmeter.store.accounts import add_account, clean_email, clean_name
from postmeter.store.panel_tables import AccessRequest
from postmeter.store.secrets import NewPassword, Secrets

OPEN, APPROVED, DECLINED = "open", "approved", "declined"  # states
MOST_OPEN = 500  # requests that wait: beyond it somebody makes fun of us


@dataclass(frozen=True)
class NewRequest:
    """What somebody asks for: an account of that name; ``address`` is the IP address it came from."""

    name: str
    email: str
    website: str
    text: str
    language: str
    address: str


@dataclass(frozen=True)
class Request(NewRequest):
    """A request as it is kept; times in seconds since the epoch, ``decided_by`` is a user."""

    id: int
    state: str
    created_at: float
    decided_at: float | None
    decided_by: int | None


@dataclass(frozen=True)
class Approved:
    """A new account. ``token``: for the link by which its owner chooses a password; None: the owner has a login."""

    account_id: int
    account: str
    email: str
    language: str
    token: str | None


def add(session: Session, asked: NewRequest, now: float) -> bool:
    """Keep a request; False when one of the same e-mail address is open already. UsageError says what is wrong."""
    email = clean_email(asked.email)
    name = clean_name("account", asked.name)
    waiting = select(func.count()).select_from(AccessRequest).where(AccessRequest.state == OPEN)
    if session.scalar(waiting.where(AccessRequest.email == email)):
        return False
    if (session.scalar(waiting) or 0) >= MOST_OPEN:
        raise UsageError("there are too many requests at the moment; please try again in some days")
    session.add(
        AccessRequest(
            name=name,
            email=email,
            website=asked.website.strip(),
            text=asked.text.strip(),
            language=asked.language,
            address=asked.address,
            created_at=now,
        )
    )
    session.flush()
    return True


def open_requests(session: Session) -> list[Request]:
    """Those that wait for a decision, the oldest first."""
    rows = session.scalars(select(AccessRequest).where(AccessRequest.state == OPEN).order_by(AccessRequest.id))
    return [_facts(row) for row in rows]


def request_of(session: Session, request_id: int) -> Request:
    """The request of that number; UsageError when there is none."""
    row = session.get(AccessRequest, request_id)
    if row is None:
        raise UsageError(f"there is no request with the number {request_id}")
    return _facts(row)


def approve(
    session: Session,
    secrets: Secrets,
    settings: Settings,
    request_id: int,
    operator_id: int,
    password: NewPassword,
    now: float,
    name: str = "",
) -> Approved:
    """Create the account (``name``: called otherwise than was asked for) with its owner, who is to be told by mail.

    ``password`` is one that nobody knows (``NewPassword.generate()``): the owner of a new login chooses one within a
    week by the link. UsageError: the request was decided already, or there is an account of that name.
    """
    asked = _decide(session, request_id, APPROVED, operator_id, now)
    added = add_account(session, name or asked.name, asked.email, False, settings, password, now)
    token = None
    if added.password is not None:
        token = tickets.issue(session, secrets, tickets.PASSWORD, added.owner, now, tickets.WEEK)
    return Approved(added.account_id, added.account, added.owner, asked.language, token)


def decline(session: Session, request_id: int, operator_id: int, now: float) -> Request:
    """The request is over; who asked is to be told by mail. UsageError when it was decided already."""
    return _decide(session, request_id, DECLINED, operator_id, now)


def _decide(session: Session, request_id: int, state: str, operator_id: int, now: float) -> Request:
    """Decide a request that is open: of two operators at once one is first."""
    asked = request_of(session, request_id)
    changed = session.connection().execute(
        update(AccessRequest)
        .where(AccessRequest.id == request_id, AccessRequest.state == OPEN)
        .values(state=state, decided_at=now, decided_by=operator_id)
    )
    if not changed.rowcount:
        raise UsageError("this request has been decided already")
    return asked


def _facts(row: AccessRequest) -> Request:
    return Request(
        id=row.id,
        name=row.name,
        email=row.email,
        website=row.website,
        text=row.text,
        language=row.language,
        address=row.address,
        state=row.state,
        created_at=row.created_at,
        decided_at=row.decided_at,
        decided_by=row.decided_by,
    )
