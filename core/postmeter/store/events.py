"""Events: committed facts, written in the transaction of the fact and read in an order that skips none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, func, insert, literal_column, or_, select, tuple_
from sqlalchemy.orm import Session

from postmeter.store.base import table
from postmeter.store.statement import Statement
from postmeter.store.tables import Event, Followed, Message, Recipient

# PostgreSQL numbers events before they are visible: a transaction that commits late would be passed over. So each
# event carries its transaction's number, and readers stop before the oldest transaction that is still open.
_THIS_TRANSACTION: ColumnElement[int] = literal_column("(pg_current_xact_id()::text)::bigint")
_OLDEST_OPEN: ColumnElement[int] = literal_column("(pg_snapshot_xmin(pg_current_snapshot())::text)::bigint")

BEFORE_ALL = -(2**62)  # no transaction's number, not even after a move to another server (``moved``)

_COLUMNS = ("account_id", "kind", "message_id", "recipient", "at", "facts")
_INSERT = Statement(insert(table(Event)), _COLUMNS)
_INSERT_PG = Statement(insert(table(Event)).values(tx=_THIS_TRANSACTION), _COLUMNS)


Conditions = Sequence[ColumnElement[bool]]

_ABOUT = (
    (Recipient.message_id == Event.message_id)
    & (Recipient.account_id == Event.account_id)
    & (Recipient.n == Event.recipient)
)
_OF = (Message.id == Event.message_id) & (Message.account_id == Event.account_id)
_EVENTS = select(
    Event.id,
    func.coalesce(Event.tx, 0),
    Event.account_id,
    Event.kind,
    Event.message_id,
    Event.recipient,
    Event.at,
    Event.facts,
    Recipient.forward_path,
    Message.connection_id,
    func.coalesce(Message.reference, ""),
)
_EVENTS = _EVENTS.outerjoin(Recipient, _ABOUT).outerjoin(Message, _OF)


@dataclass(frozen=True, slots=True)
class Fact:
    """An event as read: (``tx``, ``id``) orders all events, ``facts`` holds what belongs to its kind.

    ``forward_path`` is the address of the recipient that it is about, ``connection_id`` and ``reference`` are the
    message's.
    """

    id: int
    tx: int
    account_id: int
    kind: str
    message_id: str | None
    recipient: int | None
    at: float
    facts: dict[str, Any]
    forward_path: str | None = None
    connection_id: int | None = None
    reference: str = ""

    @property
    def lane(self) -> str:
        """What has an order: the message, or the account when the event is about none."""
        return self.message_id or f"account {self.account_id}"


@dataclass(frozen=True, slots=True)
class Position:
    """Where a reader stands: behind the event (``tx``, ``event_id``).

    It has failed ``failures`` times in a row, and reads no more until ``retry_at``; ``turn`` counts its changes.
    """

    tx: int
    event_id: int
    failures: int = 0
    retry_at: float = 0.0
    turn: int = 0


@dataclass(frozen=True, slots=True)
class Summary:
    """How many events there are, the ``first`` and the ``last`` number, and when the oldest one happened."""

    count: int
    first: int
    last: int
    oldest: float


def about_recipient(
    account_id: int, message_id: str | None, recipient: int | None, kind: str, at: float, facts: dict[str, Any]
) -> dict[str, Any]:
    """A row for ``record``: something happened to a message or to one of its recipients."""
    return {
        "account_id": account_id,
        "kind": kind,
        "message_id": message_id,
        "recipient": recipient,
        "at": at,
        "facts": facts,
    }


def about_account(account_id: int, kind: str, at: float, facts: dict[str, Any]) -> dict[str, Any]:
    """A row for ``record``: something happened to an account."""
    return about_recipient(account_id, None, None, kind, at, facts)


def record(session: Session, rows: Sequence[dict[str, Any]]) -> None:
    """Write events; they become visible with the commit of their fact."""
    (_INSERT_PG if _postgresql(session) else _INSERT).run(session, rows)


def after(
    session: Session, position: Position, limit: int, kinds: Sequence[str], follower: str | None = None
) -> list[Fact]:
    """The next events of these kinds behind a position, in order.

    ``follower``: of messages only those of connections that this plugin follows.
    """
    visible = (Event.tx < _OLDEST_OPEN,) if _postgresql(session) else ()
    return _read(session, limit, behind(session, position), *wanted(kinds, follower), *visible)


def before(session: Session, start: Position, end: Position, limit: int, conditions: Conditions) -> list[Fact]:
    """The next events behind ``start`` up to ``end``, where a reader stood, in order.

    None of them can be missing: a reader stands before all that a transaction may still add.
    """
    return _read(session, limit, behind(session, start), not_behind(session, end), *conditions)


def since(session: Session, account_id: int, at: float, kinds: Sequence[str], behind: int, limit: int) -> list[Fact]:
    """The next events of an account and its mail since ``at`` that are visible now, by number, behind that one."""
    these = (Event.account_id == account_id, Event.at >= at, Event.kind.in_(kinds), Event.id > behind)
    return [Fact(*row) for row in session.execute(_EVENTS.where(*these).order_by(Event.id).limit(limit))]


def summary(session: Session, conditions: Conditions) -> Summary:
    """How many events there are for which these conditions hold, and which."""
    figures = func.count(), func.min(Event.id), func.max(Event.id), func.min(Event.at)
    query = select(*figures).select_from(Event).outerjoin(Message, _OF).where(*conditions)
    return Summary(*(figure or 0 for figure in session.execute(query).one()))


def wanted(kinds: Sequence[str], follower: str | None) -> Conditions:
    """The conditions for events of these kinds, and ``follower`` as for ``after``."""
    own = select(Followed.connection_id).where(Followed.plugin == follower)
    follows = or_(Event.message_id.is_(None), Message.connection_id.in_(own))
    return [Event.kind.in_(kinds), *([] if follower is None else [follows])]


def behind(session: Session, position: Position) -> ColumnElement[bool]:
    """The condition for events that who stands there has not read."""
    if _postgresql(session):
        return tuple_(Event.tx, Event.id) > tuple_(position.tx, position.event_id)
    return Event.id > position.event_id


def not_behind(session: Session, position: Position) -> ColumnElement[bool]:
    """The condition for events that who stands there has passed."""
    if _postgresql(session):
        return tuple_(Event.tx, Event.id) <= tuple_(position.tx, position.event_id)
    return Event.id <= position.event_id


def _read(session: Session, limit: int, *conditions: ColumnElement[bool]) -> list[Fact]:
    order = (Event.tx, Event.id) if _postgresql(session) else (Event.id,)
    return [Fact(*row) for row in session.execute(_EVENTS.where(*conditions).order_by(*order).limit(limit))]


def these(session: Session, numbers: Sequence[int]) -> dict[int, Fact]:
    """Events by their numbers."""
    return {row.id: Fact(*row) for row in session.execute(_EVENTS.where(Event.id.in_(numbers)))}


def newest(session: Session) -> Position:
    """The position behind all events that ``after`` can give now: what comes later is never before it.

    Nothing is skipped by going there from the end of an ``after`` of the same state of the database (``Store.read``).
    """
    tx = 0
    if _postgresql(session):
        tx = (session.scalar(select(_OLDEST_OPEN)) or 1) - 1
    return Position(tx, session.scalar(select(func.max(Event.id))) or 0)


def _postgresql(session: Session) -> bool:
    return session.get_bind().dialect.name == "postgresql"
