"""One worker's transport security: builds its parts out of settings, DNS and store, and looks after them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.python.failure import Failure

from postmeter.committing import Submit
from postmeter.config import Settings
from postmeter.delivery.opening import BrokenTls, NoteTls, note_nothing
from postmeter.delivery.provider import Providers
from postmeter.delivery.resolver import Resolver
from postmeter.delivery.securing import Securing
from postmeter.delivery.sts_policies import StsPolicies, pass_over
from postmeter.delivery.tls_log import TlsLog
from postmeter.delivery.tls_reporter import Read, TlsReporter
from postmeter.delivery.web_threads import WebThreads
from postmeter.store import tls_memory
from postmeter.store.engine import Store

log = logging.getLogger(__name__)


class TransportSecurity:
    """``read`` and ``submit`` bring functions into the threads that may block, ``post`` brings home from a thread.

    What was known before is read from ``store``; blocks for that.
    """

    def __init__(
        self,
        settings: Settings,
        worker: int,
        resolver: Resolver,
        providers: Providers,
        store: Store,
        read: Read,
        submit: Submit,
        post: Callable[[Callable[[], None]], Any],
    ) -> None:
        chosen, clock = settings.delivery, time.time
        with store.read() as session:
            memory = tls_memory.read(session, clock())
        self._log = TlsLog(resolver, submit, clock) if chosen.tls_reports else None
        threads = WebThreads(post)  # of their own: who takes reports slowly must not keep us from policies
        self._reporter = TlsReporter(settings.hostname, worker, resolver, threads.ask, read, submit, clock)
        self.note: NoteTls = self._log.session if self._log else note_nothing
        self.broken = BrokenTls(clock, memory.broken, partial(_keep, submit, tls_memory.add_broken))
        keep = partial(_keep, submit, tls_memory.keep_policies)
        trouble = self._log.trouble if self._log else pass_over
        ask = WebThreads(post).ask
        self.securing = Securing(
            chosen.tls_required,
            resolver=resolver if chosen.dane else None,
            policies=StsPolicies(resolver, ask, clock, memory.policies, keep, trouble) if chosen.mta_sts else None,
            note=self.note,
            providers=providers,
        )

    def hand_over(self) -> None:
        """Keep what was counted for reports of domains that are known to want them."""
        if self._log is not None:
            self._log.hand_over().addErrback(_defect)

    def look(self) -> Deferred[None]:
        """What is done again and again: hand over what was counted, and send the reports that are due."""
        return ensureDeferred(self._look()).addErrback(_defect)

    async def _look(self) -> None:
        if self._log is not None:
            await self._log.hand_over()
            await self._reporter.look()


def _keep(submit: Submit, change: Any, item: Any) -> None:
    """Have it kept; if that fails the writer says so, and the worker still knows it."""
    submit(change, item, lambda _: None)


def _defect(failure: Failure) -> None:
    log.error("a defect in reports about TLS: %s", failure.value, exc_info=failure.value)
