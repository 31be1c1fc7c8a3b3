"""Notifications to senders: who is owed one, and the commit of one in the transaction of the fact that it tells."""

from __future__ import annotations

import logging
import os
from collections import Counter as Tally
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from postmeter.config import Settings
from postmeter.message.envelope import Recipient as ForwardPath
from postmeter.message.handling import BULK
from postmeter.message.identifier import new_id
from postmeter.message.notification import Action, Original, Report, compose, head_of, subject
from postmeter.store import events, own_mail, queue
from postmeter.store.accept import FREE, Acceptance, Accepted, Answer, Submission, insert_messages
from postmeter.store.contents import chunks
from postmeter.store.own_mail import OPERATOR
from postmeter.store.queue import QueuedMessage
from postmeter.store.settle import Settlement, settle
from postmeter.store.tables import BOUNCED, DELIVERED, EXPIRED, SUPPRESSED, Content, Message

log = logging.getLogger(__name__)

DAY = 86_400.0
ALWAYS, REQUESTED, NEVER = "always", "requested", "never"
NOTIFY: dict[Action, str] = {"failed": "FAILURE", "delayed": "DELAY", "relayed": "SUCCESS"}  # RFC 3461, 4.1
ACTIONS: dict[str, Action] = {BOUNCED: "failed", EXPIRED: "failed", SUPPRESSED: "failed", DELIVERED: "relayed"}
OURS = ("sign", "route", "connect")  # stages at which no server has said anything
MOST_PER_HOUR = 500  # notifications to one account from one worker: who sends to a bad list is not sent it all back
MOST_RETURNED = 1 << 20  # octets of a mail that is returned whole (RFC 3461, 4.3 leaves that to us)
MOST_HEAD = 300_000  # octets of a header section that is returned
NOTHING: Mapping[str, bytes] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Case:
    """What a sender is to be told of a recipient: its number ``n``, and the report."""

    message: QueuedMessage
    n: int
    report: Report


@dataclass(frozen=True, slots=True)
class Failed:
    """A recipient that has failed: number ``n`` of a message, the reply, and the server that has said so, if any."""

    message_id: str
    n: int
    path: ForwardPath
    reply: str
    remote: str = ""


@dataclass(frozen=True, slots=True)
class Letter:
    """A notification that is ready, and the cases it tells of."""

    submission: Submission
    cases: tuple[Case, ...]


class Notifier:
    """Writes notifications; ``when`` is always (unless the sender said never), requested, or never at all.

    ``lifetime`` (seconds) is that of messages without their own.
    """

    def __init__(self, hostname: str, when: str, lifetime: float) -> None:
        self.lifetime = lifetime
        self._hostname = hostname
        self._when = when
        self._hour = 0
        self._written: Tally[int] = Tally()  # by account, in this hour

    @classmethod
    def of(cls, settings: Settings) -> Notifier:
        """The one that these settings ask for."""
        return cls(settings.hostname, settings.delivery.notifications, settings.delivery.lifetime_days * DAY)

    def owes(self, message: QueuedMessage, path: ForwardPath, action: Action) -> bool:
        """Whether the sender is to be told (RFC 3461, 4.1): never of a mail that has none, or of the relay's own."""
        if not message.envelope.reverse_path or message.account_id == OPERATOR or self._when == NEVER:
            return False
        if not path.notify:
            return action == "failed" and self._when == ALWAYS
        return NOTIFY[action] in path.notify.split(",")

    def about(
        self, session: Session, failed: Sequence[Failed], now: float, heads: Mapping[str, bytes] = NOTHING
    ) -> list[Letter]:
        """Letters about recipients that have failed without an attempt of ours: by a person's word, or later.

        ``heads``: the beginnings of mails whose content is not kept.
        """
        known = _messages(session, {one.message_id for one in failed})
        cases = []
        for one in failed:
            message = queue.queued_message(known[one.message_id])
            if self.owes(message, one.path, "failed"):
                report = Report(one.path.forward_path, "failed", one.reply, now, one.path.orcpt, one.remote)
                cases.append(Case(message, one.n, report))
        return self.compose(session, cases, now, {**{row.id: _remembered(row) for row in known.values()}, **heads})

    def compose(
        self, session: Session, cases: Sequence[Case], now: float, remembered: Mapping[str, bytes] = NOTHING
    ) -> list[Letter]:
        """A letter for each message; what cannot be composed is logged, since the fact counts without it.

        ``remembered``: what is left of the header sections of mails that may be gone.
        """
        by_message: dict[str, list[Case]] = {}
        for case in cases:
            by_message.setdefault(case.message.id, []).append(case)
        groups = [tuple(group) for group in by_message.values() if self._may(group[0].message, now)]
        heads = {**remembered, **_heads(session, [group[0].message for group in groups])}
        return [letter for group in groups if (letter := self._letter(session, group, heads, now))]

    def send(self, session: Session, letters: Sequence[Letter], now: float) -> None:
        """Put letters into the queue with the commit of this transaction; the messages' timelines tell of them."""
        if letters:
            insert_messages(session, [(letter.submission, Accepted((None,))) for letter in letters], FREE)
            events.record(session, [_event(letter, now) for letter in letters])

    def _may(self, message: QueuedMessage, now: float) -> bool:
        """Whether one more can be written to: there is such an address, and not too much was written this hour."""
        if not own_mail.reaches(message.envelope.reverse_path):
            return False
        if (hour := int(now // 3600)) != self._hour:
            self._hour = hour
            self._written.clear()
        self._written[message.account_id] += 1
        if self._written[message.account_id] == MOST_PER_HOUR + 1:
            log.warning("account %d gets no more notifications in this hour", message.account_id)
        return self._written[message.account_id] <= MOST_PER_HOUR

    def _letter(self, session: Session, cases: tuple[Case, ...], heads: dict[str, bytes], now: float) -> Letter | None:
        message, reports = cases[0].message, [case.report for case in cases]
        if message.id not in heads:
            return None  # somebody else has settled its last recipient, and has told of that
        original = _original(session, message, heads[message.id], reports)
        to, hostname = message.envelope.reverse_path, self._hostname
        identifier = new_id(int(now * 1000), os.urandom(10))
        try:
            content = compose(original, reports, to=to, hostname=hostname, identifier=identifier, now=now)
        except Exception as error:
            log.error("no notification of %s can be written", message.id, exc_info=error)
            return None
        made = own_mail.own(identifier, to, content, hostname, now)
        strict = message.tls_required  # there are parts of the mail in it (RFC 8689, 5)
        made = replace(made, subject=subject(reports), priority=BULK, tls_required=strict)
        return Letter(made, cases)  # the customers' mail goes first


class Settling:
    """The change that settles outcomes and, in the same transaction, writes to the senders what they are owed."""

    def __init__(self, notifier: Notifier) -> None:
        self._notifier = notifier

    def __call__(self, session: Session, settlements: Sequence[Settlement]) -> list[bool]:
        """As ``settle``."""
        cases = [case for settlement in settlements if (case := self._case(settlement))]
        if not cases:
            return settle(session, settlements)
        now = max(settlement.at for settlement in settlements)
        letters = self._notifier.compose(session, cases, now)  # first: the content goes with the last recipient
        held = settle(session, settlements)
        if all(held):  # of several they are, or it is an exception
            self._notifier.send(session, letters, now)
        return held

    def _case(self, s: Settlement) -> Case | None:
        action = ACTIONS.get(s.state)
        if action is None or (action == "relayed" and s.facts.get("dsn") is not False):
            return None  # a server that knows notifications has the sender's wish, and fulfils it
        path = s.recipient.path
        if not self._notifier.owes(s.message, path, action):
            return None
        ours = s.state == EXPIRED or s.facts.get("stage", "sign") in OURS
        remote = "" if ours else str(s.facts.get("remote", ""))
        return Case(s.message, s.recipient.n, Report(path.forward_path, action, s.reply, s.at, path.orcpt, remote))


class Accepting:
    """The change that stores submissions and, in the same transaction, writes to the senders of suppressed addresses.

    The sender hears the same as of an address that is suppressed while its mail waits.
    """

    awaited = True  # a client waits for the answer

    def __init__(self, acceptance: Acceptance, notifier: Notifier) -> None:
        self._acceptance = acceptance
        self._notifier = notifier
        self.confirm = acceptance.confirm

    def __call__(self, session: Session, submissions: Sequence[Submission]) -> list[Answer]:
        """As ``Acceptance``."""
        answers = self._acceptance(session, submissions)
        told = [(s, a) for s, a in zip(submissions, answers, strict=True) if isinstance(a, Accepted) and a.suppressed]
        if told:
            now = max(submission.accepted_at for submission, _ in told)
            failed = [
                Failed(s.id, n, s.envelope.recipients[n], reply) for s, a in told for n, reply in a.suppressed.items()
            ]
            heads = {s.id: next(chunks(s.content()))[:MOST_HEAD] for s, a in told if not a.block_ids}
            self._notifier.send(session, self._notifier.about(session, failed, now, heads), now)
        return answers


def _original(session: Session, message: QueuedMessage, beginning: bytes, reports: Sequence[Report]) -> Original:
    """What is returned: the whole mail if that was asked for, it has failed (RFC 3461, 4.3) and is not too large."""
    envelope = message.envelope
    whole = envelope.ret == "FULL" and any(report.action == "failed" for report in reports)
    content = whole and message.size <= MOST_RETURNED and _content(session, message)
    return Original(head_of(beginning), message.accepted_at, envelope.envid, content or None)


def _content(session: Session, message: QueuedMessage) -> bytes | None:
    try:
        return queue.content(session, message.account_id, message.id)
    except LookupError:
        return None  # it went with the last recipient, before this one's failure was reported


def _messages(session: Session, wanted: Collection[str]) -> dict[str, Message]:
    return {row.id: row for row in session.scalars(select(Message).where(Message.id.in_(wanted)))}


def _remembered(row: Message) -> bytes:
    """What lets a mail program find the mail that it is about."""
    return f"Message-ID: {row.message_id}\r\n\r\n".encode() if row.message_id.isascii() else b"\r\n"


def _heads(session: Session, messages: Iterable[QueuedMessage]) -> dict[str, bytes]:
    """The beginnings of the contents."""
    wanted = [message.id for message in messages]
    beginning = func.substr(Content.data, 1, MOST_HEAD)
    query = select(Content.message_id, beginning).where(Content.message_id.in_(wanted), Content.n == 0)
    return {identifier: bytes(head) for identifier, head in session.execute(query)} if wanted else {}


def _event(letter: Letter, now: float) -> dict[str, Any]:
    message, numbers = letter.cases[0].message, [case.n for case in letter.cases]
    facts: dict[str, Any] = {
        "notification": letter.submission.id,
        "to": message.envelope.reverse_path,
        "actions": sorted({case.report.action for case in letter.cases}),
    }
    if len(numbers) > 1:
        facts["recipients"] = numbers
    one = numbers[0] if len(numbers) == 1 else None
    return events.about_recipient(message.account_id, message.id, one, "notification_sent", now, facts)
