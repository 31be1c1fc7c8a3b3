"""The one commit behind a 250: content, envelope, recipients, charge, counters and events, for a group of messages."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, insert, select
from sqlalchemy.orm import Session

from postmeter import config
from postmeter.smtp.reply import Reply
from postmeter.store import events, idempotency, ledger, standing, suppressed
from postmeter.store.base import table
from postmeter.store.caps import Meters
from postmeter.store.contents import Writing, insert_contents
from postmeter.store.counters import Change, count
from postmeter.store.idempotency import Claims
from postmeter.store.last_use import LastUse
from postmeter.store.purse import Purse, open_purses
from postmeter.store.statement import Statement
from postmeter.store.submission import Accepted, Answer, Duplicate, Submission
from postmeter.store.tables import LEASED, QUEUED, SUPPRESSED, Connection, Message, Recipient
from postmeter.store.throttle import Lane

__all__ = ["FREE", "RESERVED", "Acceptance", "Accepted", "Answer", "Duplicate", "Submission", "insert_messages"]

RESERVED, FREE = "reserved", "free"  # what is paid for a recipient: a unit; nothing (the relay's own mail, suppressed)

_MESSAGE = Statement(insert(table(Message)))
# what a new recipient has not got
_UNTOLD = {"warn_at", "route", "failure", "complained_at", "failing_since", "shared"}
_RECIPIENT = Statement(insert(table(Recipient)), [c.name for c in table(Recipient).columns if c.name not in _UNTOLD])
_PAID_BY = Statement(
    select(
        *(Recipient.n, Recipient.block_id, Recipient.leaves_at, Recipient.lease_owner, Recipient.charge),
        Recipient.reply,
    )
    .where(Recipient.message_id == bindparam("m"), Recipient.account_id == bindparam("a"))
    .order_by(Recipient.n)
)


class Acceptance:
    """The change that stores submissions under the settings' rules for overdraft and for accounts without a block.

    With ``keep_suppressed`` recipients that are not to be tried are stored as suppressed; else reception has refused
    them.
    """

    awaited = True  # a client waits for the answer

    def __init__(
        self,
        overdraft: config.Overdraft | None = None,
        demo: config.Demo | None = None,
        *,
        keep_suppressed: bool = False,
    ) -> None:
        self._keep_suppressed = keep_suppressed
        self._overdraft = overdraft or config.Overdraft()
        self._demo = demo or config.Demo()
        self._last_use, self._previous_secrets_last_use = LastUse(), LastUse(Connection.previous_used_at)

    def __call__(self, session: Session, submissions: Sequence[Submission]) -> list[Answer]:
        """Store all submissions that are new and their accounts can pay; the others get what says why not."""
        now = max(submission.accepted_at for submission in submissions)
        till = self._open(session, submissions, now)
        answers = [till.answer(submission) for submission in submissions]
        taken = [(s, answer) for s, answer in zip(submissions, answers, strict=True) if isinstance(answer, Accepted)]
        if taken:
            _reserve(session, taken, now)
            till.close({submission.account_id for submission, _ in taken}, now)
            insert_messages(session, taken)
            self._last_use.mark(session, {submission.connection_id for submission, _ in taken}, now)
            aged = {submission.connection_id for submission, _ in taken if submission.aged}
            self._previous_secrets_last_use.mark(session, aged, now)
        return answers

    def _open(self, session: Session, submissions: Sequence[Submission], now: float) -> Till:
        accounts = sorted({submission.account_id for submission in submissions})
        purses = open_purses(session, accounts, self._overdraft, now)
        limited = [a for a in accounts if self._demo.per_hour and purses[a].account.paid_since is None]
        lanes = {account: Lane(session, account, self._demo, now) for account in limited}
        meters = Meters(session, (submission.use for submission in submissions if submission.capped))
        looked_up = [s for s in submissions if s.suppressions] if self._keep_suppressed else []
        refusals = suppressed.refusals(session, (place for s in looked_up for place in _places(s)), now)
        return Till(session, purses, lanes, meters, _claim(session, submissions), refusals)

    def confirm(self, session: Session, submissions: Sequence[Submission]) -> list[Accepted | Duplicate | None]:
        """After a commit whose answer was lost: which submissions are stored; None: nothing of it is."""
        return [_stored(session, submission) or _doubled(session, submission) for submission in submissions]


@dataclass(frozen=True, slots=True)
class Till:
    """Where the messages of one commit are paid; ``lanes`` has the accounts under the hourly limit.

    ``refusals`` says why some of their recipients are not to be tried.
    """

    session: Session
    purses: dict[int, Purse]
    lanes: dict[int, Lane]
    meters: Meters
    claims: Claims
    refusals: Mapping[suppressed.Place, str]

    def answer(self, submission: Submission) -> Answer:
        """Take the message and its pay, or say why not."""
        if submission.key:
            first = self.claims.holder(submission.claim, submission.id, submission.accepted_at)
            if first != submission.id:
                return Duplicate(first)
        answer = self._take(submission)
        if isinstance(answer, Accepted):
            return answer
        if _stored(self.session, submission):  # by a commit whose answer was lost, and which took what was left
            raise RuntimeError(f"the message {submission.id} is stored already")
        if submission.key:
            self.claims.withdraw(submission.claim)
        return answer

    def _take(self, submission: Submission) -> Accepted | Reply:
        told = self._suppressed(submission) if self.refusals else {}
        units = submission.recipients - len(told)
        limited = submission.capped or submission.account_id in self.lanes
        if limited and (reply := self._refusal(submission, units)):
            return reply
        paid_by = self.purses[submission.account_id].pay(units)
        if isinstance(paid_by, Reply):
            return paid_by
        return Accepted(paid_by, self._wait(submission, units) if limited else (), told)

    def _suppressed(self, submission: Submission) -> dict[int, str]:
        return {n: self.refusals[place] for n, place in enumerate(_places(submission)) if place in self.refusals}

    def _refusal(self, submission: Submission, units: int) -> Reply | None:
        """Why the connection, or the account in this hour, may not send it."""
        if submission.capped and (reply := self.meters.refusal(submission.use, submission.recipients)):
            return reply
        lane = self.lanes.get(submission.account_id)
        return lane.refusal(units) if lane and units else None

    def _wait(self, submission: Submission, units: int) -> tuple[float, ...]:
        """Count it; the slots of the last recipients, if they have to wait."""
        if submission.capped:
            self.meters.add(submission.use, submission.recipients)
        lane = self.lanes.get(submission.account_id)
        return lane.take(units) if lane else ()

    def close(self, accounts: set[int], now: float) -> None:
        """Give the notices of the accounts that have paid, and keep the slots that were taken."""
        for account in sorted(accounts):
            purse = self.purses[account]
            standing.fell(self.session, account, purse.account, purse.left, purse.overdrawn, now)
            if account in self.lanes:
                self.lanes[account].save()


def _places(submission: Submission) -> list[suppressed.Place]:
    return [(submission.account_id, one.forward_path) for one in submission.envelope.recipients]


def _claim(session: Session, submissions: Sequence[Submission]) -> Claims:
    """Ask for the keys of the submissions, in an order that is the same for everybody."""
    claims = Claims(session)
    for submission in sorted([s for s in submissions if s.key], key=lambda s: s.claim):
        claims.holder(submission.claim, submission.id, submission.accepted_at)
    return claims


def _reserve(session: Session, taken: list[tuple[Submission, Accepted]], now: float) -> None:
    units = Tally((submission.account_id, block) for submission, accepted in taken for block in accepted.block_ids)
    ledger.move(session, "reserve", units, now)


def _stored(session: Session, submission: Submission) -> Accepted | None:
    """What was answered; with a worker, what may leave at once is what was leased to it, whatever was due since."""
    rows = _PAID_BY.fetch(session, {"m": submission.id, "a": submission.account_id})
    paid = [row for row in rows if row[4] != FREE]
    waits = tuple(
        leaves_at
        for _, _, leaves_at, owner, *_ in paid
        if (leaves_at > submission.accepted_at if submission.worker is None else owner != submission.worker)
    )
    told = {n: reply for n, *_, charge, reply in rows if charge == FREE}
    return Accepted(tuple(row[1] for row in paid), waits, told) if rows else None


def _doubled(session: Session, submission: Submission) -> Duplicate | None:
    if not submission.key:
        return None
    first = idempotency.holder(session, submission.claim, submission.accepted_at)
    return Duplicate(first) if first is not None else None


def insert_messages(session: Session, taken: Sequence[tuple[Submission, Accepted]], charge: str = RESERVED) -> None:
    """Write messages whose payment is settled: contents, envelopes, recipients, events and counters."""
    digests = insert_contents(session, (Writing(s.id, s.account_id, s.content, bool(a.block_ids)) for s, a in taken))
    _MESSAGE.run(session, [_message(s, digest) for (s, _), digest in zip(taken, digests, strict=True)])
    _RECIPIENT.run(
        session, [row for submission, accepted in taken for row in _recipients(submission, accepted, charge)]
    )
    events.record(
        session,
        [
            events.about_recipient(s.account_id, s.id, None, "accepted", s.accepted_at, {"size": s.size})
            for s, _ in taken
        ],
    )
    count(session, [Change(*s.use, "arrived", s.recipients, s.domain) for s, _ in taken])
    for s, told in [(s, a.suppressed) for s, a in taken if a.suppressed]:
        about = [(n, SUPPRESSED, s.accepted_at, {"reply": reply}) for n, reply in told.items()]
        events.record(session, [events.about_recipient(s.account_id, s.id, *one) for one in about])
        count(session, [Change(*s.use, SUPPRESSED, len(told), s.domain)])


def _message(submission: Submission, sha256: bytes) -> dict[str, Any]:
    envelope = submission.envelope
    return {
        "id": submission.id,
        "account_id": submission.account_id,
        "connection_id": submission.connection_id,
        "accepted_at": submission.accepted_at,
        "domain": submission.domain,
        "reverse_path": envelope.reverse_path,
        "body": envelope.body,
        "smtputf8": envelope.smtputf8,
        "ret": envelope.ret,
        "envid": envelope.envid,
        "header_from": submission.header_from,
        "subject": submission.subject,
        "message_id": submission.message_id,
        "size": submission.size,
        "sha256": sha256,
        "reference": submission.reference,
        "priority": submission.priority,
        "lifetime": submission.lifetime,
        "tls_required": submission.tls_required,
    }


def _recipients(submission: Submission, accepted: Accepted, charge: str) -> Iterable[dict[str, Any]]:
    at_once = accepted.at_once
    leased = 0 if submission.worker is None else at_once
    slots = (submission.accepted_at,) * at_once + accepted.waits
    for place, (n, block_id, leaves_at) in enumerate(zip(accepted.paid, accepted.block_ids, slots, strict=True)):
        owner = submission.worker if place < leased else None
        yield _recipient(submission, n, QUEUED if owner is None else LEASED, leaves_at, owner, block_id, charge)
    for n, reply in accepted.suppressed.items():
        at = submission.accepted_at
        yield {**_recipient(submission, n, SUPPRESSED, at, None, None, FREE), "final_at": at, "reply": reply}


def _recipient(
    submission: Submission,
    n: int,
    state: str,
    leaves_at: float,
    owner: int | None,
    block_id: int | None,
    charge: str,
) -> dict[str, Any]:
    recipient = submission.envelope.recipients[n]
    return {
        "message_id": submission.id,
        "account_id": submission.account_id,
        "n": n,
        "connection_id": submission.connection_id,
        "forward_path": recipient.forward_path,
        "notify": recipient.notify,
        "orcpt": recipient.orcpt,
        "state": state,
        "leaves_at": leaves_at,
        "next_attempt_at": leaves_at,
        "lease_owner": owner,
        "attempts": 0,
        "in_doubt": 0,
        "final_at": None,
        "reply": "",
        "block_id": block_id,
        "charge": charge,
        "unknown_since": None,
        "provider": "",
        "priority": submission.priority,
    }
