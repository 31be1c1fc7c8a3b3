"""The totals of all since the beginning, remembered and exact."""

from __future__ import annotations

import random
import threading

import pytest

from postmeter.store.counters import Change, count
from postmeter.store.engine import Store
from postmeter.store.rollup import RollUp
from postmeter.store.statistics import DAY, HOUR, LATEST, MADE_ANEW, Ever, totals
from support.postage import at_once
from support.tenants import NOW

NAMES = ("arrived", "delivered", "bounced", "deferred")


def raised(store: Store, *changes: Change) -> None:
    with store.write() as session:
        count(session, changes)


def sums_agree(store: Store, ever: Ever, now: float) -> None:
    with store.read() as session:
        assert ever.totals(session, now) == totals(session, None)


@pytest.mark.parametrize("seed", range(6))
def test_it_is_the_sum_of_all_whatever_happens_and_is_late(store: Store, seed: int) -> None:
    """Hours of mail of many accounts, some of it written late; old rows are rolled up; at times nobody looks."""
    chance = random.Random(seed)
    ever, roll_up, now = Ever(), RollUp(), float(NOW)
    for _ in range(60):
        now += chance.choice((5.0, 400.0, 3000.0, HOUR, 5 * HOUR, 3 * DAY, 20 * DAY))
        late = [chance.choice((0.0, 60.0, HOUR, LATEST)) for _ in range(chance.randrange(12))]
        changes = [
            Change(chance.randrange(4), 7, now - by, chance.choice(NAMES), chance.randrange(1, 9), "a", str(int(by)))
            for by in late
        ]
        raised(store, *changes)
        if chance.random() < 0.5:
            with store.write() as session:
                roll_up(session, now)
        if chance.random() < 0.8:
            sums_agree(store, ever, now)
    sums_agree(store, ever, now)


def test_what_is_remembered_is_not_read_again(store: Store) -> None:
    ever = Ever()
    raised(store, Change(1, 7, NOW - DAY, "arrived", 5), Change(1, 7, NOW, "arrived", 3))
    sums_agree(store, ever, NOW)
    raised(store, Change(1, 7, NOW - DAY, "arrived", 100))  # so late that nobody writes it
    with store.read() as session:
        assert ever.totals(session, NOW + MADE_ANEW - 1).arrived == 8
    sums_agree(store, ever, NOW + MADE_ANEW)


def test_a_clock_that_is_set_back_does_no_harm(store: Store) -> None:
    ever = Ever()
    raised(store, Change(1, 7, NOW, "arrived", 5))
    sums_agree(store, ever, NOW + DAY)
    raised(store, Change(1, 7, NOW - HOUR, "arrived", 3))
    sums_agree(store, ever, NOW)


def test_many_threads_may_ask_at_once(store: Store) -> None:
    ever, hour = Ever(), threading.Barrier(4, timeout=20)

    def work(n: int) -> None:
        for hours in range(12):
            hour.wait()  # they have one time: nobody writes what is older than LATEST to the others
            raised(store, Change(n, 7, NOW + hours * HOUR, "arrived", 1))
            with store.read() as session:
                found = ever.totals(session, NOW + hours * HOUR).arrived
            assert 4 * hours < found <= 4 * hours + 4

    at_once(work, 4)
    sums_agree(store, ever, NOW + 12 * HOUR)
