"""Which pool of source addresses the mail of an account or a connection leaves from, as an operator wants it."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import and_, select
from sqlalchemy.orm import Session

from postmeter.store.tables import Account, Connection


class Assigned(NamedTuple):
    """The pools of a connection and of its account (empty: none was chosen), and whether it ever paid for mail."""

    connection: str = ""
    account: str = ""
    paid: bool = True


def assigned(session: Session, account_id: int, connection_id: int) -> Assigned:
    """What holds for a connection's mail; for the relay's own, which has no account, nothing is chosen."""
    mine = and_(Connection.account_id == Account.id, Connection.id == connection_id)
    query = select(Connection.pool, Account.pool, Account.paid_since).outerjoin_from(Account, Connection, mine)
    row = session.execute(query.where(Account.id == account_id)).one_or_none()
    return Assigned() if row is None else Assigned(row[0] or "", row[1], row[2] is not None)


def set_pool(session: Session, connection: Connection, pool: str) -> None:
    """Have a connection's mail leave from a pool; empty: from its account's."""
    connection.pool = pool
    session.flush()


def chosen(session: Session) -> dict[str, list[str]]:
    """The accounts and connections for which a pool was chosen, by the pool's name."""
    found: dict[str, list[str]] = {}
    for name, pool in session.execute(select(Account.name, Account.pool).where(Account.pool != "")):
        found.setdefault(pool, []).append(name)
    of_connections = select(Account.name, Connection.name, Connection.pool).join_from(Connection, Account)
    in_use = (Connection.pool != "", Connection.retired_at.is_(None))
    for account, name, pool in session.execute(of_connections.where(*in_use)):
        found.setdefault(pool, []).append(f"{account}: {name}")
    return {pool: sorted(names) for pool, names in sorted(found.items())}
