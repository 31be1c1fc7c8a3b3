"""Brings outcomes into the store in groups, and does not let go of one before it is committed."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from postmeter.store.settle import Settlement, settle
from postmeter.store.writer import Change

log = logging.getLogger(__name__)

GATHER = 0.03  # seconds in which outcomes are collected for one commit
AGAIN = 1.0  # seconds until a failed commit is tried again

Submit = Callable[[Change[Any, Any], Any, Callable[[Any], None]], None]
Recorded = Callable[[], None]


class Settler:
    """Collects settlements and submits them together; ``recorded`` is called once when one has been committed."""

    def __init__(self, reactor: Any, submit: Submit) -> None:
        self._reactor = reactor
        self._submit = submit
        self._waiting: list[tuple[Settlement, Recorded]] = []
        self._timer: Any = None

    def add(self, settlement: Settlement, recorded: Recorded) -> None:
        """An attempt has ended."""
        self._waiting.append((settlement, recorded))
        if self._timer is None:
            self._timer = self._reactor.callLater(GATHER, self.flush)

    def flush(self) -> None:
        """Submit what was collected."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
        waiting, self._waiting = self._waiting, []
        for settlement, recorded in waiting:
            self._submit(settle, settlement, partial(self._done, settlement, recorded))

    def _done(self, settlement: Settlement, recorded: Recorded, result: bool | Exception) -> None:
        if isinstance(result, Exception):  # the store is in trouble; the outcome is true all the same
            self._reactor.callLater(AGAIN, self.add, settlement, recorded)
            return
        if not result:
            log.warning("the lease of %s/%s was lost", settlement.message.id, settlement.recipient.n)
        recorded()
