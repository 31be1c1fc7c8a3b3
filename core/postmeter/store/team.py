"""Who belongs to an account and as what: roles, invitations, and an owner that never goes missing."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, delete, func, select, update
from sqlalchemy.orm import Session

from postmeter.errors import UsageError
from postmeter.store import tickets
from postmeter.store.accounts import ROLES, clean_email, set_role
from postmeter.store.panel_tables import Ticket
from postmeter.store.secrets import Secrets
from postmeter.store.tables import Account, Membership, User
from postmeter.store.tickets import INVITATION, WEEK, TicketFacts

OWNER = "owner"
GIVES = {  # by role: which roles it gives and takes; "operator" is one who views the account
    "owner": frozenset(ROLES),
    "operator": frozenset(ROLES),
    "admin": frozenset(ROLES) - {OWNER},
}
MOST_INVITATIONS = 20  # that are open in an account: each is a mail to somebody who may not want it


@dataclass(frozen=True)
class Teammate:
    """A member of an account; ``since`` and ``seen_at`` (in the panel) in seconds since the epoch, None: not known."""

    user_id: int
    email: str
    role: str
    since: float | None
    seen_at: float | None
    second_factor: bool


@dataclass(frozen=True)
class Invitation:
    """An invitation that can be accepted: into which account, and by whom."""

    email: str
    account_id: int
    account: str
    role: str
    by: str


def members(session: Session, account_id: int) -> list[Teammate]:
    """Everybody in the account, by role and address."""
    rows = session.execute(
        select(Membership, User)
        .join(User, User.id == Membership.user_id)
        .where(Membership.account_id == account_id)
        .order_by(User.email)
    )
    found = [
        Teammate(user.id, user.email, member.role, member.created_at, user.seen_at, user.totp is not None)
        for member, user in rows
    ]
    return sorted(found, key=lambda one: ROLES.index(one.role))


def change_role(session: Session, account_id: int, by: str, user_id: int, role: str) -> Teammate:
    """Give a member another role; the member as it was. UsageError says why not; ``by``: the role of who changes."""
    member = _touch(session, account_id, by, user_id)
    _may_give(by, role)
    if member.role == OWNER != role:
        _keep_an_owner(session, account_id)
    own = (Membership.account_id == account_id, Membership.user_id == user_id)
    session.execute(update(Membership).where(*own).values(role=role))
    _withdraw_those_of(session, account_id, user_id)
    return member


def remove(session: Session, account_id: int, by: str, user_id: int) -> Teammate:
    """Take a member out of the account; the member as it was. UsageError says why not."""
    member = _touch(session, account_id, by, user_id)
    leave(session, account_id, user_id)
    return member


def leave(session: Session, account_id: int, user_id: int) -> None:
    """The user belongs to the account no more; UsageError for the last owner. Open invitations by the user end."""
    if _member(session, account_id, user_id).role == OWNER:
        _keep_an_owner(session, account_id)
    own = (Membership.account_id == account_id, Membership.user_id == user_id)
    session.execute(delete(Membership).where(*own))
    _withdraw_those_of(session, account_id, user_id)


def invite(
    session: Session, secrets: Secrets, account_id: int, by: str, email: str, role: str, invited_by: int, now: float
) -> str:
    """Invite somebody; the secret for the link, good for a week. UsageError says why not."""
    email = clean_email(email)
    _may_give(by, role)
    if any(member.email == email for member in members(session, account_id)):
        raise UsageError(f"{email} belongs to the account already")
    found = invitations(session, account_id, now)
    for before in (one for one in found if one.email == email):
        _may_give(by, before.role)  # the new one takes its place
    others = [one for one in found if one.email != email]
    if len(others) >= MOST_INVITATIONS:
        raise UsageError(f"at most {MOST_INVITATIONS} invitations can be open; withdraw one first")
    return tickets.issue(
        session, secrets, INVITATION, email, now, WEEK, account_id=account_id, role=role, invited_by=invited_by
    )


def invitations(session: Session, account_id: int, now: float) -> list[TicketFacts]:
    """The invitations that are open, by address."""
    rows = session.scalars(select(Ticket).where(*_open(account_id, now)).order_by(Ticket.email))
    return [tickets.facts(row) for row in rows]


def invitation_of(session: Session, account_id: int, ticket_id: int, now: float) -> TicketFacts:
    """The account's open invitation of that number; UsageError when there is none any more."""
    row = session.scalar(select(Ticket).where(*_open(account_id, now), Ticket.id == ticket_id))
    if row is None:
        raise UsageError("this invitation is not open any more")
    return tickets.facts(row)


def withdraw(session: Session, account_id: int, by: str, ticket_id: int, now: float) -> TicketFacts:
    """Take an open invitation back; the invitation. UsageError says why not."""
    ticket = invitation_of(session, account_id, ticket_id, now)
    _may_give(by, ticket.role)
    session.execute(delete(Ticket).where(Ticket.id == ticket_id, Ticket.account_id == account_id))
    return ticket


def invitation(session: Session, secrets: Secrets, token: str, now: float) -> Invitation | None:
    """What the link with this secret invites to; None when it is not good any more."""
    ticket = tickets.find(session, secrets, INVITATION, token, now)
    if ticket is None or ticket.account_id is None:
        return None
    account = session.get_one(Account, ticket.account_id)
    by = session.get(User, ticket.invited_by) if ticket.invited_by else None
    return Invitation(ticket.email, account.id, account.name, ticket.role, by.email if by else "")


def accept(session: Session, secrets: Secrets, token: str, email: str, now: float) -> Invitation | None:
    """The user with that address, who was invited, joins. Who belongs to the account already keeps his role."""
    found = invitation(session, secrets, token, now)
    if found is None or found.email != email or not tickets.use(session, secrets, INVITATION, token, now):
        return None
    if all(member.email != email for member in members(session, found.account_id)):
        set_role(session, found.account_id, email, found.role, now)
    return found


def _open(account_id: int, now: float) -> tuple[ColumnElement[bool], ...]:
    good = (Ticket.used_at.is_(None), Ticket.expires_at > now)
    return (Ticket.purpose == INVITATION, Ticket.account_id == account_id, *good)


def _may_give(by: str, role: str) -> None:
    if role not in ROLES:
        raise UsageError(f"there is no role {role!r}; there are: {', '.join(ROLES)}")
    if role not in GIVES.get(by, ()):
        raise UsageError("only an owner makes somebody an owner, and changes or removes one")


def _touch(session: Session, account_id: int, by: str, user_id: int) -> Teammate:
    """The member whom somebody of the role ``by`` wants to change."""
    member = _member(session, account_id, user_id)
    _may_give(by, member.role)
    return member


def _member(session: Session, account_id: int, user_id: int) -> Teammate:
    """With the account's row locked, so that two owners do not leave at the same moment."""
    session.execute(select(Account.id).where(Account.id == account_id).with_for_update())
    for member in members(session, account_id):
        if member.user_id == user_id:
            return member
    raise UsageError("this person does not belong to the account any more")


def _keep_an_owner(session: Session, account_id: int) -> None:
    owners = select(func.count()).select_from(Membership)
    if session.scalar(owners.where(Membership.account_id == account_id, Membership.role == OWNER)) == 1:
        raise UsageError("an account has at least one owner; make somebody else an owner first")


def _withdraw_those_of(session: Session, account_id: int, user_id: int) -> None:
    """What somebody could do no more, invitations sent before must not do either."""
    mine = (Ticket.account_id == account_id, Ticket.invited_by == user_id, Ticket.used_at.is_(None))
    session.execute(delete(Ticket).where(Ticket.purpose == INVITATION, *mine))
