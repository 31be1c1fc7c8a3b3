"""Sends reports about TLS once a day (RFC 8460): one worker of all does, some domains at a time."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from sqlalchemy.orm import Session
from twisted.internet.defer import Deferred, ensureDeferred, gatherResults

from postmeter.committing import Submit, commit
from postmeter.delivery.route import Lookup
from postmeter.delivery.sts_policies import Ask
from postmeter.delivery.tls_log import wanted_at
from postmeter.delivery.tls_report import KIND, Report, mailbox
from postmeter.fetch import FetchError
from postmeter.store import cursors, own_mail, tls_reports
from postmeter.store.tls_reports import DAY, OLDEST, OVERDUE, Finished

log = logging.getLogger(__name__)

DUTY = "tls reports"
DUTY_LEASE = 1_800.0  # seconds: longer than a round takes
AT_ONCE = 50  # reports in a round, all at the same time
SETTLED = 1_800  # seconds behind midnight, when all workers have handed over what they counted
LOOK_AGAIN = 600.0  # seconds between two looks at what is due
AGAIN = 3_600.0  # seconds until a report that nobody took is tried again
PATIENCE = 30.0  # seconds for a web server that takes a report

Read = Callable[[Callable[[Session], Any]], Deferred[Any]]


class TlsReporter:
    """Of one worker; ``read`` and ``submit`` bring functions into the threads that may block, ``ask`` does for the web.

    ``clock`` gives seconds since the epoch.
    """

    def __init__(
        self,
        hostname: str,
        worker: int,
        resolver: Lookup,
        ask: Ask,
        read: Read,
        submit: Submit,
        clock: Callable[[], float],
    ) -> None:
        self._hostname = hostname
        self._worker = worker
        self._resolver = resolver
        self._ask = ask
        self._read = read
        self._submit = submit
        self._clock = clock
        self._look_at = 0.0
        self._later: dict[tuple[int, str], float] = {}  # reports that nobody took, and when to try again

    async def look(self) -> None:
        """Send what reports are due."""
        now = self._clock()
        if now % DAY < SETTLED or now < self._look_at:
            return
        self._look_at = now + LOOK_AGAIN
        if not await self._read(partial(tls_reports.open_reports, now=now, limit=1)):
            return
        if not await commit(self._submit, _take_duty, (self._worker, now)):
            return
        due = await self._due(now)
        await gatherResults([ensureDeferred(self._send(*report)) for report in due], consumeErrors=True)

    async def _due(self, now: float) -> list[tuple[int, str]]:
        """What is to be sent now: what was not tried yet comes first, whoever does not take the rest."""
        self._later = {report: at for report, at in self._later.items() if report[0] > now - OLDEST}
        limit = AT_ONCE + len(self._later)
        found = await self._read(partial(tls_reports.open_reports, now=now, limit=limit))
        again_at = {report: self._later.get(report, 0.0) for report in found}
        return sorted((report for report, at in again_at.items() if at <= now), key=again_at.__getitem__)[:AT_ONCE]

    async def _send(self, day: int, domain: str) -> None:
        sessions = await self._read(partial(tls_reports.sessions_of, day=day, domain=domain))
        report = Report(self._hostname, domain, day, sessions)
        wanted = await wanted_at(self._resolver, domain)
        addresses = [address for address in map(mailbox, wanted) if address and own_mail.reaches(address)]
        urls = [url for url in wanted if not mailbox(url)]
        taken = await gatherResults([ensureDeferred(self._post(url, report)) for url in urls], consumeErrors=True)
        sent_to = (*addresses, *(url for url, good in zip(urls, taken, strict=True) if good))
        if not sent_to and self._clock() < day + DAY + OVERDUE:
            self._later[day, domain] = self._clock() + AGAIN
            return
        self._later.pop((day, domain), None)
        mails = tuple((address, report.mail()) for address in addresses)
        finished = Finished(day, domain, self._clock(), sent_to, mails, self._hostname)
        await commit(self._submit, tls_reports.finish, finished)

    async def _post(self, url: str, report: Report) -> bool:
        """Whether the web server has taken it (RFC 8460, 5.4)."""
        headers = {"content-type": "/".join(KIND)}
        try:
            answer = await self._ask("POST", url, timeout=PATIENCE, headers=headers, body=report.packed)
        except FetchError as error:
            log.info("a report about TLS cannot be sent to %s: %s", report.domain, error)
            return False
        if not 200 <= answer.status < 300:
            log.info("a report about TLS was not taken by %s: %d", report.domain, answer.status)
        return 200 <= answer.status < 300


def _take_duty(session: Session, asking: Any) -> list[bool]:
    return [cursors.hold_duty(session, DUTY, worker, now, now + DUTY_LEASE) for worker, now in asking]
