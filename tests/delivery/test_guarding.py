"""The guard's rounds: one worker makes them, and a defect or a store in trouble ends none of those that follow."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed

from postmeter.delivery.guarding import Guarding
from postmeter.guard import Guard
from postmeter.store import conduct
from postmeter.store.conduct import Round

MADE = Round(9, 5.0, 7, ())


class Desk:
    """Reads and commits that the test answers."""

    def __init__(self, read: Any, committed: Any = ()) -> None:
        self.read = read
        self.committed = committed
        self.asked: list[dict[str, Any]] = []
        self.submitted: list[tuple[Any, Any]] = []
        self.guarding = Guarding(self._read, self._submit, lambda: 5.0, 9, Guard(days=3))

    def _read(self, function: Any) -> Deferred[Any]:
        assert function.func is conduct.look
        self.asked.append(function.keywords)
        return fail(self.read) if isinstance(self.read, Exception) else succeed(self.read)

    def _submit(self, change: Any, item: Any, done: Callable[[Any], None]) -> None:
        self.submitted.append((change, item))
        done(self.committed)

    def look(self) -> None:
        done: list[Any] = []
        self.guarding.look().addBoth(done.append)
        assert done == [None]


def test_what_was_found_is_acted_on_and_told(caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk(MADE, ["the connection 'web' of account 1 is paused: 100 % gone"])
    desk.look()
    assert desk.asked == [{"worker": 9, "limits": Guard(days=3), "now": 5.0}]
    assert desk.submitted == [(conduct.act, MADE)]
    assert [(one.levelno, one.message) for one in caplog.records] == [
        (logging.WARNING, "the connection 'web' of account 1 is paused: 100 % gone")
    ]


def test_another_worker_at_it_is_left_alone() -> None:
    desk = Desk(None)
    desk.look()
    assert desk.submitted == []


def test_trouble_ends_no_further_round(caplog: pytest.LogCaptureFixture) -> None:
    Desk(MADE, RuntimeError("the disk is full")).look()
    assert caplog.records == []
    Desk(RuntimeError("no")).look()
    assert [one.message for one in caplog.records] == ["the guard met a defect"]
