"""What people change about a connection: how it is set up, its name, its domains, its secret, its end."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import delete
from sqlalchemy.orm import Session

from postmeter.errors import UsageError
from postmeter.store.accounts import clean_name
from postmeter.store.connections import add_connection, facts_of, grant
from postmeter.store.rows import add_unique
from postmeter.store.secrets import Secrets
from postmeter.store.tables import Account, Connection, ConnectionDomain

SHOWN = 60.0  # seconds in which a request that was sent twice gets the same secret twice
LONGEST_OVERLAP = 30 * 86_400.0  # seconds


@dataclass(frozen=True)
class SecretRequest:
    """Somebody's wish for a secret: ``seen`` is what ``mark`` gave when he was asked, ``key`` the same when repeated.

    The one before stays good for ``keep`` seconds.
    """

    seen: str
    key: str = field(repr=False)
    keep: float = 0.0


def draft(session: Session, secrets: Secrets, account: Account, name: str, system: str, now: float) -> Connection:
    """A connection that is set up step by step: without domain, with a secret that nobody knows yet."""
    added = add_connection(session, secrets, account, name, (), now)
    connection = session.get_one(Connection, added.connection_id)
    connection.revealed_at, connection.system = None, system
    session.flush()
    return connection


def mark(connection: Connection) -> str:
    """Which secret the connection has, without telling it: another one with each renewal."""
    return repr(connection.revealed_at or 0.0)


def issue(session: Session, secrets: Secrets, connection: Connection, request: SecretRequest, now: float) -> str:
    """Give the connection, which is locked, a new secret; it is known to the caller only.

    A request that was sent twice within a minute gets the same one. UsageError when the secret was renewed since
    the request was made, or is not to be shown yet: the first one waits for the domains' records.
    """
    facts = facts_of(session, connection)
    if connection.revealed_at is None and (facts.unverified or not facts.domains):
        raise UsageError("the access data are shown when the DNS records are there")
    if not 0 <= request.keep <= LONGEST_OVERLAP:
        raise UsageError(f"an old password stays valid for at most {LONGEST_OVERLAP / 86_400:.0f} days")
    password = secrets.derive_token(f"secret {connection.id} {request.seen} {request.key}")
    secret = secrets.hash_token(password)
    repeated = hmac.compare_digest(secret, connection.secret) and now - (connection.revealed_at or 0.0) <= SHOWN
    if not repeated:
        if request.seen != mark(connection):
            raise UsageError("the password has been shown since you opened the page; renew it if nobody has noted it")
        _replace(connection, secret, request.keep, now)
        session.flush()
    return password


def _replace(connection: Connection, secret: bytes, keep: float, now: float) -> None:
    known = connection.revealed_at is not None
    connection.previous_secret = connection.secret if keep and known else None
    connection.previous_until = now + keep if keep and known else None
    connection.previous_used_at = None
    connection.secret, connection.revealed_at = secret, now


def end_previous(session: Session, connection: Connection) -> None:
    """Take the old secret no more."""
    connection.previous_secret = connection.previous_until = connection.previous_used_at = None
    session.flush()


def rename(session: Session, connection: Connection, name: str, system: str = "") -> None:
    """Give a connection another name, not another user name, and say what connects by it.

    UsageError when the account has a connection of that name.
    """
    connection.name = name = clean_name("connection", name)
    connection.system = system or connection.system
    add_unique(session, connection, f"this account has a connection {name!r} already")


def set_domains(session: Session, account: Account, connection: Connection, domains: Sequence[str]) -> None:
    """Let a connection send from these domains of the account and no others; UsageError when there is none."""
    if not domains:
        raise UsageError("a connection needs a sending domain")
    _take_domains(session, connection)
    grant(session, account, connection.id, domains)


def retire(session: Session, connection: Connection, now: float) -> None:
    """Give a connection up for ever: nobody logs in by it; its messages stay, its name and its domains are free.

    UsageError while the guard keeps back what waits of it: nobody could let that leave any more.
    """
    if connection.stopped:
        raise UsageError(
            "this connection was paused for its bounces or complaints: it cannot be given up before it is resumed"
        )
    end_previous(session, connection)
    _take_domains(session, connection)
    connection.retired_at = now
    session.flush()


def _take_domains(session: Session, connection: Connection) -> None:
    mine = (ConnectionDomain.account_id == connection.account_id, ConnectionDomain.connection_id == connection.id)
    session.execute(delete(ConnectionDomain).where(*mine))
