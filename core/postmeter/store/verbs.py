"""What a person can do with recipients that wait: hold, release, retry now, cancel; not with those a worker has.

A held recipient's lifetime stands still. A cancelled one gives its unit back if nothing was ever sent.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, and_, bindparam, or_, select, update
from sqlalchemy.orm import Session

from postmeter.store import events, ledger, standing
from postmeter.store.base import table
from postmeter.store.counters import Change, count
from postmeter.store.own_mail import OPERATOR
from postmeter.store.queue_filter import PARTS
from postmeter.store.settle import drop_contents
from postmeter.store.statement import Statement
from postmeter.store.tables import CANCELLED, DEFERRED, HELD, QUEUED, Message, Recipient

WAITS = (QUEUED, DEFERRED)  # for its time, in nobody's hands


class Key(NamedTuple):
    """Which recipient is meant."""

    message_id: str
    account_id: int
    n: int


@dataclass(frozen=True)
class Verb:
    """What is done to recipients in one of the states ``of``, for whom ``if_`` holds, and the event that tells of it.

    ``change`` gives the columns that get another value.
    """

    of: tuple[tuple[str, ...], ...]
    event: str
    change: Callable[[Any, float], dict[str, Any]]
    if_: Callable[[float], ColumnElement[bool]] | None = None

    def parts(self, now: float) -> list[list[ColumnElement[bool]]]:
        """The conditions for each part of the queue that it concerns."""
        further = [] if self.if_ is None else [self.if_(now)]
        return [[PARTS[states], *further] for states in self.of]


def _hold(_row: Any, now: float) -> dict[str, Any]:
    return {"s": HELD, "next": now}  # since when it is held


def _release(row: Any, now: float) -> dict[str, Any]:
    stood = now - max(row.leaves_at, row.next_attempt_at)  # below 0: its slot of the hourly limit is still to come
    leaves_at = row.leaves_at + max(0.0, stood)
    warn_at = None if row.warn_at is None else row.warn_at + leaves_at - row.leaves_at
    state = DEFERRED if row.attempts else QUEUED
    return {"s": state, "leaves": leaves_at, "next": max(now, leaves_at), "warn": warn_at}


def _retry(_row: Any, now: float) -> dict[str, Any]:
    return {"next": now}


def _cancel(row: Any, now: float) -> dict[str, Any]:
    paid = "released" if row.charge == "reserved" else row.charge
    return {"s": CANCELLED, "final": now, "paid": paid, "warn": None}


def _may_leave(now: float) -> ColumnElement[bool]:
    """Whether it waits for another attempt, and not for its slot of the hourly limit."""
    return (Recipient.next_attempt_at > now) & (Recipient.leaves_at <= now)


VERBS = {
    "hold": Verb((WAITS,), "held", _hold),
    "release": Verb(((HELD,),), "released", _release),
    "retry": Verb((WAITS,), "retried", _retry, _may_leave),
    "cancel": Verb((WAITS, (HELD,)), CANCELLED, _cancel),
}

_COLUMNS = (
    *(Recipient.message_id, Recipient.account_id, Recipient.n, Recipient.connection_id, Recipient.state),
    *(Recipient.leaves_at, Recipient.next_attempt_at, Recipient.attempts, Recipient.block_id, Recipient.charge),
    *(Recipient.provider, Recipient.warn_at, Message.domain),
)
_BEHIND = (Message.id == Recipient.message_id) & (Message.account_id == Recipient.account_id)
_CHANGE = Statement(
    update(table(Recipient))
    .where(
        Recipient.message_id == bindparam("m"),
        Recipient.account_id == bindparam("a"),
        Recipient.n == bindparam("r"),
    )
    .values(
        state=bindparam("s"),
        next_attempt_at=bindparam("next"),
        leaves_at=bindparam("leaves"),
        final_at=bindparam("final"),
        charge=bindparam("paid"),
        warn_at=bindparam("warn"),
    )
)


def act(
    session: Session,
    name: str,
    keys: Sequence[Key],
    now: float,
    by: str,
    conditions: Iterable[ColumnElement[bool]] = (),
) -> int:
    """Carry a verb out on those recipients that it still concerns; on how many.

    It passes over what others hold at this moment, and waits for nobody but who holds the accounts.
    """
    verb = VERBS[name]
    if verb.event == CANCELLED:  # who books a block locks its account first, and then what waits: so do we
        standing.lock_all(session, {key.account_id for key in keys} - {OPERATOR})
    concerned = or_(*(and_(*part) for part in verb.parts(now)))
    rows = _locked(session, keys, [concerned, *conditions])
    if rows:
        _CHANGE.run(session, [_row(row, verb, now) for row in rows])
        facts = {"by": by}
        told = [events.about_recipient(r.account_id, r.message_id, r.n, verb.event, now, facts) for r in rows]
        events.record(session, told)
        if verb.event == CANCELLED:
            _settle(session, rows, now)
    return len(rows)


def _locked(session: Session, keys: Sequence[Key], conditions: list[ColumnElement[bool]]) -> list[Any]:
    """Those that still are so; PostgreSQL finds them by message ten times faster than by all three columns."""
    wanted = set(keys)
    of_messages = Recipient.message_id.in_({key.message_id for key in keys})
    query = select(*_COLUMNS).join(Message, _BEHIND).where(of_messages, *conditions).order_by(*_COLUMNS[:3])
    rows = session.execute(query.with_for_update(of=Recipient, skip_locked=True))
    return [row for row in rows if Key(row.message_id, row.account_id, row.n) in wanted]


def _row(row: Any, verb: Verb, now: float) -> dict[str, Any]:
    return {
        "m": row.message_id,
        "a": row.account_id,
        "r": row.n,
        "s": row.state,
        "next": row.next_attempt_at,
        "leaves": row.leaves_at,
        "final": None,
        "paid": row.charge,
        "warn": row.warn_at,
        **verb.change(row, now),
    }


def _settle(session: Session, rows: Sequence[Any], now: float) -> None:
    """Units, counters and contents of what was cancelled."""
    released = Tally((row.account_id, row.block_id) for row in rows if row.charge == "reserved")
    ledger.move(session, "release", released, now)
    count(session, [change for row in rows for change in _changes(row, now)])
    drop_contents(session, sorted({(row.message_id, row.account_id) for row in rows}))


def _changes(row: Any, now: float) -> list[Change]:
    moved = [(CANCELLED, 1), *([("deferred", -1)] if row.attempts else [])]
    return [Change(row.account_id, row.connection_id, now, name, by, row.domain, row.provider) for name, by in moved]
