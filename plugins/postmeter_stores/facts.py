"""Shops and notes as people are shown them: never a credential."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, delete, func, select
from sqlalchemy.orm import Session

from postmeter import ConnectionFacts, Core, UsageError
from postmeter_stores.tables import WAITING, NoteRow, ShopRow


@dataclass(frozen=True)
class ShopFacts:
    """The shop of a connection. ``paused`` says why nothing is written, ``trouble`` what the shop said last.

    ``waiting`` counts the notes for it, ``retry_at`` is when it is asked again after trouble (None: at any time).
    """

    connection: str
    kind: str
    url: str
    pattern: str
    deliveries: bool
    paused: str
    trouble: str
    retry_at: float | None
    waiting: int


@dataclass(frozen=True)
class NoteFacts:
    """A note that waits or has come to nothing; ``next_at`` is None when it is not tried any more."""

    connection: str
    message_id: str
    recipient: str
    kind: str
    reference: str
    state: str
    attempts: int
    next_at: float | None
    said: str


def connection_of(core: Core, session: Session, account: str, name: str) -> ConnectionFacts:
    """The account's connection of that name; UsageError when there is none."""
    found = core.connections(session, core.account(session, account).id)
    for connection in found:
        if connection.name == name:
            return connection
    raise UsageError(f"the account {account!r} has no connection {name!r}")


def shop_of(core: Core, session: Session, account: str, name: str) -> ShopRow:
    """The shop of that connection; UsageError when there is none."""
    row = session.get(ShopRow, connection_of(core, session, account, name).id)
    if row is None:
        raise UsageError(f"the connection {name!r} has no shop; connect one with `postmeter store connect`")
    return row


def shop_of_account(
    core: Core, session: Session, account_id: int, connection_id: int
) -> tuple[ConnectionFacts, ShopRow] | None:
    """A connection of the account by its number, with its shop; None when it has none, or is not the account's."""
    connection = next((one for one in core.connections(session, account_id) if one.id == connection_id), None)
    row = session.get(ShopRow, connection.id) if connection else None
    return (connection, row) if connection and row else None


def shops(core: Core, session: Session, account: str, now: float) -> list[ShopFacts]:
    """The account's shops, by the names of their connections."""
    names = _names(core, session, account)
    counted = select(NoteRow.connection_id, func.count()).where(NoteRow.state == WAITING, _of(names))
    waiting = {row[0]: int(row[1]) for row in session.execute(counted.group_by(NoteRow.connection_id))}
    rows = {row.connection_id: row for row in session.scalars(select(ShopRow).where(ShopRow.connection_id.in_(names)))}
    return [
        ShopFacts(
            name,
            rows[key].kind,
            rows[key].url,
            rows[key].pattern,
            rows[key].deliveries,
            rows[key].paused,
            rows[key].said,
            rows[key].retry_at if rows[key].retry_at > now else None,
            waiting.get(key, 0),
        )
        for key, name in names.items()
        if key in rows
    ]


def notes(core: Core, session: Session, account: str, states: tuple[str, ...], limit: int) -> list[NoteFacts]:
    """The account's notes in these states, those that are due next first."""
    names = _names(core, session, account)
    query = select(NoteRow).where(_of(names), NoteRow.state.in_(states))
    return [
        NoteFacts(
            names[row.connection_id],
            row.message_id,
            row.recipient,
            row.kind,
            row.reference,
            row.state,
            row.attempts,
            row.next_at if row.state == WAITING else None,
            row.said,
        )
        for row in session.scalars(query.order_by(NoteRow.next_at, NoteRow.id).limit(limit))
    ]


def remove(session: Session, connection_id: int) -> None:
    """Forget a shop, its credentials and its notes."""
    session.execute(delete(NoteRow).where(NoteRow.connection_id == connection_id))
    session.execute(delete(ShopRow).where(ShopRow.connection_id == connection_id))


def _names(core: Core, session: Session, account: str) -> dict[int, str]:
    return {one.id: one.name for one in core.connections(session, core.account(session, account).id)}


def _of(names: dict[int, str]) -> ColumnElement[bool]:
    return NoteRow.connection_id.in_(list(names))
