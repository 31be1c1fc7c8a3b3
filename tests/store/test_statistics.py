"""Counters, summed by account, connection and time."""

from __future__ import annotations

from sqlalchemy.orm import Session

from postmeter.store.connections import add_connection
from postmeter.store.counters import BUCKET, Change, count
from postmeter.store.engine import Store
from postmeter.store.statistics import Totals, buckets, totals
from support.tenants import NOW, SECRETS, make_account


def fill(session: Session) -> tuple[int, int, int]:
    """One account with two connections, and another account."""
    one, two = make_account(session, "one"), make_account(session, "two")
    shop = add_connection(session, SECRETS, one, "shop", [], NOW).connection_id
    blog = add_connection(session, SECRETS, one, "blog", [], NOW).connection_id
    changes = [
        Change(one.id, shop, NOW, "arrived", 10),
        Change(one.id, shop, NOW, "delivered", 4),
        Change(one.id, shop, NOW, "bounced", 1),
        Change(one.id, shop, NOW, "suppressed", 1),
        Change(one.id, shop, NOW, "cancelled", 1),
        Change(one.id, shop, NOW, "deferred", 2),
        Change(one.id, shop, NOW + BUCKET, "deferred", -1),
        Change(one.id, shop, NOW + BUCKET, "delivered", 1),
        Change(one.id, blog, NOW + BUCKET, "arrived", 5),
        Change(one.id, blog, NOW + BUCKET, "complained", 1),
        Change(two.id, 99, NOW, "arrived", 100),
    ]
    count(session, changes)
    return one.id, two.id, shop


def test_what_arrived_is_delivered_bounced_queued_suppressed_or_cancelled(store: Store) -> None:
    with store.write() as session:
        one, _, _ = fill(session)
        assert totals(session, one) == Totals(
            arrived=15, delivered=5, bounced=1, queued=7, deferred=1, suppressed=1, cancelled=1, complained=1
        )


def test_the_totals_of_all_are_the_sum_of_the_accounts(store: Store) -> None:
    with store.write() as session:
        one, two, _ = fill(session)
        assert totals(session, None).arrived == totals(session, one).arrived + totals(session, two).arrived == 115


def test_an_account_without_mail_has_zeros(store: Store) -> None:
    with store.write() as session:
        assert totals(session, make_account(session).id) == Totals(0, 0, 0, 0, 0, 0, 0, 0)


def test_a_window_counts_what_happened_in_it(store: Store) -> None:
    with store.write() as session:
        one, _, _ = fill(session)
        since = totals(session, one, NOW + BUCKET)
    assert (since.arrived, since.delivered, since.queued) == (5, 1, 4)


def test_buckets_come_in_order(store: Store) -> None:
    with store.write() as session:
        one, _, _ = fill(session)
        assert [(row.start, row.totals.arrived) for row in buckets(session, one)] == [
            (NOW, 10),
            (NOW + BUCKET, 5),
        ]
        assert [row.start for row in buckets(session, one, NOW + BUCKET)] == [NOW + BUCKET]
