"""Old counters become hours and days; the sums stay, whoever writes meanwhile."""

from __future__ import annotations

import random
from collections import Counter as Tally
from typing import Any

import pytest
from sqlalchemy import text

from postmeter.store.counters import BUCKET, NAMES, Change, count
from postmeter.store.engine import Store
from postmeter.store.rollup import AFTER, BATCH, RollUp
from postmeter.store.statistics import DAY, HOUR
from postmeter.store.tables import Counter
from support.postage import at_once, rows
from support.tenants import NOW

MIDNIGHT = NOW // DAY * DAY


def raised(store: Store, *changes: Change) -> None:
    with store.write() as session:
        count(session, changes)


def rolled_up(store: Store, roll_up: RollUp, now: float, rounds: int = 3) -> int:
    """How many rows, in so many rounds."""
    return sum(once(store, roll_up, now) for _ in range(rounds))


def once(store: Store, roll_up: RollUp, now: float) -> int:
    with store.write() as session:
        return roll_up(session, now)


def sums(store: Store, step: int) -> Tally[tuple[Any, ...]]:
    """All figures by account, step of time, connection, domain and provider."""
    found: Tally[tuple[Any, ...]] = Tally()
    for row in rows(store, Counter):
        start = row.bucket - row.bucket % step
        for name in NAMES:
            found[row.account_id, start, row.connection_id, row.domain, row.provider, name] += getattr(row, name)
    return Tally({key: figure for key, figure in found.items() if figure})


def starts(store: Store) -> list[int]:
    return [row.bucket - MIDNIGHT for row in rows(store, Counter)]


def test_quarters_become_hours_after_eight_days_and_days_after_thirty_two(store: Store) -> None:
    raised(store, *(Change(1, 7, MIDNIGHT + n * BUCKET, "arrived", 1) for n in range(2, 10)))
    before, roll_up = sums(store, HOUR), RollUp()
    assert rolled_up(store, roll_up, MIDNIGHT + AFTER[HOUR]) == 0
    assert rolled_up(store, roll_up, MIDNIGHT + HOUR + AFTER[HOUR]) == 2
    assert starts(store) == [0, *range(4 * BUCKET, 10 * BUCKET, BUCKET)]
    assert rolled_up(store, roll_up, MIDNIGHT + DAY + AFTER[HOUR]) == 4
    assert starts(store) == [0, HOUR, 2 * HOUR]
    assert sums(store, HOUR) == before
    assert rolled_up(store, roll_up, MIDNIGHT + AFTER[DAY]) == 0
    assert rolled_up(store, roll_up, MIDNIGHT + DAY + AFTER[DAY]) == 2
    assert [(row.bucket, row.arrived) for row in rows(store, Counter)] == [(MIDNIGHT, 8)]


def test_accounts_connections_domains_and_providers_stay_apart(store: Store) -> None:
    places = [(1, 7, "a", "x"), (2, 7, "a", "x"), (1, 8, "a", "x"), (1, 7, "b", "x"), (1, 7, "a", "y")]
    for n in (1, 2):
        raised(store, *(Change(a, c, MIDNIGHT + n * BUCKET, "bounced", n, d, p) for a, c, d, p in places))
    rolled_up(store, RollUp(), MIDNIGHT + 100 * DAY)
    assert sorted((r.account_id, r.connection_id, r.domain, r.provider, r.bounced) for r in rows(store, Counter)) == (
        sorted((*place, 3) for place in places)
    )


@pytest.mark.parametrize("seed", range(6))
def test_no_sum_ever_changes(store: Store, seed: int) -> None:
    chance, roll_up, now = random.Random(seed), RollUp(), float(NOW)
    for _ in range(40):
        now += chance.choice((600.0, 2 * HOUR, 3 * DAY, 20 * DAY))
        for _ in range(chance.randrange(15)):
            at = now - chance.choice((0, 0, 0, HOUR, 10 * DAY, 40 * DAY))  # some come later than anybody should
            place = (chance.choice("ab"), chance.choice(("", "x")))
            raised(store, Change(1, chance.randrange(2), at, chance.choice(NAMES), chance.choice((1, 5, -1)), *place))
        before = sums(store, DAY)
        rolled_up(store, roll_up, now)
        assert sums(store, DAY) == before
    rolled_up(store, RollUp(), now, 40)  # as after a new start, which finds what was late
    left = [row.bucket for row in rows(store, Counter)]
    for step, age in AFTER.items():
        assert [bucket for bucket in left if bucket < (now - age) // step * step and bucket % step] == []


def test_so_many_rows_at_a_time_and_no_more(store: Store) -> None:
    raised(store, *(Change(n, 7, MIDNIGHT + BUCKET, "arrived", 1) for n in range(BATCH + 10)))
    roll_up, now = RollUp(), MIDNIGHT + 20 * DAY
    assert [once(store, roll_up, now) for _ in range(3)] == [BATCH, 10, 0]


def test_a_transaction_that_fails_is_done_again(store: Store) -> None:
    raised(store, Change(1, 7, MIDNIGHT + BUCKET, "arrived", 1))
    roll_up, now = RollUp(), MIDNIGHT + 20 * DAY
    with pytest.raises(OSError, match="full"), store.write() as session:
        assert roll_up(session, now) == 1
        raise OSError("the disk is full")
    assert starts(store) == [BUCKET]
    assert once(store, roll_up, now) == 1


def test_two_nodes_and_late_writers_at_once_lose_nothing(store: Store, store_url: str) -> None:
    raised(store, *(Change(n % 40, 7, MIDNIGHT + n * BUCKET, "arrived", 1) for n in range(400)))
    now = MIDNIGHT + 20 * DAY

    def work(n: int) -> None:
        own, roll_up = Store.open(store_url), RollUp()
        for turn in range(20):
            if n < 2:
                once(own, roll_up, now)
            else:
                changes = [Change(a, 7, MIDNIGHT + (turn + a) * BUCKET, "arrived", 1) for a in range(40)]
                raised(own, *changes[:: 1 - 2 * (n % 2)])
        own.close()

    at_once(work, 4)
    rolled_up(store, RollUp(), now)
    assert sum(row.arrived for row in rows(store, Counter)) == 400 + 2 * 20 * 40
    assert not [row for row in rows(store, Counter) if row.bucket % HOUR]
    assert all(row.arrived > 0 for row in rows(store, Counter))


@pytest.mark.parametrize("store_url", ["postgresql"], indirect=True)  # SQLite has one writer
def test_only_one_of_several_nodes_does_it(store: Store, store_url: str) -> None:
    raised(store, Change(1, 7, MIDNIGHT + BUCKET, "arrived", 1))
    other = Store.open(store_url)
    with store.write() as session:
        assert RollUp()(session, MIDNIGHT + 20 * DAY) == 1
        assert once(other, RollUp(), MIDNIGHT + 20 * DAY) == 0
        assert session.execute(text("SELECT count(*) FROM counter")).scalar() == 1
    other.close()
