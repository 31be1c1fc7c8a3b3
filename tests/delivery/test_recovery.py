"""R24: after an outage of two hours all that waited leaves, nothing has bounced, and there is no stampede."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import accumulate, count
from pathlib import Path
from random import Random
from typing import Any

import pytest

from postmeter.delivery.gate import OPENED_AT_ONCE
from postmeter.delivery.retry import HOUR, MINUTE, draw
from postmeter.delivery.route import DNS_FAILURE, NoRoute
from postmeter.message.identifier import IdFactory
from postmeter.smtp.mail import Stage
from postmeter.smtp.reply import Reply
from postmeter.store.picking import Load, Pick
from postmeter.store.queue import Leased
from postmeter.store.settle import settle
from support.gates import SHAPE, FakeDestination, Machine
from support.scheduling import DONE, Bench, delivery, leased, route

OUTAGE = 2 * HOUR
UNREACHABLE = Reply(451, "4.4.1", "Could not connect")


class Queue:
    """The store, as far as a scheduler sees it."""

    def __init__(self) -> None:
        self.states: Counter[str] = Counter()
        self._waiting: list[tuple[float, int, Leased]] = []
        self._numbers = count()

    def put(self, at: float, one: Leased) -> None:
        """It is due then."""
        heapq.heappush(self._waiting, (at, next(self._numbers), one))

    def submit(self, change: Any, item: Any, done: Callable[[Any], None]) -> None:
        """See ``Writer``."""
        if change is settle:
            self._settled(item)
            done(True)
        else:
            done(Pick(tuple(self._due(item)), left=self._is_due(item.now), more=False))

    def _settled(self, item: Any) -> None:
        self.states[item.state] += 1
        if not item.final:
            failure = item.failure.name if item.failure else item.recipient.failure
            recipient = replace(item.recipient, attempts=item.recipient.attempts + item.attempted, failure=failure)
            self.put(item.next_attempt_at, Leased(item.message, (recipient,)))

    def _is_due(self, now: float) -> bool:
        return bool(self._waiting) and self._waiting[0][0] <= now

    def _due(self, wish: Any) -> Iterable[Leased]:
        for _ in range(wish.limit):
            if not self._is_due(wish.now) or not wish.room.fits(Load.of(self._waiting[0][2])):
                return
            one = heapq.heappop(self._waiting)[2]
            wish.room.enter(Load.of(one))
            yield one


def scene(window: int = 1_000) -> tuple[Bench, Queue]:
    """A scheduler in front of a queue that keeps what waits."""
    queue = Queue()
    bench = Bench(window, draw=draw, submit=queue.submit)
    bench.scheduler.start()
    return bench, queue


def messages(number: int, over: float) -> list[tuple[float, Leased]]:
    """So many, accepted one after the other within so many seconds; when, and what."""
    ids = IdFactory(lambda: 1e9, Random(1).randbytes)
    times = [n * over / number for n in range(number)]
    made = ((at, leased("joe@example.org", message_id=ids(), account=n % 20)) for n, at in enumerate(times))
    return [(at, replace(one, message=replace(one.message, accepted_at=at))) for at, one in made]


def answer(bench: Bench, reply: Reply, stage: Stage) -> int:
    """To all that is at the pool; how much that was."""
    sent, bench.pool.sent = bench.pool.sent, []
    for _, _, done in sent:
        done.callback(delivery(reply, stage=stage))
    return len(sent)


@pytest.mark.parametrize("dead", ["dns", "provider"])
@pytest.mark.parametrize(("number", "over"), [(1_440, OUTAGE), (600, 1.0)])
def test_after_two_hours_without_an_answer_mail_leaves_over_a_while_and_none_has_bounced(
    dead: str, number: int, over: float
) -> None:
    bench, queue = scene()
    for at, one in messages(number, over):
        queue.put(at, one)
    left: Counter[int] = Counter()
    while (now := bench.clock.seconds()) < 5 * HOUR and left.total() < number:
        alive = now >= OUTAGE
        bench.router.found["example.org"] = route("mx") if alive or dead == "provider" else NoRoute("dns", DNS_FAILURE)
        bench.clock.advance(1)
        sent = answer(bench, *((DONE, "content") if alive else (UNREACHABLE, "connect")))
        if alive:
            left[int((now - OUTAGE) // MINUTE)] += sent
    bench.gather()
    bench.scheduler.stop()
    assert queue.states.keys() == {"deferred", "delivered"}
    assert (queue.states["delivered"], bench.empty) == (number, True)
    usual = number / over * MINUTE
    # What came evenly waits for one of its first five attempts, or is new: each of these leaves as evenly as it came.
    # What came at once would go on as one, were it not for the tenth more or less at each attempt.
    assert max(left.values()) <= (6 * usual if over == OUTAGE else number / 15), sorted(left.items())


def test_of_all_that_is_due_at_once_no_more_than_the_window_is_under_way() -> None:
    """The relay itself was down."""
    bench, queue = scene(window=50)
    bench.router.found["example.org"] = route("mx")
    bench.clock.advance(OUTAGE)
    for _, one in messages(1_000, 1.0):
        queue.put(0.0, one)
    under_way = []
    while queue.states.total() < 1_000:
        bench.clock.advance(1)
        under_way.append(len(bench.pool.sent))
        answer(bench, DONE, "content")
    bench.scheduler.stop()
    assert 25 <= max(under_way) <= 50
    assert queue.states == {"delivered": 1_000}


def test_a_provider_that_is_back_sees_sessions_at_its_rate(tmp_path: Path) -> None:
    """However many domains of it have mail, and however soon each session ends."""
    rate = 2.0
    machine = Machine(tmp_path)
    gate = machine.gate(replace(SHAPE, connections=50, connection_rate=rate))
    many = [FakeDestination(gate, wants=3) for _ in range(40)]
    begun: list[int] = []
    for one in many:
        one.grow()
    for _ in range(60):
        opened = sum(one.open for one in many)
        begun.append(opened)
        for one in many:
            one.wants -= one.open
            while one.open:
                one.close()
        machine.clock.advance(1)
    for second, so_many in enumerate(accumulate(begun)):
        assert so_many <= rate * (OPENED_AT_ONCE + second) + 1, begun
    assert sum(begun) == 120
    for one in many:
        one.end()
    machine.close()
