"""What a link in a mail allows once: to set a password, or to join an account. Only the mail has the link's secret."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from postmeter.store.panel_tables import Ticket
from postmeter.store.rows import delete_some
from postmeter.store.secrets import Secrets, new_token

INVITATION, PASSWORD = "invitation", "password"  # purposes
HOUR, WEEK = 3_600.0, 604_800.0  # seconds that tickets are good for
KEPT = 2_592_000.0  # seconds that a ticket is kept when it is good for nothing any more


@dataclass(frozen=True)
class TicketFacts:
    """A ticket that can still be used; times in seconds since the epoch. An invitation has an account and a role."""

    id: int
    email: str
    account_id: int | None
    role: str
    invited_by: int | None
    created_at: float
    expires_at: float


def issue(
    session: Session,
    secrets: Secrets,
    purpose: str,
    email: str,
    now: float,
    life: float,
    *,
    account_id: int | None = None,
    role: str = "",
    invited_by: int | None = None,
) -> str:
    """A new ticket's secret, for the link. One of the same purpose for the same address (and account) ends with it."""
    same = (Ticket.purpose == purpose, Ticket.email == email, Ticket.account_id.is_not_distinct_from(account_id))
    session.execute(delete(Ticket).where(*same))
    delete_some(session, Ticket, Ticket.expires_at < now - KEPT)
    token = new_token()
    session.add(
        Ticket(
            digest=secrets.hash_token(token),
            purpose=purpose,
            email=email,
            account_id=account_id,
            role=role,
            invited_by=invited_by,
            created_at=now,
            expires_at=now + life,
        )
    )
    session.flush()
    return token


def find(session: Session, secrets: Secrets, purpose: str, token: str, now: float) -> TicketFacts | None:
    """The ticket with this secret; None when there is none, it was used or its time is over."""
    good = (Ticket.purpose == purpose, Ticket.used_at.is_(None), Ticket.expires_at > now)
    row = session.scalar(select(Ticket).where(Ticket.digest == secrets.hash_token(token), *good))
    return facts(row) if row else None


def use(session: Session, secrets: Secrets, purpose: str, token: str, now: float) -> TicketFacts | None:
    """The same, and it is used now: of two that come at once one gets None."""
    found = find(session, secrets, purpose, token, now)
    if found is None:
        return None
    mine = update(Ticket).where(Ticket.id == found.id, Ticket.used_at.is_(None)).values(used_at=now)
    return found if session.connection().execute(mine).rowcount else None


def end(session: Session, purpose: str, email: str) -> None:
    """No ticket of that purpose for that address can be used any more."""
    session.execute(delete(Ticket).where(Ticket.purpose == purpose, Ticket.email == email))


def facts(row: Ticket) -> TicketFacts:
    """A row as facts."""
    return TicketFacts(row.id, row.email, row.account_id, row.role, row.invited_by, row.created_at, row.expires_at)
