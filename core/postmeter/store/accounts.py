"""Accounts and the people who may see them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from postmeter.config import Settings
from postmeter.errors import UsageError
from postmeter.store import logins, own_mail, quota, tickets
from postmeter.store.rows import add_unique
from postmeter.store.secrets import NewPassword, hash_is_old, hash_password, verify_password
from postmeter.store.tables import Account, Membership, User

ROLES = ("owner", "admin", "billing", "viewer")
ADMINS = ("owner", "admin")

_EMAIL = re.compile(r"[^\s@<>\"(),:;\\]+@[^\s@<>\"(),:;\\]+\.[^\s@<>\"(),:;\\]+")
_NAME = re.compile(r"[^\x00-\x1f\x7f]{1,100}")


@dataclass(frozen=True)
class AddedAccount:
    """A new account. ``password`` is the owner's initial one, shown once; None when the owner had a login already."""

    account_id: int
    account: str
    owner: str
    password: str | None


@dataclass(frozen=True)
class Member:
    """A person who belongs to an account: owner, admin, billing or viewer."""

    email: str
    role: str


@dataclass(frozen=True)
class AccountFacts:
    """An account with its members. ``agreement``: it is invoiced and may send beyond its blocks.

    ``overdraft``: units beyond all blocks that are on no invoice yet; ``overdraft_policy`` is ``default`` and
    ``overdraft_cap`` None where the settings say; ``paid_at``: when its first paid block was booked, since when there
    is no hourly limit. ``pool``: the source addresses that its mail leaves from; empty: the default ones. Times in
    seconds since the epoch.
    """

    id: int
    name: str
    agreement: bool
    blocked: str
    threshold: int
    overdraft_policy: str
    overdraft_cap: int | None
    overdraft: int
    paid_at: float | None
    created_at: float
    members: tuple[Member, ...]
    pool: str = ""

    @property
    def admins(self) -> tuple[str, ...]:
        """The addresses of those who answer for the account."""
        return tuple(member.email for member in self.members if member.role in ADMINS)


class AccountRole(NamedTuple):
    """An account that a user belongs to, and as what."""

    id: int
    name: str
    role: str


@dataclass(frozen=True)
class UserFacts:
    """A person who may log in; ``epoch`` is raised to end all of the person's panel sessions.

    ``second_factor``: a code is asked for as well. ``language`` and ``timezone`` are empty where none was chosen.
    """

    id: int
    email: str
    operator: bool
    epoch: int
    accounts: tuple[AccountRole, ...]
    second_factor: bool
    language: str
    timezone: str


def add_account(
    session: Session,
    name: str,
    owner_email: str,
    agreement: bool,
    settings: Settings,
    password: NewPassword,
    now: float,
) -> AddedAccount:
    """Create the account, its owner and its demo quota; an owner who has a login keeps it and its password."""
    name = clean_name("account", name)
    email = clean_email(owner_email)
    account = Account(name=name, agreement=agreement, created_at=now)
    add_unique(session, account, f"there is an account {name!r} already")
    user = _user(session, email)
    known = user is not None
    if user is None:
        user = User(email=email, password=password.hashed, created_at=now)
        add_unique(session, user, f"there is a user {email} already")
    session.add(Membership(account_id=account.id, user_id=user.id, role="owner", created_at=now))
    session.flush()
    quota.book_demo(session, account.id, settings.demo, now)
    return AddedAccount(account.id, name, email, None if known else password.plain)


def rename_account(session: Session, account_id: int, name: str) -> str:
    """Give the account another name, and say how that is written; UsageError when it cannot be, or is in use."""
    name = clean_name("account", name)
    try:
        session.execute(update(Account).where(Account.id == account_id).values(name=name))
    except IntegrityError:
        raise UsageError(f"there is an account {name!r} already") from None
    return name


def account_by_name(session: Session, name: str) -> Account:
    """The account's row; UsageError when there is none."""
    account = session.scalar(select(Account).where(Account.name == name.strip()))
    if account is None:
        raise UsageError(f"there is no account {name!r}")
    return account


def all_accounts(session: Session) -> list[tuple[int, str]]:
    """Number and name of every account, by name."""
    return [(id_, name) for id_, name in session.execute(select(Account.id, Account.name).order_by(Account.name))]


def accounts_of(session: Session, account_id: int | None = None) -> list[AccountFacts]:
    """Every account (or the one of that number) with its members, by name."""
    query = select(Account).order_by(Account.name)
    members = select(Membership.account_id, User.email, Membership.role).join(User).order_by(User.email)
    if account_id is not None:
        query, members = query.where(Account.id == account_id), members.where(Membership.account_id == account_id)
    belong: dict[int, list[Member]] = {}
    for number, email, role in session.execute(members):
        belong.setdefault(number, []).append(Member(email, role))
    return [_shown(account, belong.get(account.id, ())) for account in session.scalars(query)]


def account_facts(session: Session, account: int | str) -> AccountFacts:
    """The account of that number or name with its members; UsageError when there is none."""
    number = account_by_name(session, account).id if isinstance(account, str) else account
    found = accounts_of(session, number)
    if not found:
        raise UsageError(f"there is no account with the number {account}")
    return found[0]


def add_user(session: Session, email: str, operator: bool, password: NewPassword, now: float) -> int:
    """Create a login; the user's id. UsageError when the address has one."""
    user = User(email=clean_email(email), password=password.hashed, operator=operator, created_at=now)
    add_unique(session, user, f"there is a user {user.email} already")
    return user.id


def add_operator(session: Session, email: str, now: float) -> str | None:
    """Create the first operator and give the initial password; None when there is an operator already."""
    if session.scalar(select(User.id).where(User.operator).limit(1)) is not None:
        return None
    password = NewPassword.generate()
    add_user(session, email, True, password, now)
    return password.plain


def set_role(session: Session, account_id: int, email: str, role: str, now: float | None = None) -> None:
    """Make the user a member of the account in that role, since ``now``, or change the role."""
    if role not in ROLES:
        raise UsageError(f"there is no role {role!r}; there are: {', '.join(ROLES)}")
    user_id = known_user(session, email).id
    member = session.get(Membership, (account_id, user_id))
    if member is None:
        session.add(Membership(account_id=account_id, user_id=user_id, role=role, created_at=now))
    else:
        member.role = role
    session.flush()


def set_password(session: Session, email: str, password: NewPassword, keep: int | None = None) -> None:
    """Change the password and end all panel sessions of the user, but the log-in ``keep``, and links to set another."""
    user = known_user(session, email)
    user.password = password.hashed
    session.flush()
    logins.end_all(session, user.id, keep)
    tickets.end(session, tickets.PASSWORD, user.email)


def set_preferences(session: Session, user_id: int, *, language: str, timezone: str) -> None:
    """The language and the time zone of the user's pages; empty: as the browser and the settings say."""
    session.execute(update(User).where(User.id == user_id).values(language=language, timezone=timezone))


def authenticate(session: Session, email: str, password: str) -> UserFacts | None:
    """The user whose password this is (takes 0.15 s, and as long when there is no such user)."""
    user = _user(session, email.strip().lower())
    if user is None:
        hash_password(password)
        return None
    return _facts(session, user) if verify_password(user.password, password) else None


def old_hash(session: Session, user_id: int) -> str | None:
    """The user's hash if new ones are made otherwise by now, so that it is worth replacing; else None."""
    hashed = session.get_one(User, user_id).password
    return hashed if hash_is_old(hashed) else None


def replace_hash(session: Session, user_id: int, old: str, password: NewPassword) -> None:
    """Keep another hash of the same password, unless it was changed meanwhile."""
    same = update(User).where(User.id == user_id, User.password == old)
    session.execute(same.values(password=password.hashed))


def user_by_email(session: Session, email: str) -> UserFacts | None:
    """The user with this address, however it is written; None when there is none."""
    user = _user(session, email.strip().lower())
    return _facts(session, user) if user else None


def operators(session: Session) -> list[UserFacts]:
    """Those who run the relay, by address."""
    return [_facts(session, user) for user in session.scalars(select(User).where(User.operator).order_by(User.email))]


def user_facts(session: Session, user_id: int) -> UserFacts | None:
    """What is known of a user; None when there is none any more."""
    user = session.get(User, user_id)
    return _facts(session, user) if user else None


def clean_email(email: str) -> str:
    """The address as it is stored and compared; UsageError when it is none."""
    email = email.strip().lower()
    if len(email) > 254 or not _EMAIL.fullmatch(email) or not own_mail.reaches(email):
        raise UsageError(f"{email!r} is not an e-mail address")
    return email


def clean_name(what: str, name: str) -> str:
    """A name without blanks around it; UsageError when it is empty, too long or has control characters."""
    name = name.strip()
    if not _NAME.fullmatch(name):
        raise UsageError(f"the name of the {what} must have 1 to 100 printable characters")
    return name


def _shown(account: Account, members: Iterable[Member]) -> AccountFacts:
    return AccountFacts(
        id=account.id,
        name=account.name,
        agreement=account.agreement,
        blocked=account.blocked,
        threshold=account.threshold,
        overdraft_policy=account.overdraft_policy or "default",
        overdraft_cap=account.overdraft_cap,
        overdraft=max(0, account.overdraft - account.invoiced),
        paid_at=account.paid_since,
        created_at=account.created_at,
        members=tuple(members),
        pool=account.pool,
    )


def _user(session: Session, email: str) -> User | None:
    return session.scalar(select(User).where(User.email == email))


def known_user(session: Session, email: str) -> User:
    """The user's row; UsageError when there is none."""
    user = _user(session, clean_email(email))
    if user is None:
        raise UsageError(f"there is no user {email}")
    return user


def _facts(session: Session, user: User) -> UserFacts:
    rows = session.execute(
        select(Account.id, Account.name, Membership.role)
        .join(Membership, Membership.account_id == Account.id)
        .where(Membership.user_id == user.id)
        .order_by(Account.name)
    )
    return UserFacts(
        id=user.id,
        email=user.email,
        operator=user.operator,
        epoch=user.epoch,
        accounts=tuple(AccountRole(*row) for row in rows),
        second_factor=user.totp is not None,
        language=user.language,
        timezone=user.timezone,
    )
