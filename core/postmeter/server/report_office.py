"""From a complete mail on the port for reports to its 250: read in a thread, recorded or passed on in one commit."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred, DeferredSemaphore

from postmeter.committing import Submit, commit
from postmeter.message.envelope import Envelope
from postmeter.message.feedback import Feedback
from postmeter.message.parts import MAX_SIZE, Mail
from postmeter.message.passing_on import PassedOn, goes_round
from postmeter.message.report import understood
from postmeter.message.return_path import Returned, ReturnPaths
from postmeter.message.statement import Kind, Report
from postmeter.server.acceptance import storage_trouble
from postmeter.server.report_mailboxes import is_return_path, is_role
from postmeter.smtp.replies import (
    ENOUGH_MAIL,
    LOCAL_ERROR,
    NO_REPORT,
    PASSED_ON,
    REPORT_HEARD,
    ROUTING_LOOP,
    TOO_EARLY,
    message_too_large,
)
from postmeter.smtp.reply import Refused, Reply
from postmeter.store.late import News
from postmeter.store.writer import Change

log = logging.getLogger(__name__)

AT_ONCE = 2  # reports that are being read
MOST_AN_HOUR = 60  # mails that one worker passes on to the operator
HOUR = 3_600.0


@dataclass(frozen=True)
class Parts:
    """What the office works with; ``in_thread`` calls a function off the reactor, ``clock`` is the wall's."""

    hostname: str
    paths: ReturnPaths
    late: Change[News, int | None]
    passing_on: Change[tuple[PassedOn, float], int]
    submit: Submit
    in_thread: Callable[..., Deferred[Any]]
    clock: Callable[[], float]


class Office:
    """Takes what comes for return paths and the operator's mailboxes; of each only what it is there for."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._reading = DeferredSemaphore(AT_ONCE)
        self._passed_on: deque[float] = deque()

    async def take(self, envelope: Envelope, content: Callable[[], bytes], size: int) -> Reply:
        """The reply to the final dot; ``content`` is read in the thread.

        Of a mail whose ``size`` is more than ``MAX_SIZE`` it is the beginning, which will do for a report.
        """
        octets, mail, report = await self._reading.run(self._parts.in_thread, _read, content, envelope)
        addresses = [recipient.forward_path for recipient in envelope.recipients]
        roles = [address for address in addresses if is_role(address)]
        if roles and goes_round(mail):
            raise Refused(ROUTING_LOOP)
        news = list(self._news(report, [address for address in addresses if is_return_path(address)]))
        if news:
            await self._record(news, report)
        elif roles and size > MAX_SIZE:
            raise Refused(message_too_large(MAX_SIZE))
        elif roles:
            await self._pass_on(PassedOn(roles[0], envelope.reverse_path, octets))
            return PASSED_ON
        elif report.kind is Kind.OTHER:
            log.info("a mail from <%s> for %s is no report that can be read", envelope.reverse_path, addresses[0])
            raise Refused(NO_REPORT)
        return REPORT_HEARD

    # What a report is about

    def _news(self, report: Report, addresses: Sequence[str]) -> Iterator[News]:
        """What is to be recorded: of a notification for each of its return paths, of a complaint for one mail."""
        now = self._parts.clock()
        returned = [found for address in addresses if (found := self._parts.paths.read(address, now))]
        if report.feedback:
            if report.feedback.complaint and (
                found := self._traced(report.feedback, now) or next(iter(returned), None)
            ):
                yield News(found.message_id, found.recipient, now, feedback=report.feedback)
        elif report.kind is Kind.NOTIFICATION:
            for found in dict.fromkeys(returned):
                yield News(found.message_id, found.recipient, now, report.statements)

    def _traced(self, said: Feedback, now: float) -> Returned | None:
        """The mail complained about: by a return path of ours, or by the id that it got here and nobody can guess."""
        for path in said.return_paths:
            if found := self._parts.paths.read(path, now):
                return found
        ours = [identifier for host, identifier in said.traces if host.lower() == self._parts.hostname.lower()]
        return Returned(ours[-1], None) if ours else None

    # What is done

    async def _record(self, news: Sequence[News], report: Report) -> None:
        counts = [await self._commit(self._parts.late, one) for one in news]
        for one, count in zip(news, counts, strict=True):
            log.info("a %s about message %s: %d recipients", report.kind.value, one.message_id, count or 0)
        if None in counts:
            raise Refused(TOO_EARLY)

    async def _pass_on(self, mail: PassedOn) -> None:
        now = self._parts.clock()
        while self._passed_on and self._passed_on[0] <= now - HOUR:
            self._passed_on.popleft()
        if len(self._passed_on) >= MOST_AN_HOUR:
            raise Refused(ENOUGH_MAIL)
        self._passed_on.append(now)
        if not await self._commit(self._parts.passing_on, (mail, now)):
            log.error("there is nobody to pass a mail to %s on to; set smtp.postmaster", mail.mailbox)
            raise Refused(LOCAL_ERROR)

    async def _commit(self, change: Change[Any, Any], item: Any) -> Any:
        """The result, once it is committed; Refused: it could not be."""
        try:
            return await commit(self._parts.submit, change, item)
        except Exception as error:
            raise Refused(storage_trouble(error)) from error


def _read(content: Callable[[], bytes], envelope: Envelope) -> tuple[bytes, Mail, Report]:
    octets = content()
    mail = Mail.read(octets)
    return octets, mail, understood(mail, null_sender=not envelope.reverse_path)
