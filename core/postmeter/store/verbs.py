"""What a person can do with recipients that wait: hold, release, retry, reroute, cancel, bounce; none a worker has.

A held recipient's lifetime stands still. What is cancelled or bounced gives its unit back if nothing was ever sent.
"""

from __future__ import annotations

import contextlib
import re
from collections import Counter as Tally
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, and_, bindparam, or_, select, true, update
from sqlalchemy.orm import Session

from postmeter import config
from postmeter.errors import ConfigError, UsageError
from postmeter.message.envelope import Recipient as ForwardPath
from postmeter.smtp.reply import Reply
from postmeter.store import events, ledger, standing
from postmeter.store.base import table
from postmeter.store.connections import told_reason
from postmeter.store.counters import Change, count
from postmeter.store.notifications import Failed, Notifier
from postmeter.store.own_mail import OPERATOR
from postmeter.store.queue_filter import PARTS
from postmeter.store.settle import drop_contents
from postmeter.store.statement import Statement
from postmeter.store.tables import BOUNCED, CANCELLED, DEFERRED, FINAL, HELD, QUEUED, Message, Recipient

WAITS = (QUEUED, DEFERRED)  # for its time, in nobody's hands
MX = "mx"  # where mail is rerouted to when it is to go again where the settings or the DNS say
BY_OPERATOR = "operator"  # the class of a failure that was a person's decision

_looks_like_hop = re.compile(r"(?=.{1,260}\Z)(?:[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\]):\d{1,5}").fullmatch


class Key(NamedTuple):
    """Which recipient is meant."""

    message_id: str
    account_id: int
    n: int


@dataclass(frozen=True)
class Verb:
    """What is done to recipients in one of the states ``of``, for whom ``if_`` holds, and the event that tells of it.

    ``change`` gives the columns that get another value. ``object``: what has to be said besides (a reason, a next hop),
    and ``clean`` makes of it what is kept, or raises UsageError.
    """

    of: tuple[tuple[str, ...], ...]
    event: str
    change: Callable[[Any, float, str], dict[str, Any]]
    if_: Callable[[float, str], ColumnElement[bool]] | None = None
    object: str = ""
    clean: Callable[[str], str] = str

    def parts(self, now: float, object: str = "") -> list[list[ColumnElement[bool]]]:
        """The conditions for each part of the queue that it concerns; ``object`` empty: whatever will be said."""
        further = [] if self.if_ is None else [self.if_(now, object)]
        return [[PARTS[states], *further] for states in self.of]


def _hold(_row: Any, now: float, _: str) -> dict[str, Any]:
    return {"s": HELD, "next": now}  # since when it is held


def _release(row: Any, now: float, _: str) -> dict[str, Any]:
    stood = now - max(row.leaves_at, row.next_attempt_at)  # below 0: its slot of the hourly limit is still to come
    leaves_at = row.leaves_at + max(0.0, stood)
    state = DEFERRED if row.attempts else QUEUED
    later = {
        name: None if at is None else at + leaves_at - row.leaves_at
        for name, at in (("warn", row.warn_at), ("failing", row.failing_since))
    }
    return {"s": state, "leaves": leaves_at, "next": max(now, leaves_at), **later}


def _retry(_row: Any, now: float, _: str) -> dict[str, Any]:
    return {"next": now}


def _reroute(row: Any, now: float, hop: str) -> dict[str, Any]:
    again = row.next_attempt_at if row.state == HELD else max(now, row.leaves_at)
    return {"route": "" if hop == MX else hop, "next": again}


def _cancel(row: Any, now: float, _: str) -> dict[str, Any]:
    paid = "released" if row.charge == "reserved" else row.charge
    return {"s": CANCELLED, "final": now, "paid": paid, "warn": None}


def _bounce(row: Any, now: float, reason: str) -> dict[str, Any]:
    return {**_cancel(row, now, ""), "s": BOUNCED, "text": refusal(reason), "failure": BY_OPERATOR}


def _may_leave(now: float, _: str) -> ColumnElement[bool]:
    """Whether it waits for another attempt, and not for its slot of the hourly limit."""
    return (Recipient.next_attempt_at > now) & (Recipient.leaves_at <= now)


def _goes_elsewhere(_now: float, hop: str) -> ColumnElement[bool]:
    return Recipient.route != ("" if hop == MX else hop) if hop else true()


def refusal(reason: str) -> str:
    """The answer that senders are given when a person bounces their mail."""
    return str(Reply(550, "5.7.0", reason))


def _next_hop(text: str) -> str:
    text = text.strip().lower()
    if text != MX and not _is_hop(text):
        raise UsageError(f"{text[:80]!r} is no next hop such as 192.0.2.1:25, mail.example.org:25 or mx")
    return text


def _is_hop(text: str) -> bool:
    with contextlib.suppress(ConfigError):
        return bool(_looks_like_hop(text) and config.address("to", text)[1])
    return False


VERBS = {
    "hold": Verb((WAITS,), "held", _hold),
    "release": Verb(((HELD,),), "released", _release),
    "retry": Verb((WAITS,), "retried", _retry, _may_leave),
    "reroute": Verb((WAITS, (HELD,)), "rerouted", _reroute, _goes_elsewhere, "to", _next_hop),
    "cancel": Verb((WAITS, (HELD,)), CANCELLED, _cancel),
    "bounce": Verb((WAITS, (HELD,)), BOUNCED, _bounce, None, "reply", told_reason),
}

_COLUMNS = (
    *(Recipient.message_id, Recipient.account_id, Recipient.n, Recipient.connection_id, Recipient.state),
    *(Recipient.leaves_at, Recipient.next_attempt_at, Recipient.attempts, Recipient.block_id, Recipient.charge),
    *(Recipient.provider, Recipient.reply, Recipient.route, Recipient.failure, Recipient.warn_at, Message.domain),
    *(Recipient.forward_path, Recipient.notify, Recipient.orcpt, Recipient.failing_since),
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
        reply=bindparam("text"),
        route=bindparam("route"),
        failure=bindparam("failure"),
        warn_at=bindparam("warn"),
        failing_since=bindparam("failing"),
    )
)


def act(
    session: Session,
    name: str,
    keys: Sequence[Key],
    now: float,
    by: str,
    conditions: Iterable[ColumnElement[bool]] = (),
    object: str = "",
    notifier: Notifier | None = None,
) -> int:
    """Carry a verb out on those recipients that it still concerns; on how many.

    It passes over what others hold at this moment, and waits for nobody but who holds the accounts. The ``notifier``
    writes to the senders of what is bounced.
    """
    verb = VERBS[name]
    if verb.event in FINAL:  # who books a block locks its account first, and then what waits: so do we
        standing.lock_all(session, {key.account_id for key in keys} - {OPERATOR})
    concerned = or_(*(and_(*part) for part in verb.parts(now, object)))
    rows = _locked(session, keys, [concerned, *conditions])
    if rows:
        _CHANGE.run(session, [_row(row, verb, now, object) for row in rows])
        facts = {"by": by}
        if verb.object:
            facts[verb.object] = refusal(object) if verb.event == BOUNCED else object
        told = [events.about_recipient(r.account_id, r.message_id, r.n, verb.event, now, facts) for r in rows]
        events.record(session, told)
        if verb.event in FINAL:
            letters = notifier.about(session, _failed(rows, object), now) if notifier and verb.event == BOUNCED else []
            _settle(session, rows, verb.event, now)  # the content goes with the last recipient
            if notifier:
                notifier.send(session, letters, now)
    return len(rows)


def _failed(rows: Iterable[Any], reason: str) -> list[Failed]:
    return [
        Failed(row.message_id, row.n, ForwardPath(row.forward_path, row.notify, row.orcpt), refusal(reason))
        for row in rows
    ]


def _locked(session: Session, keys: Sequence[Key], conditions: list[ColumnElement[bool]]) -> list[Any]:
    """Those that still are so; PostgreSQL finds them by message ten times faster than by all three columns."""
    wanted = set(keys)
    of_messages = Recipient.message_id.in_({key.message_id for key in keys})
    query = select(*_COLUMNS).join(Message, _BEHIND).where(of_messages, *conditions).order_by(*_COLUMNS[:3])
    rows = session.execute(query.with_for_update(of=Recipient, skip_locked=True))
    return [row for row in rows if Key(row.message_id, row.account_id, row.n) in wanted]


def _row(row: Any, verb: Verb, now: float, object: str) -> dict[str, Any]:
    return {
        "m": row.message_id,
        "a": row.account_id,
        "r": row.n,
        "s": row.state,
        "next": row.next_attempt_at,
        "leaves": row.leaves_at,
        "final": None,
        "paid": row.charge,
        "text": row.reply,
        "route": row.route,
        "failure": row.failure,
        "warn": row.warn_at,
        "failing": row.failing_since,
        **verb.change(row, now, object),
    }


def _settle(session: Session, rows: Sequence[Any], state: str, now: float) -> None:
    """Units, counters and contents of what waits no more."""
    released = Tally((row.account_id, row.block_id) for row in rows if row.charge == "reserved")
    ledger.move(session, "release", released, now)
    count(session, [change for row in rows for change in _changes(row, state, now)])
    drop_contents(session, sorted({(row.message_id, row.account_id) for row in rows}))


def _changes(row: Any, state: str, now: float) -> list[Change]:
    moved = [(state, 1), *([("deferred", -1)] if row.attempts else [])]
    return [Change(row.account_id, row.connection_id, now, name, by, row.domain, row.provider) for name, by in moved]
