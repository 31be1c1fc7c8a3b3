"""All books agree after every step, whatever two workers do."""

from __future__ import annotations

import random

import pytest

from postmeter.store import queue
from postmeter.store.engine import Store
from postmeter.store.queue import Leased
from postmeter.store.settle import settle
from postmeter.store.tables import (
    BOUNCED,
    DEFERRED,
    DELIVERED,
    EXPIRED,
    FINAL,
    QUEUED,
)
from support.postage import (
    accept,
    add_block,
    add_worker,
    audit,
    funded,
    lease,
    outcome,
    recipients,
    settle_all,
    submission,
)
from support.tenants import NOW


class Walk:
    """Random steps of two workers; what each leased is settled in a random way, sometimes after it lost it."""

    def __init__(self, store: Store, seed: int) -> None:
        self.store = store
        self.random = random.Random(seed)
        self.now = NOW
        self.workers = [add_worker(store, NOW + 30) for _ in range(2)]
        self.held: list[tuple[int, Leased]] = []

    def step(self) -> None:
        self.now += self.random.choice([0.0, 1.0, 20.0])
        self.random.choice([self.accept, self.accept, self.lease, self.settle, self.settle, self.settle, self.beat])()

    def accept(self) -> None:
        worker = self.random.choice([None, *self.workers])
        many = [
            submission(self.random.randint(1, 3), worker=worker, account=self.random.randint(1, 2), at=self.now)
            for _ in range(self.random.randint(1, 3))
        ]
        accept(self.store, *many)

    def lease(self) -> None:
        worker = self.random.choice(self.workers)
        self.held += [(worker, one) for one in lease(self.store, worker, self.now, self.random.randint(1, 5))]

    def settle(self) -> None:
        if not self.held:
            return
        worker, one = self.held.pop(self.random.randrange(len(self.held)))
        state = self.random.choice([DELIVERED, BOUNCED, DEFERRED, DEFERRED, EXPIRED])
        again = self.now + self.random.choice([0, 10])
        doubt, sent = self.random.random() < 0.3, state == DELIVERED or self.random.random() < 0.5
        for recipient in one.recipients:
            settlement = outcome(one, recipient, worker, state, self.now, transmitted=sent, in_doubt=doubt, again=again)
            with self.store.write() as session:
                settle(session, [settlement])

    def beat(self) -> None:
        """One worker lives on, the other may be taken over and begins anew."""
        with self.store.write() as session:
            queue.heartbeat(session, self.workers[0], self.now + 30)
            queue.take_over(session, self.now)
            if not queue.heartbeat(session, self.workers[1], self.now + self.random.choice([0, 30])):
                self.workers[1] = queue.register(session, "node", 1, self.now, self.now + 30)


@pytest.mark.parametrize("seed", range(4))
def test_the_books_agree_after_every_step(store: Store, seed: int) -> None:
    funded(store, 40, agreement=True, threshold=20)
    funded(store, 15, account=2)
    with store.write() as session:
        add_block(session, 1, 30, NOW + 200)  # expires on the way
    walk, final = Walk(store, seed), {}  # type: Any
    for _ in range(60):
        walk.step()
        audit(store)
        states = {(r.message_id, r.n): r.state for r in recipients(store)}
        assert {key: states[key] for key in final} == final  # final is final
        final = {key: state for key, state in states.items() if state in FINAL}
    assert final


def test_everything_ends_when_every_worker_dies_in_turn(store: Store) -> None:
    funded(store)
    accept(store, *(submission(2) for _ in range(5)))
    for now in (NOW, NOW + 1, NOW + 1000):
        worker = add_worker(store, now)
        assert sum(len(one.recipients) for one in lease(store, worker, now)) == 10
        with store.write() as session:
            assert queue.take_over(session, now + 0.5) == 10
        audit(store)
    assert {(r.state, r.in_doubt) for r in recipients(store)} == {(QUEUED, 3)}
    worker = add_worker(store)
    settle_all(store, lease(store, worker, NOW + 9000), worker, DELIVERED)
    assert {r.state for r in recipients(store)} == {DELIVERED}
    audit(store)
