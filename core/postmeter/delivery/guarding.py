"""Has one worker look every minute at what becomes of the connections' mail, and act on it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from sqlalchemy.orm import Session
from twisted.internet.defer import Deferred, ensureDeferred

from postmeter.committing import Submit
from postmeter.guard import Guard
from postmeter.store import conduct
from postmeter.store.conduct import Round

log = logging.getLogger(__name__)

EVERY = 60.0  # seconds

Read = Callable[[Callable[[Session], Any]], Deferred[Any]]


class Guarding:
    """Of one worker; ``read`` runs a function in a thread, ``submit`` hands a change to the writer."""

    def __init__(self, read: Read, submit: Submit, clock: Callable[[], float], worker: int, limits: Guard) -> None:
        self._read = read
        self._submit = submit
        self._clock = clock
        self._worker = worker
        self._limits = limits

    def look(self) -> Deferred[None]:
        """One round, unless another worker makes them; a defect is logged, and the next round comes."""
        return ensureDeferred(self._look()).addErrback(
            lambda failure: log.error("the guard met a defect", exc_info=failure.value)
        )

    async def _look(self) -> None:
        looking = partial(conduct.look, worker=self._worker, limits=self._limits, now=self._clock())
        made: Round | None = await self._read(looking)
        if made is not None:
            self._submit(conduct.act, made, _tell)


def _tell(paused: list[str] | Exception) -> None:
    if not isinstance(paused, Exception):  # which the writer has logged
        for sentence in paused:
            log.warning("%s", sentence)
