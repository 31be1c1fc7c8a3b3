"""What attempts came to: states, charge, counters and events of a group of recipients in one commit."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, delete, exists, update
from sqlalchemy.orm import Session

from postmeter.store import events, ledger
from postmeter.store.counters import Change, count
from postmeter.store.queue import QueuedMessage, QueuedRecipient
from postmeter.store.tables import DEFERRED, DELIVERED, FINAL, Content, Recipient

_UPDATE = (
    update(Recipient.__table__)  # type: ignore[arg-type]
    .where(
        Recipient.message_id == bindparam("m"),
        Recipient.account_id == bindparam("a"),
        Recipient.n == bindparam("r"),
        Recipient.lease_owner == bindparam("owner"),  # who lost the lease has no say
    )
    .values(
        state=bindparam("s"),
        lease_owner=None,
        attempts=Recipient.attempts + 1,
        in_doubt=Recipient.in_doubt + bindparam("doubt", type_=Recipient.in_doubt.type),
        next_attempt_at=bindparam("next"),
        final_at=bindparam("final"),
        reply=bindparam("text"),
        charge=bindparam("paid"),
        unknown_since=bindparam("unknown"),
    )
)
_others = Recipient.__table__.alias("others")
_DROP_CONTENT = delete(Content.__table__).where(  # type: ignore[arg-type]
    Content.message_id == bindparam("m"),
    Content.account_id == bindparam("a"),
    ~exists().where(_others.c.message_id == bindparam("m"), _others.c.state.not_in(FINAL)),
)


@dataclass(frozen=True, slots=True)
class Settlement:
    """How an attempt of one recipient ended.

    ``state`` is delivered, bounced, expired or deferred (then ``next_attempt_at`` says until when);
    ``transmitted``: a mail server was given it, so the unit is charged; ``in_doubt``: it may have arrived though
    no answer came; ``facts`` go into the event.
    """

    message: QueuedMessage
    recipient: QueuedRecipient
    worker: int
    state: str
    reply: str
    at: float
    next_attempt_at: float
    transmitted: bool
    in_doubt: bool
    facts: dict[str, Any]

    @property
    def final(self) -> bool:
        """Whether the recipient waits no more."""
        return self.state in FINAL

    @property
    def charge(self) -> str:
        """What becomes of the unit: charged at the first transmission, released if nothing was ever sent."""
        if self.recipient.charge == "reserved" and self.transmitted:
            return "charged"
        if self.recipient.charge == "reserved" and self.final:
            return "released"
        return self.recipient.charge


def settle(session: Session, settlements: Sequence[Settlement]) -> list[bool]:
    """Record all outcomes; False for those whose lease another worker has taken over (nothing is recorded)."""
    held = _update(session, settlements)
    settled = [s for s, ok in zip(settlements, held, strict=True) if ok]
    if settled:
        now = max(s.at for s in settled)
        for kind, charge in (("charge", "charged"), ("release", "released")):
            ledger.move(session, kind, _units(settled, charge), now)
        events.record(session, [_event(s) for s in settled])
        count(session, [change for s in settled for change in _changes(s)])
        done = {(s.message.id, s.message.account_id) for s in settled if s.final}
        if done:
            session.connection().execute(_DROP_CONTENT, [{"m": m, "a": a} for m, a in sorted(done)])
    return held


def _update(session: Session, settlements: Sequence[Settlement]) -> list[bool]:
    connection = session.connection()
    rows = [_row(settlement) for settlement in settlements]
    with connection.begin_nested() as attempt:
        if connection.execute(_UPDATE, rows).rowcount == len(rows):
            return [True] * len(rows)
        attempt.rollback()  # some are not ours any more: find out which
    return [connection.execute(_UPDATE, row).rowcount == 1 for row in rows]


def _row(s: Settlement) -> dict[str, Any]:
    return {
        "m": s.message.id,
        "a": s.message.account_id,
        "r": s.recipient.n,
        "owner": s.worker,
        "s": s.state,
        "doubt": int(s.in_doubt),
        "next": s.next_attempt_at,
        "final": s.at if s.final else None,
        "text": s.reply,
        "paid": s.charge,
        "unknown": s.facts.get("unknown_since"),
    }


def _units(settlements: Sequence[Settlement], charge: str) -> Tally[tuple[int, int | None]]:
    return Tally(
        (s.message.account_id, s.recipient.block_id)
        for s in settlements
        if s.charge == charge and s.recipient.charge == "reserved"
    )


def _event(s: Settlement) -> dict[str, Any]:
    facts = {"reply": s.reply, "attempt": s.recipient.attempts + 1, **s.facts}
    if s.in_doubt:
        facts["possible_duplicate"] = True
    return events.about_recipient(s.message.account_id, s.message.id, s.recipient.n, s.state, s.at, facts)


def _changes(s: Settlement) -> list[Change]:
    """The counters that move: expired counts as bounced; deferred is the part of queued that was tried."""
    where = (s.message.account_id, s.message.connection_id, s.at)
    was_deferred = s.recipient.attempts > 0
    if s.state == DEFERRED:
        return [] if was_deferred else [(*where, "deferred", 1)]
    changes: list[Change] = [(*where, "delivered" if s.state == DELIVERED else "bounced", 1)]
    return [*changes, (*where, "deferred", -1)] if was_deferred else changes
