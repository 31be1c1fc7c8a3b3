"""Cursors and duties: moved by one at a time, and never from where somebody else has moved them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from postmeter.store import cursors, events, queue
from postmeter.store.engine import Store
from postmeter.store.events import Position
from postmeter.store.plugin_tables import Cursor
from support.postage import at_once, rows
from support.tenants import NOW


def hold(store: Store, worker: int, now: float) -> bool:
    with store.write() as session:
        return cursors.hold_duty(session, "telling", worker, now, now + 30)


def other(store: Store, worker: int, now: float) -> bool:
    with store.read() as session:
        return cursors.duty_of_other(session, "telling", worker, now)


def test_one_worker_has_the_duty_until_its_time_is_over(store: Store) -> None:
    assert not other(store, 1, NOW)
    assert hold(store, 1, NOW)
    assert hold(store, 1, NOW + 10)  # until 40
    assert not hold(store, 2, NOW + 40)
    assert (other(store, 2, NOW + 40), other(store, 1, NOW + 40)) == (True, False)
    assert not other(store, 2, NOW + 40.1)
    assert hold(store, 2, NOW + 40.1)
    assert not hold(store, 1, NOW + 41)


def test_of_many_who_want_a_new_duty_one_gets_it(store: Store, store_url: str) -> None:
    got: list[bool] = []

    def work(n: int) -> None:
        own = Store.open(store_url)
        got.append(hold(own, n, NOW))
        own.close()

    at_once(work, 6)
    assert sorted(got) == [False] * 5 + [True]


def test_a_new_plugin_stands_behind_all_events_so_far(store: Store) -> None:
    with store.write() as session:
        events.record(session, [events.about_account(1, "quota_low", NOW, {})])
    with store.write() as session:
        assert cursors.position(session, "p") is None
        cursors.begin(session, "p")
    with store.read() as session:
        position = cursors.position(session, "p")
        assert position is not None
        assert (position.failures, position.retry_at) == (0, 0)
        assert events.after(session, position, 9, ["quota_low"]) == []
        assert cursors.position(session, "q") is None


def test_of_many_who_begin_a_plugin_one_does_and_none_fails(store: Store, store_url: str) -> None:
    places: set[Position | None] = set()

    def work(n: int) -> None:
        own = Store.open(store_url)
        with own.write() as session:
            events.record(session, [events.about_account(1, "quota_low", NOW, {})])
        with own.write() as session:
            cursors.begin(session, "p")
        with own.read() as session:
            places.add(cursors.position(session, "p"))
        own.close()

    at_once(work, 6)
    assert len(places) == 1
    assert places != {None}


def test_of_two_who_move_a_cursor_from_one_place_one_does(store: Store) -> None:
    with store.write() as session:
        cursors.begin(session, "p")
        start = cursors.position(session, "p")
    assert start is not None
    then, wrong = Position(start.tx, 17, 2, NOW), Position(start.tx, 18)
    with store.write() as session:
        assert cursors.advance(session, "p", start, then)
        assert not cursors.advance(session, "p", start, wrong)
        assert not cursors.advance(session, "unknown", start, wrong)
    with store.read() as session:
        assert cursors.position(session, "p") == replace(then, turn=1)


def test_who_stays_where_it_is_has_been_told_something_too(store: Store) -> None:
    with store.write() as session:
        cursors.begin(session, "p")
        start = cursors.position(session, "p")
        assert start is not None
        assert cursors.advance(session, "p", start, start)
        assert not cursors.advance(session, "p", start, start)


@pytest.mark.parametrize("error", ["no", "nul \0", "half \ud800", "long" * 5000])
def test_every_error_can_be_kept(store: Store, error: str) -> None:
    with store.write() as session:
        cursors.begin(session, "p")
        cursors.failed(session, "p", error, NOW)
    [cursor] = rows(store, Cursor)
    assert cursor.failed_at == NOW
    assert cursor.error[:2] == error[:2]
    assert len(cursor.error) <= cursors.MAX_ERROR


def test_the_duty_of_a_worker_that_ends_or_is_gone_is_free_at_once(store: Store) -> None:
    for end in (queue.forget, lambda session, worker: queue.take_over(session, NOW, "node", 1)):
        with store.write() as session:
            first = queue.register(session, "node", 1, NOW, NOW + 45)
            second = queue.register(session, "other", 2, NOW, NOW + 45)
            assert cursors.hold_duty(session, "telling", first, NOW, NOW + 30)
            assert not cursors.hold_duty(session, "telling", second, NOW, NOW + 30)
        with store.write() as session:
            end(session, first)
        with store.write() as session:
            assert cursors.hold_duty(session, "telling", second, NOW, NOW + 30)
            queue.forget(session, second)
