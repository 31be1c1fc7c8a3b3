"""What a worker does again and again: a defect in one round does not keep the next from coming."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.task import LoopingCall

log = logging.getLogger(__name__)

Round = tuple[float, Callable[[], object]]  # seconds from one to the next, and what is done; a Deferred is waited for


class Rounds:
    """Does what it is given in its intervals, from one interval after the start to the stop."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._running: list[LoopingCall] = []

    def start(self, rounds: Iterable[Round]) -> None:
        """Begin."""
        for interval, function in rounds:
            loop = LoopingCall(steadily, function)
            loop.clock = self._reactor
            loop.start(interval, now=False).addErrback(defect)
            self._running.append(loop)

    def stop(self) -> None:
        """Begin no further round."""
        for loop in self._running:
            loop.stop()


def steadily(function: Callable[[], Any]) -> Any:
    """What is done again and again, or for many, goes on after a defect."""
    try:
        return function()
    except Exception as error:
        log.error("a defect: %s", error, exc_info=error)
        return None


def defect(failure: Any) -> None:
    """The same for what ends later."""
    log.error("a defect: %s", failure.value, exc_info=failure.value)
