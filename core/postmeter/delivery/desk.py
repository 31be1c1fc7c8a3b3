"""The operator's side of a worker: follows orders on the queue, knows suspended providers, reports on our addresses."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from sqlalchemy.orm import Session
from twisted.internet.defer import Deferred

from postmeter.delivery.settling import Submit
from postmeter.delivery.warm_up import limits
from postmeter.store import orders, providers, sources
from postmeter.store.providers import Suspension
from postmeter.store.settle import Settlement
from postmeter.store.sources import DAY, Figures, Key
from postmeter.store.tables import DEFERRED, DELIVERED

log = logging.getLogger(__name__)

REPORT_EVERY = 30.0  # seconds between two reports on our addresses: as much a killed worker takes with it

Read = Callable[[Callable[[Session], Any]], Deferred[Any]]
Reported = Callable[[Mapping[Key, Figures]], None]


class Suspensions:
    """The providers that are sent nothing at present."""

    def __init__(self, known: Iterable[Suspension] = ()) -> None:
        self._known = {one.provider: one for one in known}

    def learn(self, known: Iterable[Suspension]) -> None:
        """From now on it is these."""
        self._known = {one.provider: one for one in known}

    def of(self, provider: str, now: float) -> Suspension | None:
        """The suspension of the provider, if it is in force."""
        found = self._known.get(provider)
        return found if found is not None and now < (math.inf if found.until is None else found.until) else None


class Desk:
    """Of one worker; ``read`` runs a function in a thread, ``submit`` hands a change to the writer.

    What left is reported ``every`` so many seconds; ``reported`` is told what is in the store by that.
    """

    def __init__(
        self,
        read: Read,
        submit: Submit,
        clock: Callable[[], float],
        known: Iterable[Suspension],
        every: float = REPORT_EVERY,
        reported: Reported | None = None,
    ) -> None:
        self.suspensions = Suspensions(known)
        self._read = read
        self._submit = submit
        self._clock = clock
        self._counted: dict[Key, Figures] = {}
        self._reported = clock()
        self._every = every
        self._told_of = reported

    def note(self, settlement: Settlement) -> None:
        """An attempt has ended."""
        facts = settlement.facts
        if address := facts.get("local_address", ""):
            key = Key(address, int(settlement.at) // DAY * DAY, facts.get("provider", ""))
            figures = self._counted.setdefault(key, Figures())
            figures.attempts += 1
            figures.delivered += settlement.state == DELIVERED
            figures.deferred += settlement.state == DEFERRED
            figures.refused += settlement.state not in (DELIVERED, DEFERRED)
            figures.encrypted += bool(facts.get("tls"))
            figures.limited += settlement.state == DEFERRED and limits(settlement.reply)
            figures.last_at = settlement.at

    def report(self) -> None:
        """Hand over what was counted since the last time; it is counted again if it cannot be committed."""
        counted, self._counted = self._counted, {}
        self._reported = self._clock()
        if counted:
            self._submit(sources.add, counted, partial(self._told, counted))

    def _told(self, counted: Mapping[Key, Figures], result: Exception | None) -> None:
        if isinstance(result, Exception):
            for key, figures in counted.items():
                self._counted[key] = self._counted.get(key, Figures()) + figures
        elif self._told_of is not None:
            self._told_of(counted)

    async def follow(self) -> None:
        """What is done every second: until no order is open, or another worker is at it."""
        going_on = True
        while going_on:  # a long order must not keep us from the rest
            now = self._clock()
            if now - self._reported >= self._every:
                self.report()
            self.suspensions.learn(await self._read(partial(providers.suspensions, now=now)))
            batch = await self._read(partial(orders.next_batch, now=now))
            going_on = batch is not None and await self._carry_out(batch, now)

    async def _carry_out(self, batch: orders.Batch, now: float) -> bool:
        done: Deferred[bool | Exception] = Deferred()
        self._submit(orders.carry_out, (batch, now), done.callback)
        result = await done
        if isinstance(result, Exception):
            log.error("an order on the queue could not be carried out", exc_info=result)
            return False
        return result
