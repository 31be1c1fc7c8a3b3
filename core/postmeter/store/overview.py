"""What the first pages show besides figures: the last bounces, what needs the operator, and accounts by their names."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Select, bindparam, func, select
from sqlalchemy.orm import Session

from postmeter.store import troubles
from postmeter.store.plugin_tables import Cursor, DeadLetter
from postmeter.store.tables import BOUNCED, EXPIRED, Account, Connection, Content, Event, Message, Recipient
from postmeter.store.troubles import Trouble

FEW = 5  # of many that are named


@dataclass(frozen=True)
class Bounce:
    """A recipient that was given up: the answer, the ``stage`` it came at (empty: not known), and when (seconds)."""

    message_id: str
    forward_path: str
    state: str
    reply: str
    stage: str
    at: float


@dataclass(frozen=True)
class Stopped:
    """An account, or a connection of it, that may not send, and why; ``connection`` empty: the whole account."""

    account: str
    connection: str
    reason: str


@dataclass(frozen=True)
class Stops:
    """How many there are, with the first of them by name."""

    count: int
    first: tuple[Stopped, ...]


@dataclass(frozen=True)
class Lagging:
    """A plugin that fails with what it is told: ``failures`` in a row (the last with ``error``), ``dead`` given up."""

    plugin: str
    failures: int
    dead: int
    error: str


@dataclass(frozen=True)
class Attention:
    """What the operator should look at; ``oldest``: when the oldest message came in of which somebody still waits."""

    blocked: Stops
    paused: Stops
    troubles: tuple[Trouble, ...]
    lagging: tuple[Lagging, ...]
    oldest: float | None


# The states are written into the statement: SQLite uses a partial index only for a condition that it can read.
_failed = Recipient.state.in_(bindparam("failed", (BOUNCED, EXPIRED), expanding=True, literal_execute=True))
_LAST = select(Recipient).where(_failed, Recipient.account_id == bindparam("account"))
_LAST = _LAST.order_by(Recipient.final_at.desc()).limit(bindparam("limit"))


def last_bounces(session: Session, account_id: int, limit: int = 10) -> list[Bounce]:
    """The recipients of an account that were given up last, the latest first."""
    rows = session.scalars(_LAST, {"account": account_id, "limit": limit}).all()
    stages = _stages(session, account_id, {row.message_id for row in rows})
    return [
        Bounce(
            row.message_id,
            row.forward_path,
            row.state,
            row.reply,
            stages.get((row.message_id, row.n), ""),
            row.final_at or 0.0,
        )
        for row in rows
    ]


def connection_names(session: Session, account_id: int) -> dict[int, str]:
    """The names of an account's connections by number, also of those that were given up."""
    rows = session.execute(select(Connection.id, Connection.name).where(Connection.account_id == account_id))
    return {row.id: row.name for row in rows}


def account_names(session: Session, numbers: Collection[int]) -> dict[int, str]:
    """The names of these accounts."""
    rows = session.execute(select(Account.id, Account.name).where(Account.id.in_(numbers)))
    return {row.id: row.name for row in rows}


def accounts_like(session: Session, text: str, after: str, limit: int) -> list[str]:
    """The next names of accounts behind ``after``, in order, that have ``text`` in them, in capitals or not."""
    query = select(Account.name).where(Account.name > after, Account.name.icontains(text, autoescape=True))
    return list(session.scalars(query.order_by(Account.name).limit(limit)))


def attention(session: Session) -> Attention:
    """What the operator should look at, of all accounts."""
    blocked = select(Account.name, Account.blocked).where(Account.blocked != "")
    paused = select(Account.name, Connection.name, Connection.paused).join(Connection)
    paused = paused.where(Connection.paused != "", Connection.retired_at.is_(None))
    # Contents are dropped with the last state of their message, and identifiers are in order of time.
    oldest = select(Message.accepted_at).where(Message.id == select(func.min(Content.message_id)).scalar_subquery())
    return Attention(
        blocked=_stops(session, blocked.order_by(Account.name)),
        paused=_stops(session, paused.order_by(Account.name, Connection.name)),
        troubles=tuple(troubles.present(session)),
        lagging=_lagging(session),
        oldest=session.scalar(oldest),
    )


def _stages(session: Session, account_id: int, messages: Collection[str]) -> dict[tuple[str, int | None], str]:
    """Where the attempts ended with which recipients of these messages were given up."""
    query = select(Event.message_id, Event.recipient, Event.facts).where(
        Event.message_id.in_(messages), Event.account_id == account_id, Event.kind.in_((BOUNCED, EXPIRED))
    )
    return {(row.message_id, row.recipient): str(row.facts.get("stage", "")) for row in session.execute(query)}


def _stops(session: Session, query: Select[*tuple[str, ...]]) -> Stops:
    count = session.scalar(select(func.count()).select_from(query.order_by(None).subquery())) or 0
    rows = session.execute(query.limit(FEW)) if count else ()
    return Stops(count, tuple(Stopped(row[0], "".join(row[1:-1]), row[-1]) for row in rows))


def _lagging(session: Session) -> tuple[Lagging, ...]:
    counted = select(DeadLetter.plugin, func.count().label("number")).group_by(DeadLetter.plugin)
    dead = {row.plugin: int(row.number) for row in session.execute(counted)}
    cursors = {row.plugin: row for row in session.scalars(select(Cursor).where(Cursor.failures > 0))}
    return tuple(
        Lagging(name, row.failures if row else 0, dead.get(name, 0), row.error if row else "")
        for name in sorted({*dead, *cursors})
        for row in [cursors.get(name)]
    )
