"""Finds recipients of an account's messages: by an index where there is one, else by looking back for a moment."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, literal_column, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from postmeter.message.identifier import new_id, time_of
from postmeter.store.tables import (
    ADDRESSED,
    BOUNCED,
    CANCELLED,
    DEFERRED,
    DELIVERED,
    EXPIRED,
    HELD,
    LEASED,
    NAMED,
    QUEUED,
    REFERRED,
    SUPPRESSED,
    TROUBLE,
    TROUBLES,
    Connection,
    Message,
    Recipient,
)

STATES = {  # what one looks for, and the states that belong to it: as the statistics count them
    "queued": (QUEUED, LEASED, DEFERRED, HELD),
    "deferred": (DEFERRED,),
    "held": (HELD,),
    "delivered": (DELIVERED,),
    "bounced": (BOUNCED, EXPIRED),
    "expired": (EXPIRED,),
    "suppressed": (SUPPRESSED,),
    "cancelled": (CANCELLED,),
}
PATIENCE = 0.1  # seconds that one search looks back for what no index knows
FIRST = 1_000  # candidates that are looked at in the first step
GROWTH = 4  # how many times more each further step looks at
_LAST = 1 << 31  # behind all recipients of a message
_NEWEST = "Z" * 26  # behind all ids

_INDEXED = {"message_id": (NAMED,), "reference": (REFERRED,)}

Conditions = list[ColumnElement[bool]]


@dataclass(frozen=True)
class Wanted:
    """What is looked for; what is empty may be anything.

    ``recipient`` and ``sender`` are addresses, or domains behind an ``@``; ``subject`` and ``reason`` (the last
    answer of the remote side) are words that all have to be in it; ``state`` is a key of ``STATES``; ``message_id`` is
    the header field's value, ``reference`` what the sender calls its subject matter; ``since`` and ``until`` (not
    included) are seconds since the epoch.
    """

    id: str = ""
    message_id: str = ""
    reference: str = ""
    recipient: str = ""
    sender: str = ""
    subject: str = ""
    reason: str = ""
    state: str = ""
    connection_id: int | None = None
    domain: str = ""
    provider: str = ""
    since: float | None = None
    until: float | None = None


@dataclass(frozen=True)
class Place:
    """A recipient of a message; the next ones of a list are behind it: older messages, then greater numbers."""

    message_id: str
    n: int

    @classmethod
    def parse(cls, text: str) -> Place:
        """What ``str`` has made of a place; ValueError when it is none."""
        identifier, _, n = text.partition(".")
        time_of(identifier)
        if not n.isdecimal() or len(n) > 10:
            raise ValueError(f"not a place in a list: {text[:40]!r}")
        return cls(identifier, int(n))

    def __str__(self) -> str:
        return f"{self.message_id}.{self.n}"


@dataclass(frozen=True)
class Hit:
    """A recipient that was found, with its message; times in seconds since the epoch."""

    message_id: str
    n: int
    accepted_at: float
    forward_path: str
    state: str
    reply: str
    attempts: int
    final_at: float | None
    provider: str
    subject: str
    header_from: str
    reverse_path: str
    domain: str
    header_message_id: str
    reference: str
    connection: str  # its name today

    @property
    def place(self) -> Place:
        """Where it is in the list."""
        return Place(self.message_id, self.n)


@dataclass(frozen=True)
class Found:
    """A part of the list: ``older`` is where it goes on (None: that is all).

    ``looked_back_to``: the search has come to this moment (seconds since the epoch) and is not at its end, though
    there are fewer hits than asked for.
    """

    hits: tuple[Hit, ...]
    older: Place | None = None
    looked_back_to: float | None = None


def search(
    session: Session,
    account_id: int,
    wanted: Wanted,
    *,
    before: Place | None = None,
    limit: int = 50,
    patience: float = PATIENCE,
    clock: Callable[[], float] = time.monotonic,
) -> Found:
    """The newest recipients of an account's messages that are what is wanted, behind ``before``.

    What an index leads to is found at once. Anything else is looked for step by step, in steps that grow as long as
    ``patience`` (seconds by ``clock``) allows; the caller goes on from ``older``.
    """
    way = _way(account_id, wanted)
    conditions = _conditions(account_id, wanted)
    oldest = _id_at(wanted.since) if wanted.since is not None else ""
    high = before or Place(_id_at(wanted.until) if wanted.until is not None else _NEWEST, _LAST)
    hits: list[Hit] = []
    started, looked, step = clock(), 0, FIRST
    while True:
        low = way.reach(session, oldest, high, step)
        window = way.window(low or oldest, high, step)
        hits += _hits(session, [*conditions, *window], high, limit + 1 - len(hits))
        if len(hits) > limit:
            return Found(tuple(hits[:limit]), hits[limit - 1].place)
        if low is None:
            return Found(tuple(hits))
        high, looked = Place(low, _LAST), looked + step
        spent = max(clock() - started, 1e-6)
        step = min(step * GROWTH, int(looked * (patience / spent - 1)))
        if step < FIRST:
            return Found(tuple(hits), high, time_of(low) / 1000)


@dataclass(frozen=True)
class _Way:
    """Candidates in the order of their ids, as an index has them; ``all``: that of every message."""

    key: InstrumentedAttribute[str]
    conditions: Conditions
    all: bool = False

    def behind(self, high: Place) -> Select[Any]:
        """The candidates from a place on.

        There is no lower bound here: SQLite would think more of two bounds than of the index that leads to few. A
        message behind whose recipients it goes on is over, however many candidates it has.
        """
        rest = self.key < high.message_id if high.n == _LAST else self.key <= high.message_id
        return select(self.key).where(*self.conditions, rest).order_by(self.key.desc())

    def reach(self, session: Session, oldest: str, high: Place, step: int) -> str | None:
        """The id of the candidate that is ``step`` further than ``high``; None: there are not so many."""
        found: str | None = session.scalar(self.behind(high).offset(step).limit(1))
        return found if found is not None and found > oldest else None

    def window(self, low: str, high: Place, step: int) -> Conditions:
        """What holds for the candidates of one step: both tables are told the bounds, or which ones they are."""
        keys = (Recipient.message_id, Message.id)
        if self.all:
            return [*(key <= high.message_id for key in keys), *(key >= low for key in keys)]
        few = Recipient.message_id.in_(self.behind(high).limit(step + 1))
        return (
            [few, Recipient.message_id >= low] if low else [few]
        )  # SQLite would go by a bound that leaves out nothing


def _way(account_id: int, wanted: Wanted) -> _Way:
    """The index with the fewest candidates; that of all messages when nothing better is asked for."""
    for name in ("id", "message_id", "reference"):
        if value := getattr(wanted, name):
            return _Way(Message.id, [Message.account_id == account_id, *_exactly(name, value)])
    if wanted.recipient and not wanted.recipient.startswith("@"):
        return _Way(Recipient.message_id, [Recipient.account_id == account_id, _address(wanted.recipient)])
    if wanted.state and set(STATES[wanted.state]) <= set(TROUBLES):
        return _Way(Recipient.message_id, [Recipient.account_id == account_id, *_in_state(wanted.state)])
    return _Way(Message.id, [Message.account_id == account_id], all=True)


def _conditions(account_id: int, wanted: Wanted) -> Conditions:
    """All that must hold for a recipient and its message."""
    found: Conditions = [Recipient.account_id == account_id, Message.account_id == account_id]
    for name in ("id", "message_id", "reference"):
        if value := getattr(wanted, name):
            found += _exactly(name, value)
    if wanted.recipient:
        found.append(_address(wanted.recipient))
    if wanted.sender:
        found.append(_sender(wanted.sender))
    if wanted.state:
        found += _in_state(wanted.state)
    if wanted.connection_id is not None:
        found.append(Message.connection_id == wanted.connection_id)
    if wanted.domain:
        found.append(Message.domain == wanted.domain)
    if wanted.provider:
        found.append(Recipient.provider == wanted.provider)
    return [*found, *_words(Message.subject, wanted.subject), *_words(Recipient.reply, wanted.reason)]


def _exactly(name: str, value: str) -> Conditions:
    return [getattr(Message, name) == value, *[_said("message", condition) for condition in _INDEXED.get(name, ())]]


def _address(wanted: str) -> ColumnElement[bool]:
    lowered = func.lower(Recipient.forward_path)
    if wanted.startswith("@"):
        return lowered.endswith(wanted.lower(), autoescape=True)
    return and_(lowered == wanted.lower(), _said("recipient", ADDRESSED))


def _said(table: str, condition: str) -> ColumnElement[bool]:
    """The condition of an index, word for word: else no database would use it."""
    return literal_column(f"{table}.{condition}")


def _sender(wanted: str) -> ColumnElement[bool]:
    """Whose mail: the return path, or the domain in the From field."""
    path, domain = func.lower(Message.reverse_path), wanted.removeprefix("@").lower()
    if "@" in domain:
        return path == domain
    return or_(path.endswith(f"@{domain}", autoescape=True), func.lower(Message.header_from) == domain)


def _in_state(wanted: str) -> Conditions:
    states = STATES[wanted]
    return [Recipient.state.in_(states), *([_said("recipient", TROUBLE)] if set(states) <= set(TROUBLES) else [])]


def _words(column: InstrumentedAttribute[str], words: str) -> Conditions:
    """Each word is in it, in small or in capital letters (databases may know those of ASCII only)."""
    return [
        or_(*(column.icontains(form, autoescape=True) for form in sorted({word, *_forms(word)})))
        for word in words.split()
    ]


def _forms(word: str) -> Sequence[str]:
    return () if word.isascii() else (word.lower(), word.upper(), word.capitalize())


_HIT = (
    select(
        Recipient.message_id,
        Recipient.n,
        Message.accepted_at,
        Recipient.forward_path,
        Recipient.state,
        Recipient.reply,
        Recipient.attempts,
        Recipient.final_at,
        Recipient.provider,
        Message.subject,
        Message.header_from,
        Message.reverse_path,
        Message.domain,
        Message.message_id,
        Message.reference,
        func.coalesce(Connection.name, ""),
    )
    .join(Message, and_(Message.id == Recipient.message_id, Message.account_id == Recipient.account_id))
    .outerjoin(Connection, Connection.id == Message.connection_id)
    .order_by(Recipient.message_id.desc(), Recipient.n)
)


def _hits(session: Session, conditions: Conditions, high: Place, limit: int) -> list[Hit]:
    """The first recipients behind a place for which the conditions hold."""
    behind = or_(Recipient.message_id < high.message_id, Recipient.n > high.n)
    rows: Any = session.execute(_HIT.where(*conditions, behind).limit(limit))
    return [Hit(*row) for row in rows]


def _id_at(at: float) -> str:
    """The least id of a moment."""
    return new_id(int(max(at, 0) * 1000), bytes(10))
