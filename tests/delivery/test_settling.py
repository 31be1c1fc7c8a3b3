"""Outcomes on their way into the store: together, and not let go of before they are there."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.task import Clock

from postmeter.delivery.settling import AGAIN, GATHER, MOST, Settler
from postmeter.message.envelope import Envelope, Recipient
from postmeter.store.queue import QueuedMessage, QueuedRecipient
from postmeter.store.settle import Settlement, settle


def settlement(n: int) -> Settlement:
    message = QueuedMessage("id", 1, 2, "shop.example", Envelope("a@shop.example", ()), 0.0, 100)
    recipient = QueuedRecipient(n, Recipient("joe@example.org"), 0, None, "reserved")
    return Settlement(message, recipient, 1, "delivered", "250 Ok", 0.0, 0.0, True, False, {})


class Bench:
    """A settler whose commits end when the test says."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.submitted: list[tuple[Settlement, Callable[[Any], None]]] = []
        self.recorded: list[int] = []
        self.settler = Settler(self.clock, self._submit)

    def add(self, n: int) -> None:
        """An outcome."""
        self.settler.add(settlement(n), lambda: self.recorded.append(n))

    def _submit(self, change: object, item: Settlement, done: Callable[[Any], None]) -> None:
        assert change is settle
        self.submitted.append((item, done))

    def answer(self, result: object) -> None:
        """End all commits alike."""
        waiting, self.submitted = self.submitted, []
        for _, done in waiting:
            done(result)


def test_outcomes_are_gathered_for_a_moment_and_submitted_in_order() -> None:
    bench = Bench()
    for n in range(5):
        bench.add(n)
    assert bench.submitted == []
    bench.clock.advance(GATHER)
    assert [item.recipient.n for item, _ in bench.submitted] == [0, 1, 2, 3, 4]
    assert bench.recorded == []
    bench.answer(True)
    assert bench.recorded == [0, 1, 2, 3, 4]
    assert not bench.clock.getDelayedCalls()


def test_a_failed_commit_is_tried_again_until_it_succeeds() -> None:
    bench = Bench()
    bench.add(1)
    for _ in range(20):
        bench.clock.advance(GATHER)
        assert len(bench.submitted) == 1
        bench.answer(OSError("the database is gone"))
        assert bench.recorded == []
        bench.clock.advance(AGAIN)
    bench.clock.advance(GATHER)
    bench.answer(True)
    assert bench.recorded == [1]
    assert not bench.clock.getDelayedCalls()


def test_a_lost_lease_is_told_and_let_go(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    bench.add(1)
    bench.clock.advance(GATHER)
    with caplog.at_level(logging.WARNING):
        bench.answer(False)
    assert bench.recorded == [1]
    assert "the lease of id/1 was lost" in caplog.text


def test_new_outcomes_may_come_while_others_are_committed() -> None:
    bench = Bench()
    bench.add(1)
    bench.clock.advance(GATHER)
    bench.add(2)
    bench.answer(OSError())
    bench.clock.advance(GATHER)
    bench.answer(True)
    assert bench.recorded == [2]
    bench.clock.advance(AGAIN)
    bench.clock.advance(GATHER)
    bench.answer(True)
    assert bench.recorded == [2, 1]


def test_flush_does_not_wait_and_leaves_no_timer() -> None:
    bench = Bench()
    bench.add(1)
    bench.settler.flush()
    assert len(bench.submitted) == 1
    assert not bench.clock.getDelayedCalls()
    bench.settler.flush()
    assert len(bench.submitted) == 1


FULL = OSError(errno.ENOSPC, "No space left on device")


def test_while_the_store_cannot_be_used_one_outcome_asks_ever_more_seldom_whether_it_can() -> None:
    bench, waits = Bench(), []
    for n in range(1000):
        bench.add(n)
    bench.clock.advance(GATHER)
    assert len(bench.submitted) == 1000
    bench.answer(FULL)
    for n in range(8):
        bench.add(1000 + n)
        [call] = bench.clock.getDelayedCalls()
        waits.append(call.getTime() - bench.clock.seconds())
        bench.clock.advance(waits[-1])
        assert len(bench.submitted) == 1
        bench.answer(FULL)
    assert waits == pytest.approx([1, 2, 4, 8, 16, 30, 30, 30])
    bench.clock.advance(MOST)
    bench.answer(True)
    bench.clock.advance(0)
    assert len(bench.submitted) == 1007
    bench.answer(True)
    assert sorted(bench.recorded) == list(range(1008))
    assert not bench.clock.getDelayedCalls()


def test_answers_that_come_apart_while_the_store_gets_into_trouble_lose_nothing() -> None:
    bench = Bench()
    for n in range(3):
        bench.add(n)
    bench.clock.advance(GATHER)
    (_, first), (_, second), (_, third) = bench.submitted
    bench.submitted.clear()
    first(FULL)
    bench.add(3)
    bench.clock.advance(MOST)
    assert bench.submitted == []  # the others' answers say more than another try
    second(True)
    bench.clock.advance(0)
    assert [item.recipient.n for item, _ in bench.submitted] == [0, 3]
    third(FULL)
    bench.answer(FULL)
    bench.clock.advance(AGAIN)
    assert len(bench.submitted) == 1
    bench.answer(ValueError("a defect of this one"))
    bench.clock.advance(0)
    bench.answer(True)
    bench.clock.advance(AGAIN)
    bench.clock.advance(GATHER)
    bench.answer(True)
    assert sorted(bench.recorded) == [0, 1, 2, 3]
    assert not bench.clock.getDelayedCalls()


def test_who_must_end_asks_at_once_and_soon_again() -> None:
    bench = Bench()
    bench.add(1)
    bench.clock.advance(GATHER)
    for _ in range(8):
        bench.answer(FULL)
        bench.clock.advance(MOST)
    bench.answer(FULL)
    bench.settler.flush()
    assert len(bench.submitted) == 1
    bench.answer(FULL)
    bench.clock.advance(AGAIN)
    bench.answer(True)
    assert bench.recorded == [1]
    assert not bench.clock.getDelayedCalls()
