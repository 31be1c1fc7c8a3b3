"""Threads are few, and none of them is anybody's own: who is slow, or has much to be told, keeps no other waiting."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from postmeter_webhooks import deliveries, sending
from postmeter_webhooks.sending import Sender
from support.tenants import make_account
from support.webhooks import Bench


class Threads:
    """Work that was begun and not done yet."""

    def __init__(self) -> None:
        self.begun: list[Callable[[], None]] = []

    def __call__(self, work: Callable[[], None]) -> None:
        self.begun.append(work)

    def finish(self, place: int = 0) -> None:
        self.begun.pop(place)()


def test_one_that_is_slow_delays_no_other_and_is_called_once_at_a_time(bench: Bench) -> None:
    slow, quick = bench.add("https://slow.example/"), bench.add("https://quick.example/")
    threads = Threads()
    bench.sender = Sender(bench.core, bench.played, lambda: 0.0, threads)
    bench.tell(bench.event(1))
    bench.send()
    assert len(threads.begun) == 2
    threads.finish(1)
    bench.tell(bench.event(2))
    bench.send()
    assert len(threads.begun) == 2
    threads.finish(1)
    assert [call.url for call in bench.played.calls] == ["https://quick.example/"] * 2
    assert [one.state for one in bench.facts(quick)] == ["delivered"] * 2
    threads.finish()
    assert [one.state for one in bench.facts(slow)] == ["delivered"] * 2


def test_no_account_takes_more_than_two_threads_and_all_together_eight(bench: Bench) -> None:
    with bench.core.write() as session:
        accounts = [make_account(session, f"a{n}").id for n in range(9)]
    for account in accounts:
        for _ in range(3):
            bench.add(account=account)
    here, threads = bench.account_id, Threads()
    bench.sender = Sender(bench.core, bench.played, lambda: 0.0, threads)
    bench.account_id = accounts[0]
    bench.tell(bench.event(1))
    bench.send()
    assert len(threads.begun) == 2
    for account in (*accounts[1:], here):
        bench.account_id = account
        bench.tell(bench.event(account + 10))
    bench.send()
    assert len(threads.begun) == 8
    while threads.begun:
        threads.finish()
        bench.send(later=1)
    assert len(bench.played.calls) == 27


def test_a_defect_ends_one_turn_and_is_logged(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.add()
    bench.tell(bench.event(1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deliveries, "record", lambda *_: 1 / 0)
        bench.send()
    assert "endpoint 1 could not be called now" in caplog.text
    bench.send()
    assert bench.facts(1)[0].state == "delivered"


def test_an_endpoint_for_which_there_was_no_thread_is_called_later(bench: Bench) -> None:
    def none(work: Callable[[], None]) -> None:
        raise RuntimeError("can't start new thread")

    bench.add()
    bench.tell(bench.event(1))
    sender = bench.sender
    sender._start = none
    with pytest.raises(RuntimeError):
        bench.send()
    sender._start = lambda work: work()
    bench.send()
    assert bench.facts(1)[0].state == "delivered"


def test_a_thread_of_its_own_does_the_work() -> None:
    done, where = threading.Event(), []

    def work() -> None:
        where.append(threading.current_thread().daemon)
        done.set()

    sending.in_thread(work)
    assert done.wait(10)
    assert where == [True]
