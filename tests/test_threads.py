"""Threads that work by the batch, and one for a single answer."""

from __future__ import annotations

import logging
import sys
import threading

import pytest

from postmeter.threads import BatchThread, within


def held(limit: int = 64) -> tuple[BatchThread[int], list[list[int]], threading.Event]:
    """A thread that is busy with 0 until the event is set, and the batches it got."""
    batches: list[list[int]] = []
    busy, go_on = threading.Event(), threading.Event()

    def work(batch: list[int]) -> None:
        batches.append(batch)
        busy.set()
        assert go_on.wait(20)

    thread = BatchThread("test", work, limit)
    thread.start()
    thread.put(0)
    assert busy.wait(20)
    return thread, batches, go_on


def test_what_came_in_meanwhile_is_one_batch_in_order() -> None:
    thread, batches, go_on = held()
    for n in range(1, 20):
        thread.put(n)
    go_on.set()
    thread.stop()
    assert batches == [[0], list(range(1, 20))]


def test_a_batch_has_a_limit() -> None:
    thread, batches, go_on = held(limit=3)
    for n in range(1, 9):
        thread.put(n)
    go_on.set()
    thread.stop()
    assert batches == [[0], [1, 2, 3], [4, 5, 6], [7, 8]]


@pytest.mark.parametrize("number", [0, 1, 2, 3, 4, 7])
def test_what_was_handed_over_is_done_before_the_end(number: int) -> None:
    done: list[int] = []
    thread = BatchThread("test", done.extend, limit=3)
    for n in range(number):
        thread.put(n)
    thread.start()
    thread.stop()
    assert done == list(range(number))


def test_a_thread_that_never_began_can_be_stopped() -> None:
    thread = BatchThread[int]("test", lambda batch: None)
    thread.stop()
    assert threading.active_count() >= 1


def test_a_defect_costs_its_batch_only(caplog: pytest.LogCaptureFixture) -> None:
    done: list[int] = []

    def work(batch: list[int]) -> None:
        if 1 in batch:
            raise RuntimeError("a defect")
        done.extend(batch)

    thread = BatchThread("test", work, limit=1)
    thread.start()
    for n in range(3):
        thread.put(n)
    thread.stop()
    assert done == [0, 2]
    assert [record.levelno for record in caplog.records] == [logging.CRITICAL]


def test_an_answer_is_that_of_a_daemon_thread() -> None:
    daemon, name = within(20.0, "asked", lambda: (threading.current_thread().daemon, threading.current_thread().name))
    assert (daemon, name) == (True, "asked")


def test_what_is_raised_instead_is_raised_here() -> None:
    with pytest.raises(ZeroDivisionError):
        within(20.0, "asked", lambda: 1 // 0)
    with pytest.raises(SystemExit):
        within(20.0, "asked", sys.exit)


def test_an_answer_that_does_not_come_is_not_waited_for() -> None:
    go_on = threading.Event()
    with pytest.raises(TimeoutError, match=r"no answer within 0\.05 s"):
        within(0.05, "asked", lambda: go_on.wait(20))
    go_on.set()
