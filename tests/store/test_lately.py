"""The figures of all accounts since a time, remembered and exact."""

from __future__ import annotations

import random

import pytest
from sqlalchemy import event

from postmeter.store.counters import Change, count
from postmeter.store.engine import Store
from postmeter.store.rollup import RollUp
from postmeter.store.statistics import DAY, HOUR, LATEST, MADE_ANEW, MOST_KNOWN, Ever, Lately, buckets, totals
from support.tenants import NOW

NAMES = ("arrived", "delivered", "bounced", "deferred")


def raised(store: Store, *changes: Change) -> None:
    with store.write() as session:
        count(session, changes)


def agrees(store: Store, lately: Lately, since: float, now: float) -> None:
    with store.read() as session:
        by_account = {share.of: share.totals for share in lately.by_account(session, since, now)}
        assert by_account == {account: totals(session, account, since) for account in by_account}
        assert sum(one.arrived for one in by_account.values()) == totals(session, None, since).arrived
        wanted = {bucket.start: bucket.totals for bucket in buckets(session, None, since)}
        found = {bucket.start: bucket.totals for bucket in lately.buckets(session, None, since, now)}
        assert {start: found[start] for start in wanted} == wanted


@pytest.mark.parametrize("seed", range(4))
def test_it_is_the_sum_of_all_whatever_happens_and_is_late(store: Store, seed: int) -> None:
    chance = random.Random(seed)
    lately, now = Lately(), float(NOW)
    for _ in range(40):
        now += chance.choice((5.0, 400.0, 3000.0, HOUR, 5 * HOUR))
        late = [chance.choice((0.0, 60.0, HOUR, LATEST)) for _ in range(chance.randrange(12))]
        raised(store, *(Change(chance.randrange(4), 7, now - by, chance.choice(NAMES), 2, "a") for by in late))
        agrees(store, lately, now // DAY * DAY, now)
        agrees(store, lately, NOW - DAY, now)


def test_a_roll_up_changes_the_times_of_what_is_old_but_no_sum(store: Store) -> None:
    lately, since = Lately(), NOW - 20 * DAY
    raised(store, *(Change(1, 7, NOW - hours * HOUR / 2, "arrived", 1) for hours in range(600)))
    with store.write() as session:
        while RollUp()(session, NOW):
            pass
    with store.read() as session:
        assert sum(bucket.totals.arrived for bucket in lately.buckets(session, None, since, NOW)) == 600


def test_what_is_remembered_is_not_read_again(store: Store) -> None:
    lately = Lately()
    raised(store, Change(1, 7, NOW - DAY, "arrived", 5), Change(2, 7, NOW, "arrived", 3))

    def arrived(now: float) -> list[tuple[int, int]]:
        with store.read() as session:
            return [(one.of, one.totals.arrived) for one in lately.by_account(session, NOW - 2 * DAY, now)]

    assert arrived(NOW) == [(1, 5), (2, 3)]
    raised(store, Change(1, 7, NOW - DAY, "arrived", 100))  # so late that nobody writes it
    assert arrived(NOW + MADE_ANEW - 1) == [(1, 5), (2, 3)]
    assert arrived(NOW + MADE_ANEW) == [(1, 105), (2, 3)]


def test_only_so_many_times_are_remembered(store: Store) -> None:
    lately = Lately()
    raised(store, Change(1, 7, NOW, "arrived", 1))
    for days in range(2 * MOST_KNOWN):
        with store.read() as session:
            assert len(lately.buckets(session, 1, NOW - days * DAY, NOW)) == 1
    assert len(lately._known._past) == MOST_KNOWN


def test_what_has_just_happened_to_all_is_read_once_in_a_session(store: Store) -> None:
    ever = Ever()
    lately = Lately(ever)
    raised(store, Change(1, 7, NOW - 3 * DAY, "arrived", 5), Change(1, 7, NOW, "arrived", 3))
    with store.read() as session:
        ever.totals(session, NOW)
    asked: list[str] = []
    event.listen(store.engine, "before_cursor_execute", lambda _c, _x, statement, *_: asked.append(statement))
    with store.read() as session:
        assert ever.totals(session, NOW).arrived == 8
        assert [one.totals.arrived for one in lately.buckets(session, None, NOW - DAY, NOW)] == [3]
        assert [one.totals.arrived for one in lately.buckets(session, None, NOW - 9 * DAY, NOW, DAY)] == [5, 3]
    assert len([statement for statement in asked if "FROM counter" in statement]) == 1
