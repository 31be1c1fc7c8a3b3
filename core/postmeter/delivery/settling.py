"""Brings outcomes into the store in groups, and does not let go of one before it is committed."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from postmeter.committing import Submit
from postmeter.store.errors import unusable
from postmeter.store.settle import Settlement, settle
from postmeter.store.writer import Change

log = logging.getLogger(__name__)

GATHER = 0.03  # seconds in which outcomes are collected for one commit
AGAIN = 1.0  # seconds until a failed commit is tried again; doubled while the whole store is in trouble, up to
MOST = 30.0

Recorded = Callable[[], None]


class Settler:
    """Collects settlements and submits them together; ``recorded`` is called once when one has been committed.

    ``change`` records them. While the store cannot be used, they are kept, and only one is submitted now and then to
    find out whether it can.
    """

    def __init__(self, reactor: Any, submit: Submit, change: Change[Settlement, bool] = settle) -> None:
        self._reactor = reactor
        self._submit = submit
        self._change = change
        self._waiting: list[tuple[Settlement, Recorded]] = []
        self._under_way = 0
        self._pause = 0.0  # until the next try; 0: the store works
        self._timer: Any = None

    def add(self, settlement: Settlement, recorded: Recorded) -> None:
        """An attempt has ended."""
        self._waiting.append((settlement, recorded))
        if not self._pause:
            self._set_timer(GATHER)

    def flush(self) -> None:
        """Submit what was collected: at once, and soon again if that fails."""
        self._pause = self._pause and AGAIN
        self._try()

    def _try(self) -> None:
        self._cancel_timer()
        most = 1 if self._pause else len(self._waiting)
        batch, self._waiting = self._waiting[:most], self._waiting[most:]
        self._under_way += len(batch)
        for settlement, recorded in batch:
            self._submit(self._change, settlement, partial(self._done, settlement, recorded))

    def _done(self, settlement: Settlement, recorded: Recorded, result: bool | Exception) -> None:
        self._under_way -= 1
        if isinstance(result, Exception) and unusable(result):
            self._keep(settlement, recorded)
            return
        self._go_on()
        if isinstance(result, Exception):  # a defect of this one; the outcome is true all the same
            self._reactor.callLater(AGAIN, self.add, settlement, recorded)
            return
        if not result:
            log.warning("the lease of %s/%s was lost", settlement.message.id, settlement.recipient.n)
        recorded()

    def _keep(self, settlement: Settlement, recorded: Recorded) -> None:
        self._waiting.append((settlement, recorded))
        if not self._pause:
            self._cancel_timer()
            self._pause = AGAIN
        if not self._under_way:
            self._set_timer(self._pause)
            self._pause = min(2 * self._pause, MOST)

    def _go_on(self) -> None:
        if self._pause:
            self._pause = 0.0
            self._cancel_timer()
            if self._waiting:
                self._set_timer(0)

    def _set_timer(self, delay: float) -> None:
        if self._timer is None:
            self._timer = self._reactor.callLater(delay, self._try)

    def _cancel_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
