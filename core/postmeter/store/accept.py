"""The one commit behind a 250: content, envelope, recipients, charge, counters and events, for a group of messages."""

from __future__ import annotations

import hashlib
from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, insert, or_, select, update
from sqlalchemy.orm import Session

from postmeter.message.envelope import Envelope
from postmeter.quota.block import Available, allocate
from postmeter.smtp.replies import QUOTA_EXHAUSTED, connection_inactive
from postmeter.smtp.reply import Reply
from postmeter.store import events, idempotency, ledger
from postmeter.store.base import table
from postmeter.store.counters import count
from postmeter.store.idempotency import Claims, Key
from postmeter.store.statement import Statement
from postmeter.store.tables import LEASED, QUEUED, Account, Block, Connection, Content, Message, Recipient

CHUNK = 1 << 20  # octets of content in one row
RESERVED, FREE = "reserved", "free"  # what is paid for a recipient: a unit, nothing (the relay's own mail)

_MESSAGE = Statement(insert(table(Message)))
_CONTENT = Statement(insert(table(Content)))
_RECIPIENT = Statement(insert(table(Recipient)))
_ACCOUNT = Statement(
    select(Account.agreement, Account.blocked, Account.threshold).where(Account.id == bindparam("account"))
)
_BLOCKS = Statement(
    select(Block.id, Block.left, Block.expires_at, Block.booked_at)
    .where(Block.account_id == bindparam("account"), Block.expires_at > bindparam("now"), Block.left > 0)
    .order_by(Block.id)  # who locks several does so in this order, so that nobody deadlocks
    .with_for_update()
)
_OVERDRAFT = Statement(select(Account.overdraft).where(Account.id == bindparam("account")))
_PAID_BY = Statement(
    select(Recipient.block_id)
    .where(Recipient.message_id == bindparam("m"), Recipient.account_id == bindparam("a"))
    .order_by(Recipient.n)
)
_USED = Statement(
    update(table(Connection))
    .where(
        Connection.id == bindparam("connection"),
        or_(Connection.last_used_at.is_(None), Connection.last_used_at <= bindparam("before")),
    )
    .values(last_used_at=bindparam("now"))
)
USED_EVERY = 60.0  # seconds: how exactly it is known when a connection was last used


@dataclass(frozen=True, slots=True)
class Submission:
    """A message that has passed all checks and waits for its commit.

    ``content`` gives the octets in blocks (anew at each call); ``worker`` leases the recipients at once to the
    worker that took the message, None leaves them queued. Of the messages of a connection with the same ``key`` and
    recipients the first is stored; empty: it has none. ``reference`` is what the sender calls its subject matter.
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

    @property
    def claim(self) -> Key:
        """What the message is known by."""
        paths = [recipient.forward_path for recipient in self.envelope.recipients]
        return idempotency.key(self.account_id, self.connection_id, self.key, paths)


@dataclass(frozen=True, slots=True)
class Accepted:
    """Committed: the block that pays for each recipient (None: overdraft)."""

    block_ids: tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Not stored again: the message that came first with the same key is committed."""

    message_id: str


Answer = Accepted | Duplicate | Reply


class Purse:
    """What one account can still pay in this commit: its blocks in the order of payment and, if allowed, overdraft."""

    overdrawn = 0  # units taken beyond all blocks

    def __init__(self, blocked: str, may_overdraw: bool, threshold: int, blocks: list[Available]) -> None:
        self._blocked = blocked
        self._may_overdraw = may_overdraw
        self._threshold = threshold
        self._blocks = blocks
        self._before = sum(block.left for block in blocks)

    def pay(self, units: int) -> tuple[int | None, ...] | Reply:
        """Take one unit for each recipient, all or none: the block of each, or the reply that refuses."""
        if self._blocked:
            return connection_inactive(self._blocked)
        payments, rest = allocate(self._blocks, units)
        if rest and not self._may_overdraw:
            return QUOTA_EXHAUSTED
        paid_by: list[int | None] = []
        for block, taken in payments:
            block.left -= taken
            paid_by += [block.id] * taken
        self.overdrawn += rest
        return (*paid_by, *[None] * rest)

    @property
    def left(self) -> int:
        """What all blocks can still give."""
        return sum(block.left for block in self._blocks)

    @property
    def low(self) -> bool:
        """Whether this commit went below the account's threshold or to nothing."""
        left = self.left
        return left < self._before and any(left < level <= self._before for level in (self._threshold, 1))


class Acceptance:
    """The change that stores submissions under an overdraft policy: ``agreement``, ``always`` or ``never``."""

    awaited = True  # a client waits for the answer

    def __init__(self, overdraft: str) -> None:
        self._overdraft = overdraft
        self._used: dict[int, float] = {}  # when a connection was last marked by this process

    def __call__(self, session: Session, submissions: Sequence[Submission]) -> list[Answer]:
        """Store all submissions that are new and their accounts can pay; the others get what says why not."""
        now = max(submission.accepted_at for submission in submissions)
        accounts = sorted({submission.account_id for submission in submissions})
        purses = {account: self._open_purse(session, account, now) for account in accounts}
        claims = _claim(session, submissions)
        answers = [_answer(session, one, purses[one.account_id], claims) for one in submissions]
        taken = [(s, answer) for s, answer in zip(submissions, answers, strict=True) if isinstance(answer, Accepted)]
        if taken:
            _reserve(session, taken, now)
            _notice(session, purses, now)
            insert_messages(session, taken)
            self._mark_used(session, {submission.connection_id for submission, _ in taken}, now)
        return answers

    def _mark_used(self, session: Session, connections: set[int], now: float) -> None:
        due = sorted(connection for connection in connections if self._used.get(connection, 0.0) <= now - USED_EVERY)
        if due:
            before = now - USED_EVERY
            _USED.run(session, [{"connection": connection, "before": before, "now": now} for connection in due])
            self._used |= dict.fromkeys(due, now)

    def confirm(self, session: Session, submissions: Sequence[Submission]) -> list[Accepted | Duplicate | None]:
        """After a commit whose answer was lost: which submissions are stored; None: nothing of it is."""
        return [_stored(session, submission) or _doubled(session, submission) for submission in submissions]

    def _open_purse(self, session: Session, account: int, now: float) -> Purse:
        rows = _BLOCKS.fetch(session, {"account": account, "now": now})
        if len(rows) > 1:
            rows.sort(key=lambda row: (row[2], row[3], row[0]))  # the order of payment
        blocks = [Available(row[0], row[1]) for row in rows]
        agreement, blocked, threshold = _ACCOUNT.fetch(session, {"account": account})[0]
        return Purse(blocked, self._may_overdraw(agreement), threshold, blocks)

    def _may_overdraw(self, agreement: bool) -> bool:
        return self._overdraft == "always" or (self._overdraft == "agreement" and agreement)


def _claim(session: Session, submissions: Sequence[Submission]) -> Claims:
    """Ask for the keys of the submissions, in an order that is the same for everybody."""
    claims = Claims(session)
    for submission in sorted([s for s in submissions if s.key], key=lambda s: s.claim):
        claims.holder(submission.claim, submission.id, submission.accepted_at)
    return claims


def _answer(session: Session, submission: Submission, purse: Purse, claims: Claims) -> Answer:
    if submission.key:
        first = claims.holder(submission.claim, submission.id, submission.accepted_at)
        if first != submission.id:
            return Duplicate(first)
    payment = purse.pay(len(submission.envelope.recipients))
    if not isinstance(payment, Reply):
        return Accepted(payment)
    if _stored(session, submission):  # by a commit whose answer was lost, and which took what was left
        raise RuntimeError(f"the message {submission.id} is stored already")
    if submission.key:
        claims.withdraw(submission.claim)
    return payment


def _reserve(session: Session, taken: list[tuple[Submission, Accepted]], now: float) -> None:
    units: Tally[tuple[int, int | None]] = Tally()
    for submission, accepted in taken:
        units.update((submission.account_id, block_id) for block_id in accepted.block_ids)
    ledger.move(session, "reserve", units, now)


def _notice(session: Session, purses: dict[int, Purse], now: float) -> None:
    rows = []
    for account_id, purse in purses.items():
        first_overdraft = purse.overdrawn and _is_first_overdraft(session, account_id, purse.overdrawn)
        if first_overdraft or purse.low:
            facts = {"left": purse.left, **({"overdraft": purse.overdrawn} if first_overdraft else {})}
            rows.append(events.about_account(account_id, "quota_low", now, facts))
    if rows:
        events.record(session, rows)


def _is_first_overdraft(session: Session, account_id: int, units: int) -> bool:
    """Whether nothing was overdrawn before this commit (whose own move keeps others from the account until then)."""
    return bool(_OVERDRAFT.fetch(session, {"account": account_id})[0][0] == units)


def _stored(session: Session, submission: Submission) -> Accepted | None:
    rows = _PAID_BY.fetch(session, {"m": submission.id, "a": submission.account_id})
    return Accepted(tuple(block_id for (block_id,) in rows)) if rows else None


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
    count(session, ((s.account_id, s.connection_id, s.accepted_at, "arrived", len(a.block_ids)) for s, a in taken))


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
    for n, (recipient, block_id) in enumerate(zip(submission.envelope.recipients, accepted.block_ids, strict=True)):
        yield {
            "message_id": submission.id,
            "account_id": submission.account_id,
            "n": n,
            "connection_id": submission.connection_id,
            "forward_path": recipient.forward_path,
            "notify": recipient.notify,
            "orcpt": recipient.orcpt,
            "state": QUEUED if submission.worker is None else LEASED,
            "accepted_at": submission.accepted_at,
            "next_attempt_at": submission.accepted_at,
            "lease_owner": submission.worker,
            "attempts": 0,
            "in_doubt": 0,
            "final_at": None,
            "reply": "",
            "block_id": block_id,
            "charge": charge,
            "unknown_since": None,
        }
