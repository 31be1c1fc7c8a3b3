"""The operator's desk of a worker, whose store is the test."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, ensureDeferred, succeed

from postmeter.delivery.desk import LEARNED, Desk
from postmeter.store import orders, pauses
from postmeter.store.orders import Batch
from postmeter.store.pauses import Stopped
from postmeter.store.providers import Suspension

STOP = Suspension("Google", "too many complaints", 0.0, None, "operator")


class Office:
    """A desk whose reads and commits the test answers; ``open`` are the batches that are found."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.open: list[Batch | None] = []
        self.submitted: list[tuple[Any, Any]] = []
        self.answer: Any = True
        self.until_stop: float = math.inf  # batches until the operator suspends a provider
        self.meanwhile: Callable[[], None] = lambda: None  # happens while the suspensions are read
        self.told: list[Any] = []
        self.stopped: list[Stopped] = []
        self.desk = Desk(self._read, self._submit, lambda: self.now, (STOP,), reported=self.told.append)

    def _read(self, function: Any) -> Deferred[Any]:
        if getattr(function, "func", None) is orders.next_batch:
            assert function.keywords == {"now": self.now, "before": self.now - LEARNED}
            return succeed(self.open.pop(0) if self.open else None)
        if function is pauses.stopped:
            return succeed(self.stopped)
        found = [STOP] if len(self.submitted) >= self.until_stop else []
        self.meanwhile()
        return succeed(found)

    def _submit(self, change: Any, item: Any, done: Any) -> None:
        self.submitted.append((change, item))
        done(self.answer)

    def follow(self) -> None:
        """A round of the desk, which needs no wait."""
        done: list[Any] = []
        ensureDeferred(self.desk.follow()).addBoth(done.append)
        assert done == [None]
