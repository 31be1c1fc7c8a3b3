"""The one commit behind a 250: content, envelope, recipients, charge, counters and events, for a group of messages."""

from __future__ import annotations

import hashlib
from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, insert, select
from sqlalchemy.orm import Session

from postmeter import config
from postmeter.message.envelope import Envelope
from postmeter.smtp.reply import Reply
from postmeter.store import events, idempotency, ledger, standing
from postmeter.store.base import table
from postmeter.store.caps import Meters, Use
from postmeter.store.counters import Change, count
from postmeter.store.idempotency import Claims, Key
from postmeter.store.last_use import LastUse
from postmeter.store.purse import Purse, open_purses
from postmeter.store.statement import Statement
from postmeter.store.tables import LEASED, QUEUED, Connection, Content, Message, Recipient
from postmeter.store.throttle import Lane

CHUNK = 1 << 20  # octets of content in one row
RESERVED, FREE = "reserved", "free"  # what is paid for a recipient: a unit, nothing (the relay's own mail)

_MESSAGE = Statement(insert(table(Message)))
_CONTENT = Statement(insert(table(Content)))
_UNTOLD = {"warn_at", "route", "failure", "complained_at"}  # what a new recipient has not got
_RECIPIENT = Statement(insert(table(Recipient)), [c.name for c in table(Recipient).columns if c.name not in _UNTOLD])
_PAID_BY = Statement(
    select(Recipient.block_id, Recipient.leaves_at, Recipient.lease_owner)
    .where(Recipient.message_id == bindparam("m"), Recipient.account_id == bindparam("a"))
    .order_by(Recipient.n)
)


@dataclass(frozen=True, slots=True)
class Submission:
    """A message that has passed all checks and waits for its commit.

    ``content`` gives the octets in blocks (anew at each call); ``worker`` leases the recipients that may leave at once
    to the worker that took the message, None leaves them queued. Of the messages of a connection with the same ``key``
    and recipients the first is stored; empty: it has none. ``reference`` is what the sender calls its
    subject matter. ``capped``: the connection has caps. ``aged``: it was opened by its previous secret. ``priority``,
    ``lifetime`` and ``tls_required`` as the message's table has them.
    """

    id: str
    account_id: int
    connection_id: int
    domain: str
    envelope: Envelope
    header_from: str
    subject: str
    message_id: str
    size: int
    content: Callable[[], Iterable[bytes]]
    accepted_at: float
    worker: int | None
    key: bytes = b""
    reference: str = ""
    capped: bool = False
    aged: bool = False
    priority: int = 1
    lifetime: int = 0
    tls_required: bool = False

    @property
    def recipients(self) -> int:
        """How many there are, and units to pay."""
        return len(self.envelope.recipients)

    @property
    def use(self) -> Use:
        """What its connection's caps go by."""
        return self.account_id, self.connection_id, self.accepted_at

    @property
    def claim(self) -> Key:
        """What the message is known by."""
        paths = [recipient.forward_path for recipient in self.envelope.recipients]
        return idempotency.key(self.account_id, self.connection_id, self.key, paths)


@dataclass(frozen=True, slots=True)
class Accepted:
    """Committed: the block that pays for each recipient (None: overdraft).

    The last recipients may have to wait for their slots under the hourly limit: ``waits`` says until when.
    """

    block_ids: tuple[int | None, ...]
    waits: tuple[float, ...] = ()

    @property
    def at_once(self) -> int:
        """How many of the first recipients may leave now."""
        return len(self.block_ids) - len(self.waits)


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Not stored again: the message that came first with the same key is committed."""

    message_id: str


Answer = Accepted | Duplicate | Reply


class Acceptance:
    """The change that stores submissions under the settings' rules for overdraft and for accounts without a block."""

    awaited = True  # a client waits for the answer

    def __init__(self, overdraft: config.Overdraft | None = None, demo: config.Demo | None = None) -> None:
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
        return Till(session, purses, lanes, meters, _claim(session, submissions))

    def confirm(self, session: Session, submissions: Sequence[Submission]) -> list[Accepted | Duplicate | None]:
        """After a commit whose answer was lost: which submissions are stored; None: nothing of it is."""
        return [_stored(session, submission) or _doubled(session, submission) for submission in submissions]


@dataclass(frozen=True, slots=True)
class Till:
    """Where the messages of one commit are paid; ``lanes`` has the accounts under the hourly limit."""

    session: Session
    purses: dict[int, Purse]
    lanes: dict[int, Lane]
    meters: Meters
    claims: Claims

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
        units = submission.recipients
        limited = submission.capped or submission.account_id in self.lanes
        if limited and (reply := self._refusal(submission, units)):
            return reply
        paid_by = self.purses[submission.account_id].pay(units)
        if isinstance(paid_by, Reply):
            return paid_by
        return Accepted(paid_by, self._wait(submission, units)) if limited else Accepted(paid_by)

    def _refusal(self, submission: Submission, units: int) -> Reply | None:
        """Why the connection, or the account in this hour, may not send it."""
        if submission.capped and (reply := self.meters.refusal(submission.use, units)):
            return reply
        lane = self.lanes.get(submission.account_id)
        return lane.refusal(units) if lane else None

    def _wait(self, submission: Submission, units: int) -> tuple[float, ...]:
        """Count it; the slots of the last recipients, if they have to wait."""
        if submission.capped:
            self.meters.add(submission.use, units)
        lane = self.lanes.get(submission.account_id)
        return lane.take(units) if lane else ()

    def close(self, accounts: set[int], now: float) -> None:
        """Give the notices of the accounts that have paid, and keep the slots that were taken."""
        for account in sorted(accounts):
            purse = self.purses[account]
            standing.fell(self.session, account, purse.account, purse.left, purse.overdrawn, now)
            if account in self.lanes:
                self.lanes[account].save()


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
    waits = tuple(
        leaves_at
        for _, leaves_at, owner in rows
        if (leaves_at > submission.accepted_at if submission.worker is None else owner != submission.worker)
    )
    return Accepted(tuple(row[0] for row in rows), waits) if rows else None


def _doubled(session: Session, submission: Submission) -> Duplicate | None:
    if not submission.key:
        return None
    first = idempotency.holder(session, submission.claim, submission.accepted_at)
    return Duplicate(first) if first is not None else None


def insert_messages(session: Session, taken: Sequence[tuple[Submission, Accepted]], charge: str = RESERVED) -> None:
    """Write messages whose payment is settled: contents, envelopes, recipients, events and counters."""
    digests = _insert_contents(session, [submission for submission, _ in taken])
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
    count(session, [Change(*s.use, "arrived", len(a.block_ids), s.domain) for s, a in taken])


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


def _insert_contents(session: Session, submissions: Sequence[Submission]) -> list[bytes]:
    """Write the contents in rows of CHUNK octets, about one of them in memory at a time; the SHA-256 of each."""
    digests, rows, octets = [], [], 0
    for submission in submissions:
        digest = hashlib.sha256()
        for n, chunk in enumerate(_chunks(submission.content())):
            digest.update(chunk)
            rows.append({"message_id": submission.id, "account_id": submission.account_id, "n": n, "data": chunk})
            octets += len(chunk)
            if octets >= CHUNK:
                _CONTENT.run(session, rows)
                rows, octets = [], 0
        digests.append(digest.digest())
    if rows:
        _CONTENT.run(session, rows)
    return digests


def _chunks(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The octets of all blocks in pieces of CHUNK; a content that is one small block passes as it is."""
    waiting: list[bytes] = []
    size = 0
    for block in blocks:
        while size + len(block) > CHUNK:
            waiting.append(block[: CHUNK - size])
            yield b"".join(waiting)
            block, waiting, size = block[CHUNK - size :], [], 0
        waiting.append(block)
        size += len(block)
    yield waiting[0] if len(waiting) == 1 else b"".join(waiting)


def _recipients(submission: Submission, accepted: Accepted, charge: str) -> Iterable[dict[str, Any]]:
    at_once = accepted.at_once
    leased = 0 if submission.worker is None else at_once
    slots = (submission.accepted_at,) * at_once + accepted.waits
    for n, (recipient, block_id, leaves_at) in enumerate(
        zip(submission.envelope.recipients, accepted.block_ids, slots, strict=True)
    ):
        yield {
            "message_id": submission.id,
            "account_id": submission.account_id,
            "n": n,
            "connection_id": submission.connection_id,
            "forward_path": recipient.forward_path,
            "notify": recipient.notify,
            "orcpt": recipient.orcpt,
            "state": LEASED if n < leased else QUEUED,
            "leaves_at": leaves_at,
            "next_attempt_at": leaves_at,
            "lease_owner": submission.worker if n < leased else None,
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
