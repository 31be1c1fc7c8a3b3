"""What one worker needs to send from pools of source addresses; nothing as long as there are none."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.python.failure import Failure

from postmeter.config import Delivery
from postmeter.delivery.desk import REPORT_EVERY, Reported
from postmeter.delivery.source import PoolNames, Sources
from postmeter.delivery.warm_up import EVERY, Read, WarmUp
from postmeter.source import pools
from postmeter.store.engine import Store
from postmeter.store.warm_up import warmth

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sourcing:
    """The pools' names for the signer, their sources for the scheduler, and the warm-up that the desk reports to."""

    names: PoolNames | None = None
    sources: Sources | None = None
    warm_up: WarmUp | None = None

    @classmethod
    def of(cls, settings: Delivery, store: Store, read: Read, clock: Callable[[], float]) -> Sourcing:
        """By the settings. Blocks: it reads how warm the addresses are."""
        if not (found := pools(settings.pools)):
            return cls()
        warm_up = None
        if settings.warm_up:
            addresses = frozenset(address for pool in found.values() for one in pool for address in one.addresses)
            with store.read() as session:
                warm_up = WarmUp(read, clock, addresses, warmth(session, addresses, clock()))
        return cls(PoolNames(store, found), Sources(found, warm_up), warm_up)

    @property
    def report(self) -> tuple[float, Reported | None]:
        """Seconds between two reports of what left, which the others' warm-up waits for, and who is told of each."""
        return (REPORT_EVERY, None) if self.warm_up is None else (EVERY, self.warm_up.reported)

    @property
    def loops(self) -> list[tuple[float, Callable[[], object]]]:
        """What is done again and again, and after how many seconds."""
        return [] if self.sources is None else [(EVERY, self.look)]

    def look(self) -> Deferred[None]:
        """See which addresses there are, and what all workers have sent from them."""
        if self.sources is not None:
            self.sources.look()
        return ensureDeferred(self._learn()).addErrback(_defect)

    async def _learn(self) -> None:
        if self.warm_up is not None:
            await self.warm_up.look()


def _defect(failure: Failure) -> None:
    log.error("the use of our addresses could not be read: %s", failure.value, exc_info=failure.value)
