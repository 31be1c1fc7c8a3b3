"""What a test must not leave behind: logged failures, unhandled Deferred errors, delayed calls, open sockets."""

from __future__ import annotations

import gc
import time
from typing import Any

import pytest_twisted  # type: ignore[import-untyped]
from twisted.internet import reactor as _reactor
from twisted.internet.task import deferLater
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from zope.interface import implementer

reactor: Any = _reactor
PATIENCE = 1.0  # seconds that a closing socket may take
_WAKERS = {"_UnixWaker", "_SIGCHLDWaker", "_SocketWaker", "_FDWaker"}  # the reactor's own


@implementer(ILogObserver)
class Watch:
    """Observes one test, from before its fixtures to after them."""

    def __init__(self) -> None:
        self._failures: list[LogEvent] = []
        self._calls = set(reactor.getDelayedCalls())
        self._selectables = _selectables()
        globalLogPublisher.addObserver(self)

    def __call__(self, event: LogEvent) -> None:
        """Keep a logged failure."""
        if event.get("log_failure") is not None or event.get("isError"):
            self._failures.append(event)

    def flush(self, *types: type[BaseException]) -> list[BaseException]:
        """The logged failures of these types (none given: all), which the test expected and has looked at."""
        gc.collect()
        taken = [e for e in self._failures if not types or (e.get("log_failure") and e["log_failure"].check(*types))]
        self._failures = [event for event in self._failures if event not in taken]
        return [event["log_failure"].value for event in taken if event.get("log_failure")]

    def finish(self) -> list[str]:
        """What was left behind, as text."""
        deadline = time.monotonic() + PATIENCE
        while self._left_over() and time.monotonic() < deadline:
            pytest_twisted.blockon(deferLater(reactor, 0.01, lambda: None))
        gc.collect()
        globalLogPublisher.removeObserver(self)
        return [f"logged: {_text(event)}" for event in self._failures] + self._left_over()

    def _left_over(self) -> list[str]:
        calls = [call for call in reactor.getDelayedCalls() if call not in self._calls]
        selectables = _selectables() - self._selectables
        return [f"left-over delayed call: {call}" for call in calls] + [f"still open: {one!r}" for one in selectables]


def _selectables() -> set[Any]:
    everything = {*reactor.getReaders(), *reactor.getWriters()}
    internal = getattr(reactor, "_internalReaders", ())
    return {one for one in everything if one not in internal and type(one).__name__ not in _WAKERS}


def _text(event: LogEvent) -> str:
    failure = event.get("log_failure")
    return str(failure.getTraceback()) if failure is not None else (formatEvent(event) or str(event))
