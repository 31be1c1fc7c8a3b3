"""Tells of recipients that still wait when they are late, each mark of each once, whoever of the workers comes by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Integer, bindparam, select, update
from sqlalchemy.orm import Session

from postmeter.message.envelope import Recipient as ForwardPath
from postmeter.message.notification import Report
from postmeter.store import events
from postmeter.store.base import table
from postmeter.store.lateness import MARKS, next_mark
from postmeter.store.notifications import Case, Notifier
from postmeter.store.queue import queued_message
from postmeter.store.statement import Statement
from postmeter.store.tables import DEFERRED, QUEUED, Message, Recipient

BATCH = 500  # recipients in one transaction: whoever waits for it waits a moment

# The states are written into the statement: SQLite uses a partial index only for a condition that it can read.
_waits = Recipient.state.in_(bindparam("waiting", (QUEUED, DEFERRED), expanding=True, literal_execute=True))
_LATE = (
    select(Recipient, Message)
    .join(Message, (Message.id == Recipient.message_id) & (Message.account_id == Recipient.account_id))
    .where(_waits, Recipient.warn_at <= bindparam("now"))
    .order_by(Recipient.warn_at)
    .limit(bindparam("limit", type_=Integer()))
    .with_for_update(of=Recipient, skip_locked=True)
)
_MOVE = Statement(
    update(table(Recipient))
    .where(
        Recipient.message_id == bindparam("m"),
        Recipient.account_id == bindparam("a"),
        Recipient.n == bindparam("r"),
    )
    .values(warn_at=bindparam("warn"))
)


class Delays:
    """The change that tells of what is late at a time, also to the senders who have asked for that."""

    def __init__(self, notifier: Notifier) -> None:
        self._notifier = notifier

    def __call__(self, session: Session, times: Sequence[float]) -> list[int]:
        """Write the events that are due at each time, and set the marks that follow; how many there were."""
        return [self._tell(session, now) for now in times]

    def _tell(self, session: Session, now: float) -> int:
        late = session.execute(_LATE, {"now": now, "limit": BATCH}).all()
        if late:
            _MOVE.run(session, [_moved(row, now) for row, _ in late])
            events.record(session, [_event(row, now) for row, _ in late])
            cases = [case for row, message in late if (case := self._case(row, message, now))]
            self._notifier.send(session, self._notifier.compose(session, cases, now), now)
        return len(late)

    def _case(self, row: Recipient, of: Message, now: float) -> Case | None:
        """What the sender is to be told at the first mark."""
        path = ForwardPath(row.forward_path, row.notify, row.orcpt)
        message = queued_message(of)
        told_before = (row.warn_at or 0.0) > row.leaves_at + sum(MARKS) / 2
        if told_before or not self._notifier.owes(message, path, "delayed"):
            return None
        until = row.leaves_at + (message.lifetime or self._notifier.lifetime)
        return Case(message, row.n, Report(row.forward_path, "delayed", row.reply, None, row.orcpt, "", until))


def _moved(row: Recipient, now: float) -> dict[str, Any]:
    return {"m": row.message_id, "a": row.account_id, "r": row.n, "warn": next_mark(row.leaves_at, now)}


def _event(row: Recipient, now: float) -> dict[str, Any]:
    facts = {
        "after": round(now - row.leaves_at),
        "reply": row.reply,
        "attempts": row.attempts,
        "next_attempt_at": row.next_attempt_at,
    }
    return events.about_recipient(row.account_id, row.message_id, row.n, "delayed", now, facts)
