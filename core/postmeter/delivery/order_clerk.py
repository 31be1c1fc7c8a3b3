"""Carries out what the operator has ordered for the queue: looks for the next recipients, and has them changed."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from sqlalchemy.orm import Session
from twisted.internet.defer import Deferred

from postmeter.delivery.settling import Submit
from postmeter.store import orders

log = logging.getLogger(__name__)

Read = Callable[[Callable[[Session], Any]], Deferred[Any]]


class OrderClerk:
    """One of a relay's workers; ``read`` runs a function in a thread, ``submit`` hands a change to the writer."""

    def __init__(self, read: Read, submit: Submit, clock: Callable[[], float]) -> None:
        self._read = read
        self._submit = submit
        self._clock = clock

    async def follow(self) -> None:
        """Until no order is open, or another worker is at it; what cannot be committed is tried the next time."""
        while True:
            now = self._clock()
            batch = await self._read(partial(orders.next_batch, now=now))
            if batch is None or not await self._carry_out(batch, now):
                return

    async def _carry_out(self, batch: orders.Batch, now: float) -> bool:
        done: Deferred[bool | Exception] = Deferred()
        self._submit(orders.carry_out, (batch, now), done.callback)
        result = await done
        if isinstance(result, Exception):
            log.error("an order on the queue could not be carried out", exc_info=result)
            return False
        return result
