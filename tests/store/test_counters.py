"""Counters: raised in quarters of an hour, by many at once."""

from __future__ import annotations

from typing import Any

from postmeter.store.counters import BUCKET, Change, count
from postmeter.store.engine import Store
from postmeter.store.tables import Counter
from support.postage import at_once, rows
from support.tenants import NOW

START = int(NOW) // BUCKET * BUCKET


def counters(store: Store, *names: str) -> list[tuple[Any, ...]]:
    return [
        (row.account_id, row.connection_id, row.bucket, *(getattr(row, name) for name in names))
        for row in rows(store, Counter)
    ]


def test_changes_are_added_up_by_account_connection_and_quarter(store: Store) -> None:
    with store.write() as session:
        count(session, [Change(1, 2, START + 0.5, "arrived", 3), Change(1, 2, START + 899.9, "arrived", 4)])
        count(
            session,
            [
                Change(1, 2, START + 900, "arrived", 5),
                Change(1, 3, START, "delivered", 1),
                Change(2, 2, START, "bounced", 1),
            ],
        )
    assert counters(store, "arrived", "delivered", "bounced") == [
        (1, 2, START, 7, 0, 0),
        (1, 3, START, 0, 1, 0),
        (1, 2, START + 900, 5, 0, 0),
        (2, 2, START, 0, 0, 1),
    ]


def test_each_sending_domain_and_receiving_provider_has_a_row_of_its_own(store: Store) -> None:
    with store.write() as session:
        count(session, [Change(1, 2, START, "arrived", 3, "a.example"), Change(1, 2, START, "arrived", 4, "b.example")])
        count(session, [Change(1, 2, START, "delivered", 2, "a.example", provider) for provider in ("Google", "other")])
        count(session, [Change(1, 2, START, "delivered", 1, "a.example", "Google")])
    found = [(row.domain, row.provider, row.arrived, row.delivered) for row in rows(store, Counter)]
    assert found == [
        ("a.example", "", 3, 0),
        ("a.example", "Google", 0, 3),
        ("a.example", "other", 0, 2),
        ("b.example", "", 4, 0),
    ]


def test_a_gauge_goes_down_again_in_a_later_quarter(store: Store) -> None:
    with store.write() as session:
        count(session, [Change(1, 2, START, "deferred", 1)])
    with store.write() as session:
        count(session, [Change(1, 2, START + 900, "deferred", -1), Change(1, 2, START + 900, "delivered", 1)])
    assert counters(store, "deferred", "delivered") == [(1, 2, START, 1, 0), (1, 2, START + 900, -1, 1)]


def test_no_change_writes_nothing(store: Store) -> None:
    with store.write() as session:
        count(session, [])
    assert counters(store) == []


def test_many_count_at_once_and_nothing_is_lost(store: Store, store_url: str) -> None:
    def work(n: int) -> None:
        own = Store.open(store_url)
        for _ in range(20):
            changes = [Change(account, 2, NOW, "arrived", 1) for account in (1, 2, 3)]
            with own.write() as session:
                count(session, changes[:: 1 - 2 * (n % 2)])
        own.close()

    at_once(work, 4)
    assert counters(store, "arrived") == [(account, 2, START, 80) for account in (1, 2, 3)]
