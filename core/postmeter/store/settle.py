"""What attempts came to: states, charge, counters and events of a group of recipients in one commit."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, bindparam, delete, exists, literal_column, or_, text, update
from sqlalchemy.orm import Session

from postmeter.message.bounce import Classification
from postmeter.store import events, failures, ledger
from postmeter.store.base import table
from postmeter.store.counters import Change, count
from postmeter.store.failures import Failed, Refusal
from postmeter.store.lateness import first_mark
from postmeter.store.queue import QueuedMessage, QueuedRecipient
from postmeter.store.statement import Statement
from postmeter.store.tables import BOUNCED, DEFERRED, DELIVERED, FINAL, QUEUED, SUPPRESSED, Content, Recipient

# The lease was lost, but nobody has tried since (the number of attempts would be another): what is known to be so may
# still be said. The states are written out: they would cost a copy of each row.
_GIVEN_BACK = and_(
    Recipient.lease_owner.is_(None),
    Recipient.state.in_([literal_column(f"'{QUEUED}'"), literal_column(f"'{DEFERRED}'")]),
    Recipient.attempts == bindparam("tried"),
)
_UPDATE = Statement(
    update(table(Recipient))
    .where(
        Recipient.message_id == bindparam("m"),
        Recipient.account_id == bindparam("a"),
        Recipient.n == bindparam("r"),
        or_(Recipient.lease_owner == bindparam("owner"), _GIVEN_BACK),  # else who lost the lease has no say
    )
    .values(
        state=bindparam("s"),
        lease_owner=None,
        attempts=Recipient.attempts + bindparam("tries", type_=Recipient.attempts.type),
        in_doubt=Recipient.in_doubt + bindparam("doubt", type_=Recipient.in_doubt.type),
        next_attempt_at=bindparam("next"),
        final_at=bindparam("final"),
        reply=bindparam("text"),
        charge=bindparam("paid"),
        unknown_since=bindparam("unknown"),
        failing_since=bindparam("failing"),
        provider=bindparam("receiver"),
        failure=bindparam("why"),
        warn_at=bindparam("warn"),
        shared=bindparam("together"),
    )
)
_DROP_CONTENT = Statement(
    delete(table(Content)).where(
        Content.message_id == bindparam("m"),
        Content.account_id == bindparam("a"),
        ~exists().where(Recipient.message_id == bindparam("m"), Recipient.final_at.is_(None)),
    )
)
# PostgreSQL: two workers that end the last two recipients of a message at once see each other's as open, unless the
# second one waits here for the first; the order keeps several of them from waiting for each other.
_ONE_BY_ONE = Statement(
    text("SELECT 1 FROM message WHERE id = ANY(:ids) AND account_id = ANY(:accounts) ORDER BY id FOR NO KEY UPDATE")
)
MAX_REPLY = 2048  # octets of a remote reply that are kept


class LeaseLost(Exception):
    """Some of a group are not ours any more; settled one by one, each gets its answer."""


@dataclass(frozen=True, slots=True)
class Settlement:
    """How an attempt of one recipient ended.

    ``state`` is delivered, bounced, expired, suppressed or deferred (then ``next_attempt_at`` says until when);
    ``transmitted``: a mail server was given it, so the unit is charged; ``in_doubt``: it may have arrived though
    no answer came; ``facts`` go into the event.

    ``attempted`` False: nothing was tried. The recipient was suppressed, or only put off (state queued or deferred, as
    it was before): then there is nothing to tell but the reply, which says why it waits.

    ``failure``: the class of the refusal, unless it is delivered or nothing was tried.
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
    attempted: bool = True
    failure: Classification | None = None

    @property
    def final(self) -> bool:
        """Whether the recipient waits no more."""
        return self.state in FINAL

    @property
    def told(self) -> bool:
        """Whether it is an event, and counted."""
        return self.attempted or self.final

    @property
    def charge(self) -> str:
        """What becomes of the unit: charged at the first transmission, released if nothing was ever sent."""
        if self.recipient.charge == "reserved" and self.transmitted:
            return "charged"
        if self.recipient.charge == "reserved" and self.final:
            return "released"
        return self.recipient.charge

    @property
    def provider(self) -> str:
        """Who receives the recipient's mail, as this attempt found it or else one before."""
        return self.facts.get("provider") or self.recipient.provider

    @property
    def failing_since(self) -> float | None:
        """When it first failed for what is borne for a time only; what else happens in that time changes nothing."""
        begins = self.recipient.failing_since is None and self.failure is not None and self.failure.patience
        return self.at if begins else self.recipient.failing_since

    @property
    def warn_at(self) -> float | None:
        """When it is to be told that the recipient still waits: set when it begins to, and gone at its end."""
        recipient = self.recipient
        if self.final or recipient.attempts or recipient.warn_at is not None:
            return None if self.final else recipient.warn_at
        return first_mark(self.message.accepted_at if recipient.leaves_at is None else recipient.leaves_at)


def settle(session: Session, settlements: Sequence[Settlement]) -> list[bool]:
    """Record all outcomes; False for those whose lease was lost (nothing is recorded).

    A final state that a mail server has caused counts as long as no other worker has leased the recipient.
    """
    held = _update(session, settlements)
    settled = [s for s, ok in zip(settlements, held, strict=True) if ok]
    if settled:
        now = max(s.at for s in settled)
        ledger.moves(session, {"charge": _units(settled, "charged"), "release": _units(settled, "released")}, now)
        if told := [_event(s) for s in settled if s.told]:
            events.record(session, told)
        count(session, [change for s in settled if s.told for change in _changes(s)])
        if failed := [s for s in settled if s.failure is not None]:
            _follow_up(session, failed)
        if done := sorted({(s.message.id, s.message.account_id) for s in settled if s.final}):
            drop_contents(session, done)
    return held


def _update(session: Session, settlements: Sequence[Settlement]) -> list[bool]:
    rows = [_row(settlement) for settlement in settlements]
    touched = _UPDATE.run(session, rows)
    if touched == len(rows):
        return [True] * touched
    if len(rows) == 1:
        return [False]
    raise LeaseLost


def drop_contents(session: Session, messages: list[tuple[str, int]]) -> None:
    """Delete the contents of those messages of which no recipient waits any more."""
    if session.get_bind().dialect.name == "postgresql":
        ids, accounts = zip(*messages, strict=True)
        _ONE_BY_ONE.fetch(session, {"ids": list(ids), "accounts": list(set(accounts))})
    _DROP_CONTENT.run(session, [{"m": m, "a": a} for m, a in messages])


def _row(s: Settlement) -> dict[str, Any]:
    return {
        "m": s.message.id,
        "a": s.message.account_id,
        "r": s.recipient.n,
        "owner": s.worker,
        "tries": int(s.attempted),
        "tried": s.recipient.attempts if s.final and s.transmitted else -1,
        "s": s.state,
        "doubt": int(s.in_doubt),
        "next": s.next_attempt_at,
        "final": s.at if s.final else None,
        "text": storable(s.reply),
        "paid": s.charge,
        "unknown": s.facts.get("unknown_since"),
        "failing": s.failing_since,
        "receiver": s.provider,
        "why": s.failure.name if s.failure else s.recipient.failure if s.state != DELIVERED else "",
        "warn": s.warn_at,
        "together": s.recipient.shared,
    }


def storable(reply: str) -> str:
    """What the remote side said, as every database takes it: not too long, no NUL, no half of a character."""
    octets = reply.encode("utf-8", "backslashreplace")[:MAX_REPLY]
    return octets.decode("utf-8", "ignore").replace("\0", "\\x00")


def _units(settlements: Sequence[Settlement], charge: str) -> Tally[tuple[int, int | None]]:
    return Tally(
        (s.message.account_id, s.recipient.block_id)
        for s in settlements
        if s.charge == charge and s.recipient.charge == "reserved"
    )


def _follow_up(session: Session, failed: Sequence[Settlement]) -> None:
    """What failures lead to beyond their recipients."""
    failures.tell_of_refusals(session, [_refusal(s) for s in failed if s.failure and s.failure.name == "policy.auth"])
    failures.suppress_for_failures(session, [_failed(s, s.failure) for s in failed if s.failure and s.final])


def _refusal(s: Settlement) -> Refusal:
    message = s.message
    return Refusal(message.account_id, message.domain, s.provider, storable(s.reply), message.id, s.at)


def _failed(s: Settlement, failure: Classification) -> Failed:
    path = s.recipient.path.forward_path
    return Failed(s.message.account_id, path, failure, storable(s.reply), s.message.id, s.at)


def _event(s: Settlement) -> dict[str, Any]:
    number = {"attempt": s.recipient.attempts + 1} if s.attempted else {}
    facts = {"reply": storable(s.reply), **number, **s.facts}
    if s.in_doubt:
        facts["possible_duplicate"] = True
    if s.attempted and s.recipient.in_doubt:
        facts["in_doubt_before"] = s.recipient.in_doubt
    return events.about_recipient(s.message.account_id, s.message.id, s.recipient.n, s.state, s.at, facts)


def _changes(s: Settlement) -> list[Change]:
    """The counters that move: expired counts as bounced; deferred is the part of queued that was tried.

    It goes down at the provider where it went up.
    """
    was, now = s.recipient.provider, s.provider
    was_deferred = s.recipient.attempts > 0
    changes: list[Change] = []
    if s.state != DEFERRED:
        changes.append(_change(s, s.state if s.state in (DELIVERED, SUPPRESSED) else BOUNCED, 1, now))
    elif not was_deferred or was != now:
        changes.append(_change(s, "deferred", 1, now))
    if was_deferred and (s.state != DEFERRED or was != now):
        changes.append(_change(s, "deferred", -1, was))
    return changes


def _change(s: Settlement, name: str, by: int, provider: str) -> Change:
    message = s.message
    return Change(message.account_id, message.connection_id, s.at, name, by, message.domain, provider)
