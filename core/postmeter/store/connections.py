"""Connections: the customers' named accesses, whether they may be used, and for which domains."""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import ColumnElement, bindparam, delete, exists, select
from sqlalchemy.orm import Session

from postmeter.errors import UsageError
from postmeter.message.handling import Handling
from postmeter.quota.block import MOST_MAILS
from postmeter.store import suppressions
from postmeter.store.accounts import clean_name
from postmeter.store.domains import clean_domain
from postmeter.store.handling import handling_of
from postmeter.store.rows import add_unique
from postmeter.store.secrets import Secrets, new_token
from postmeter.store.tables import Account, Connection, ConnectionDomain, Followed, SendingDomain

_NOT_SLUG = re.compile(r"[^a-z0-9]+")
SLUG_LENGTH = 24  # characters
MAX_REASON = 200  # characters


@dataclass(frozen=True)
class AddedConnection:
    """A new connection with its secret, which is shown once."""

    connection_id: int
    username: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class AllowedDomain:
    """A verified sending domain with its List-Help field value."""

    name: str
    list_help: str


@dataclass(frozen=True)
class Access:
    """What decides about a log-in and a From field.

    ``secret`` is the keyed hash of the password, ``previous`` of the one before while that is good as well (empty: it
    is not), and ``aged`` says that somebody came with that one. ``reason`` says in a sentence why log-in is refused,
    empty when it is not; ``domains`` are the verified ones: mail is taken for them and the names below them.
    ``suppressions``: there are addresses that must not be tried for the account, so that each has to be looked up.
    ``followed``: a plugin that chooses wants to be asked about this connection's messages. ``capped``: it may submit
    only so many recipients in an hour, a day or a month, so that they have to be counted. ``handling`` is that of
    its messages, unless one says something else itself.
    """

    connection_id: int
    account_id: int
    username: str
    secret: bytes = field(repr=False)
    reason: str
    domains: tuple[AllowedDomain, ...]
    suppressions: bool = False
    followed: bool = False
    capped: bool = False
    previous: bytes = field(default=b"", repr=False)
    aged: bool = False
    handling: Handling = Handling()

    def opened_by(self, secret: bytes) -> Access | None:
        """The access for who has the password of that hash; None: it opens nothing. Takes the same time for any."""
        right = hmac.compare_digest(secret, self.secret)
        aged = hmac.compare_digest(secret, self.previous or self.secret)
        return self if right else replace(self, aged=True) if aged else None


@dataclass(frozen=True)
class Caps:
    """How many recipients a connection may submit in a clock hour, a day and a month (UTC); 0: any number."""

    per_hour: int = 0
    per_day: int = 0
    per_month: int = 0


@dataclass(frozen=True)
class ConnectionFacts:
    """A connection as shown to people, with the ``reason`` why it is off; times in seconds since the epoch.

    ``unverified`` are those of its ``domains`` whose records are not there. The secret was shown at ``revealed_at``
    (None: never yet); the one before is good until ``previous_ends_at``, and was last used at ``previous_used_at``.
    ``stopped``: it is the guard that has paused it, and keeps back what waits.
    """

    id: int
    account_id: int
    account: str
    name: str
    username: str
    active: bool
    reason: str
    last_used_at: float | None
    created_at: float
    domains: tuple[str, ...]
    caps: Caps
    unverified: tuple[str, ...]
    paused: str
    stopped: bool
    system: str
    revealed_at: float | None
    previous_ends_at: float | None
    previous_used_at: float | None
    handling: Handling

    @property
    def state(self) -> str:
        """``draft`` until its access data were shown, ``pending`` while that waits for the DNS; then as it is."""
        if self.revealed_at is None:
            return "pending" if self.unverified else "draft"
        return "active" if self.active else "inactive"


def add_connection(
    session: Session, secrets: Secrets, account: Account, name: str, domains: Sequence[str], now: float
) -> AddedConnection:
    """Create a connection for some of the account's domains; UsageError when its name is in use or a domain unknown."""
    name = clean_name("connection", name)
    password = new_token()
    connection = Connection(
        account_id=account.id,
        name=name,
        username=f"{_slug(name)}-{new_token(8).lower()}",
        secret=secrets.hash_token(password),
        revealed_at=now,
        created_at=now,
    )
    add_unique(session, connection, f"the account {account.name!r} has a connection {name!r} already")
    grant(session, account, connection.id, domains)
    return AddedConnection(connection.id, connection.username, password)


def grant(session: Session, account: Account, connection_id: int, domains: Iterable[str]) -> None:
    """Let a connection send from more of the account's domains; UsageError when one is unknown."""
    for domain in dict.fromkeys(clean_domain(domain) for domain in domains):
        if session.get(SendingDomain, (account.id, domain)) is None:
            raise UsageError(f"the account {account.name!r} has no domain {domain}; add it with `postmeter domain add`")
        session.add(ConnectionDomain(account_id=account.id, connection_id=connection_id, domain=domain))
    session.flush()


_ROWS = (
    select(
        Connection,
        Account.name.label("account"),
        Account.blocked,
        SendingDomain.name.label("domain"),
        SendingDomain.list_help,
        SendingDomain.verified_at,
    )
    .join(Account, Account.id == Connection.account_id)
    .outerjoin(
        ConnectionDomain,
        (ConnectionDomain.account_id == Connection.account_id) & (ConnectionDomain.connection_id == Connection.id),
    )
    .outerjoin(
        SendingDomain,
        (SendingDomain.account_id == Connection.account_id) & (SendingDomain.name == ConnectionDomain.domain),
    )
    .order_by(Connection.name, Connection.id, SendingDomain.name)
)
_BY_USERNAME = _ROWS.add_columns(
    suppressions.any_for(Connection.account_id).label("suppressions"),
    exists().where(Followed.connection_id == Connection.id).label("followed"),
).where(Connection.username == bindparam("username"))


def access(session: Session, username: str, now: float = 0.0) -> Access | None:
    """What the connection of that user name may do; None when there is none.

    Suppressions and the previous secret do not count when they are over at ``now``.
    """
    if not (username.isascii() and username.isprintable()):  # some databases raise errors on such a text
        return None
    found = _grouped(session.execute(_BY_USERNAME, {"username": username, "now": now}))
    if not found:
        return None
    connection, rows = found[0]
    return Access(
        connection_id=connection.id,
        account_id=connection.account_id,
        username=connection.username,
        secret=connection.secret,
        reason=_reason(connection, rows),
        domains=tuple(AllowedDomain(row.domain, row.list_help) for row in rows if row.verified_at is not None),
        suppressions=rows[0].suppressions,
        followed=rows[0].followed,
        capped=caps_of(connection) != Caps(),
        previous=(connection.previous_secret or b"") if (connection.previous_until or 0.0) > now else b"",
        handling=handling_of(connection),
    )


def connections_of(session: Session, account_id: int | None) -> list[ConnectionFacts]:
    """The connections of an account (None: of all), by name, without those that were given up."""
    query = _ROWS.where(Connection.retired_at.is_(None))
    if account_id is not None:
        query = query.where(Connection.account_id == account_id)
    return [_facts(connection, rows) for connection, rows in _grouped(session.execute(query))]


def follow(session: Session, connection_id: int, plugin: str, wanted: bool) -> None:
    """Have a plugin that chooses asked about the messages of a connection and told of them, or not any more."""
    if wanted:
        session.merge(Followed(connection_id=connection_id, plugin=plugin))
    else:
        session.execute(delete(Followed).where(Followed.connection_id == connection_id, Followed.plugin == plugin))


def connection_by_name(session: Session, account: Account, name: str, *, lock: bool = False) -> Connection:
    """A connection of the account, locked if so wished; UsageError when there is none of this name."""
    if (found := _find(session, account.id, Connection.name == name.strip(), lock=lock)) is None:
        raise UsageError(f"the account {account.name!r} has no connection {name!r}")
    return found


def connection_by_id(session: Session, account_id: int, number: int, *, lock: bool = False) -> Connection | None:
    """A connection of the account, locked if so wished; None when there is none of this number."""
    return _find(session, account_id, Connection.id == number, lock=lock)


def _find(session: Session, account_id: int, which: ColumnElement[bool], *, lock: bool) -> Connection | None:
    query = select(Connection).where(Connection.account_id == account_id, Connection.retired_at.is_(None), which)
    return session.scalar(query.with_for_update() if lock else query)


def caps_of(connection: Connection) -> Caps:
    """The caps of a connection."""
    return Caps(connection.per_hour, connection.per_day, connection.per_month)


def set_caps(session: Session, connection: Connection, caps: Caps) -> None:
    """Give a connection other caps; they hold for what is submitted a second later, and count what was before."""
    if not all(0 <= cap <= MOST_MAILS for cap in (caps.per_hour, caps.per_day, caps.per_month)):
        raise UsageError(f"a cap is between 0 and {MOST_MAILS:,} mails")
    connection.per_hour, connection.per_day, connection.per_month = caps.per_hour, caps.per_day, caps.per_month
    session.flush()


def told_reason(reason: str) -> str:
    """A reason that people are told, as it is kept; UsageError when it is no plain sentence."""
    text = reason.strip()
    if not (text.isprintable() and 0 < len(text) <= MAX_REASON):
        raise UsageError(f"the reason must have 1 to {MAX_REASON} printable characters")
    return text


def facts_of(session: Session, connection: Connection) -> ConnectionFacts:
    """A connection as shown to people."""
    [(found, rows)] = _grouped(session.execute(_ROWS.where(Connection.id == connection.id)))
    return _facts(found, rows)


def _grouped(rows: Iterable[Any]) -> list[tuple[Connection, list[Any]]]:
    groups: dict[int, tuple[Connection, list[Any]]] = {}
    for row in rows:
        groups.setdefault(row.Connection.id, (row.Connection, []))[1].append(row)
    return list(groups.values())


def _reason(connection: Connection, rows: Sequence[Any]) -> str:
    """Why the connection is off; it is on when all of its domains are verified."""
    if connection.retired_at is not None:
        return "This connection was given up."
    if rows[0].blocked:
        return f"This account is blocked: {rows[0].blocked}"
    if connection.paused:
        return f"This connection is paused: {connection.paused}"
    domains = [row for row in rows if row.domain is not None]
    if not domains:
        return "This connection has no sending domain."
    missing = [row.domain for row in domains if row.verified_at is None]
    return f"The DKIM record of {', '.join(missing)} has not been verified yet." if missing else ""


def _facts(connection: Connection, rows: Sequence[Any]) -> ConnectionFacts:
    reason = _reason(connection, rows)
    return ConnectionFacts(
        id=connection.id,
        account_id=connection.account_id,
        account=rows[0].account,
        name=connection.name,
        username=connection.username,
        active=not reason,
        reason=reason,
        last_used_at=connection.last_used_at,
        created_at=connection.created_at,
        domains=tuple(row.domain for row in rows if row.domain is not None),
        caps=caps_of(connection),
        unverified=tuple(row.domain for row in rows if row.domain is not None and row.verified_at is None),
        paused=connection.paused,
        stopped=connection.stopped,
        system=connection.system,
        revealed_at=connection.revealed_at,
        previous_ends_at=connection.previous_until,
        previous_used_at=connection.previous_used_at,
        handling=handling_of(connection),
    )


def _slug(name: str) -> str:
    """The letters and digits of a name, for the user name, which must pass every shop's input field."""
    return _NOT_SLUG.sub("-", name.lower())[:SLUG_LENGTH].strip("-") or "smtp"
