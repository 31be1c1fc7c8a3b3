"""From a complete message to its 250: checks, header editing, the plugins' word, one commit, hand-over to delivery."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Protocol

from twisted.internet.defer import Deferred, ensureDeferred, succeed

from postmeter.asking import Asking
from postmeter.hookspecs import MAX_BODY, Message
from postmeter.message.editing import prepare
from postmeter.message.envelope import Envelope
from postmeter.message.handling import Handling
from postmeter.message.header import HeaderLimits, HeaderSection, head_size
from postmeter.message.originator import originator_domains
from postmeter.server.spool import Spool
from postmeter.smtp.replies import DISK_FULL, LOCAL_ERROR, from_domain_refused, queued
from postmeter.smtp.reply import Refused, Reply
from postmeter.store.accept import Accepted, Duplicate, Submission
from postmeter.store.connections import Access, AllowedDomain
from postmeter.store.errors import disk_is_full
from postmeter.store.picking import Load
from postmeter.store.queue import Leased, QueuedMessage, QueuedRecipient
from postmeter.store.writer import Change

log = logging.getLogger(__name__)


class HandOver(Protocol):
    """Delivery, as acceptance sees it."""

    worker: int

    def reserve(self, load: Load) -> bool:
        """Whether there is room for this in memory; if so, it is kept for ``take`` or ``give_up``."""

    def give_up(self, load: Load) -> None:
        """Some of the reserved room, or all of it, is not needed after all."""

    def take(self, leased: Leased, content: bytes | None, load: Load) -> None:
        """Deliver these, which have the room of this ``load``; ``content`` None: read it from the store."""


@dataclass(frozen=True)
class Acceptance:
    """Takes messages for one worker: ``submit`` hands a change to the writer, ``new_id`` makes ids."""

    hostname: str
    keep_list_help: bool
    change: Change[Submission, Accepted | Duplicate | Reply]
    submit: Callable[[Change[Any, Any], Any, Callable[[Any], None]], None]
    new_id: Callable[[], str]
    clock: Callable[[], float]
    asking: Asking
    delivery: HandOver
    header_limits: HeaderLimits = HeaderLimits()

    def accept(self, access: Access, envelope: Envelope, spool: Spool) -> Deferred[Reply]:
        """The reply to the final dot: 250 only after the commit, a refusal, or 451 for what nobody foresaw."""
        try:
            candidate = self._prepare(access, envelope, spool)
            if self.asking.has("on_accept", access.followed):
                return ensureDeferred(self._ask_and_commit(candidate))
            return self._commit(candidate)
        except Exception as error:
            return succeed(reply_for(error))

    def _prepare(self, access: Access, envelope: Envelope, spool: Spool) -> Candidate:
        content = spool.head(self.header_limits.size + 4)
        size = head_size(content)
        section = HeaderSection.parse(content[:size], smtputf8=envelope.smtputf8, limits=self.header_limits)
        domains = originator_domains(section)
        allowed = [allowed_domain(access, domain) for domain in domains]
        now, identifier = self.clock(), self.new_id()
        head = prepare(
            section,
            identifier=identifier,
            connection=str(access.connection_id),
            hostname=self.hostname,
            seconds=int(now),
            list_help=allowed[0].list_help,
            keep_list_help=self.keep_list_help,
            smtputf8=envelope.smtputf8,
            handling=access.handling,
        )
        return Candidate(
            access,
            identifier,
            envelope,
            allowed[0].name,
            domains[0],
            head.subject,
            head.message_id,
            head.key,
            head.reference,
            head.handling,
            head.section.raw,
            spool,
            size,
            now,
        )

    async def _ask_and_commit(self, candidate: Candidate) -> Reply:
        try:
            candidate = await self._ask(candidate)
        except Exception as error:
            return reply_for(error)
        return await self._commit(candidate)

    async def _ask(self, candidate: Candidate) -> Candidate:
        end = candidate.body + MAX_BODY
        message = Message(
            candidate.id,
            candidate.access.account_id,
            candidate.access.connection_id,
            candidate.envelope.reverse_path,
            candidate.envelope.recipients,
            candidate.head,
            candidate.size,
            candidate.spool.head(end)[candidate.body : end],
            candidate.reference,
        )
        added = await self.asking.ask("on_accept", message, candidate.access.followed)
        return replace(candidate, head=added.fields + candidate.head, reference=added.reference or candidate.reference)

    def _commit(self, candidate: Candidate) -> Deferred[Reply]:
        room = self.delivery.reserve(candidate.load)
        submission = candidate.submission(self.delivery.worker if room else None)
        answered: Deferred[Reply] = Deferred()

        def done(result: Accepted | Duplicate | Reply | Exception) -> None:
            # The client first: whatever becomes of the rest, the message is committed or it is not.
            if isinstance(result, Accepted):
                answered.callback(queued(candidate.id))
            elif isinstance(result, Duplicate):
                answered.callback(queued(result.message_id))
            else:
                answered.callback(result if isinstance(result, Reply) else storage_trouble(result))
            if room:
                self._hand_over(candidate, submission, result if isinstance(result, Accepted) else None)

        self.submit(self.change, submission, done)
        return answered

    def _hand_over(self, candidate: Candidate, submission: Submission, accepted: Accepted | None) -> None:
        """Delivery gets the recipients that may leave now, and back the room that was kept for others."""
        load, leaving = candidate.load, accepted.at_once if accepted else 0
        if rest := submission.recipients - leaving:
            self.delivery.give_up(load._replace(recipients=rest, octets=0 if leaving else load.octets))
        if accepted and leaving:
            self.delivery.take(*candidate.leased(accepted, submission), load._replace(recipients=leaving))


@dataclass(frozen=True, slots=True)
class Candidate:
    """A message between its checks and its commit; the body begins in the spool at ``body``."""

    access: Access
    id: str
    envelope: Envelope
    domain: str
    header_from: str
    subject: str
    message_id: str
    key: bytes
    reference: str
    handling: Handling
    head: bytes
    spool: Spool
    body: int
    accepted_at: float

    @property
    def size(self) -> int:
        """Octets of the content as it will be stored."""
        return len(self.head) + self.spool.size - self.body

    @property
    def load(self) -> Load:
        """What it takes up in delivery."""
        recipients = self.envelope.recipients
        return Load(self.access.account_id, recipients[0].domain, len(recipients), self.size)

    def submission(self, worker: int | None) -> Submission:
        """What the store is to write; ``worker`` takes the recipients at once."""
        in_memory = self.head + b"".join(self.spool.blocks(self.body)) if self.spool.in_memory else None

        def content() -> Iterable[bytes]:
            if in_memory is not None:
                return (in_memory,)
            return (block for part in ((self.head,), self.spool.blocks(self.body)) for block in part)

        return Submission(
            id=self.id,
            account_id=self.access.account_id,
            connection_id=self.access.connection_id,
            domain=self.domain,
            envelope=self.envelope,
            header_from=self.header_from,
            subject=self.subject,
            message_id=self.message_id,
            size=self.size,
            content=content,
            accepted_at=self.accepted_at,
            worker=worker,
            key=self.key,
            reference=self.reference,
            capped=self.access.capped,
            aged=self.access.aged,
            priority=self.handling.priority,
            lifetime=self.handling.lifetime,
            tls_required=self.handling.tls_required,
            suppressions=self.access.suppressions,
        )

    def leased(self, accepted: Accepted, submission: Submission) -> tuple[Leased, bytes | None]:
        """What delivery takes over: the leased recipients, and the content while it is small enough for memory."""
        leaving = zip(accepted.paid[: accepted.at_once], accepted.block_ids, strict=False)
        paths = self.envelope.recipients
        message = QueuedMessage(
            self.id,
            self.access.account_id,
            self.access.connection_id,
            self.domain,
            replace(self.envelope, recipients=()),
            self.accepted_at,
            submission.size,
            self.reference,
            self.handling.priority,
            self.handling.lifetime,
            self.handling.tls_required,
        )
        recipients = tuple(QueuedRecipient(n, paths[n], 0, block_id, "reserved") for n, block_id in leaving)
        content = b"".join(submission.content()) if self.spool.in_memory else None
        return Leased(message, recipients), content


def allowed_domain(access: Access, domain: str) -> AllowedDomain:
    """The verified sending domain that ``domain`` is, or is below; the longest one. Refused: 550 5.7.1."""
    matching = [d for d in access.domains if domain == d.name or domain.endswith(f".{d.name}")]
    if not matching:
        raise Refused(from_domain_refused(domain))
    return max(matching, key=lambda d: len(d.name))


def reply_for(error: BaseException | None) -> Reply:
    """The reply that an exception means: its own, or 451 for a defect (never 5xx: the shop shall try again)."""
    if isinstance(error, Refused):
        return error.reply
    if isinstance(error, OSError):
        log.error("a message could not be kept: %s", error)
        return storage_trouble(error)
    log.error("refused a message because of a defect", exc_info=error)
    return LOCAL_ERROR


def storage_trouble(error: Exception) -> Reply:
    """452 when the disk is full, else 451 (RFC 5321, 4.2.2)."""
    return DISK_FULL if disk_is_full(error) else LOCAL_ERROR
