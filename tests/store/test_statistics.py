"""Counters, summed by account, connection and time."""

from __future__ import annotations

from contextlib import closing
from typing import Any

from sqlalchemy.event import listen
from sqlalchemy.orm import Session

from postmeter.store.connections import add_connection
from postmeter.store.counters import BUCKET, Change, count
from postmeter.store.engine import Store
from postmeter.store.statistics import (
    DAY,
    HOUR,
    Share,
    Totals,
    buckets,
    by_connection,
    by_domain,
    by_provider,
    totals,
)
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


def day(session: Session) -> None:
    """An account whose mail of two domains is tried at two providers, in three hours; and the mail of another."""
    count(session, [Change(1, 7, NOW, "arrived", 9, "a.example"), Change(1, 8, NOW, "arrived", 3, "b.example")])
    count(session, [Change(1, 7, NOW + HOUR, "delivered", 4, "a.example", "Google")])
    count(session, [Change(1, 7, NOW + HOUR, "deferred", 2, "a.example", "Google")])
    count(session, [Change(1, 7, NOW + 2 * HOUR, "bounced", 1, "a.example", "other")])
    count(session, [Change(1, 8, NOW + 2 * HOUR, "delivered", 2, "b.example", "Google")])
    count(session, [Change(2, 9, NOW, "arrived", 100, "c.example")])


def figures(shares: list[Share[Any]]) -> list[tuple[Any, ...]]:
    names = ("arrived", "delivered", "bounced", "queued", "deferred")
    return [(share.of, *(getattr(share.totals, name) for name in names)) for share in shares]


def test_a_window_has_an_end(store: Store) -> None:
    with store.write() as session:
        day(session)
        window = totals(session, 1, NOW + 1, NOW + 2 * HOUR)
        assert (window.arrived, window.delivered, window.bounced, window.deferred) == (0, 4, 0, 2)
        assert [row.start for row in buckets(session, 1, NOW, NOW + 2 * HOUR)] == [NOW, NOW + HOUR]


def test_one_connection_or_domain_can_be_asked_for(store: Store) -> None:
    with store.write() as session:
        day(session)
        assert totals(session, 1, connection_id=8) == totals(session, None, domain="b.example")
        assert totals(session, 1, domain="b.example").arrived == 3
        assert totals(session, 1, connection_id=8, domain="a.example").arrived == 0
        assert [row.totals.arrived for row in buckets(session, 1, connection_id=7)] == [9, 0, 0]


def test_totals_are_parted_by_connection_domain_and_provider(store: Store) -> None:
    with store.write() as session:
        day(session)
        assert figures(by_connection(session, 1)) == [(7, 9, 4, 1, 4, 2), (8, 3, 2, 0, 1, 0)]
        assert figures(by_domain(session, 1)) == [("a.example", 9, 4, 1, 4, 2), ("b.example", 3, 2, 0, 1, 0)]
        assert [row.of for row in by_connection(session, None)] == [7, 8, 9]
        assert figures(by_domain(session, None, NOW + 2 * HOUR)) == [
            ("a.example", 0, 0, 1, -1, 0),
            ("b.example", 0, 2, 0, -2, 0),
        ]


def test_of_a_provider_are_the_recipients_that_were_tried_there(store: Store) -> None:
    with store.write() as session:
        day(session)
        count(session, [Change(1, 7, NOW, "deferred", 1, "a.example")])
        assert figures(by_provider(session, 1)) == [
            ("", 1, 0, 0, 1, 1),  # its domain has not been found yet
            ("Google", 8, 6, 0, 2, 2),
            ("other", 1, 0, 1, 0, 0),
        ]


def test_buckets_are_quarters_hours_or_days_that_begin_at_anybodys_midnight(store: Store) -> None:
    midnight = 1_799_971_200  # UTC, January 15, 2027
    mails = [(midnight - HOUR - 1, 1), (midnight - HOUR, 2), (midnight + 1, 4), (midnight + 1800, 8)]
    with store.write() as session:
        count(session, [Change(1, 7, at, "arrived", by) for at, by in mails])

        def arrived(step: int, offset: int = 0) -> list[tuple[int, int]]:
            return [(row.start - midnight, row.totals.arrived) for row in buckets(session, 1, step=step, offset=offset)]

        assert arrived(BUCKET) == [(-HOUR - BUCKET, 1), (-HOUR, 2), (0, 4), (1800, 8)]
        assert arrived(HOUR) == [(-2 * HOUR, 1), (-HOUR, 2), (0, 12)]
        assert arrived(DAY) == [(-DAY, 3), (0, 12)]
        assert arrived(DAY, HOUR) == [(-DAY - HOUR, 1), (-HOUR, 14)]
        assert arrived(DAY, -5 * HOUR) == [(5 * HOUR - DAY, 15)]
        assert arrived(HOUR, 1800) == [(-HOUR - 1800, 3), (-1800, 4), (1800, 8)]


def test_the_operators_sums_do_not_read_the_whole_table(store: Store) -> None:
    plans: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_more: Any) -> None:
        if "counter" in statement:
            plans.append(explained(store, statement, parameters))

    listen(store.engine, "before_cursor_execute", note)
    with store.read() as session:
        totals(session, None, NOW + 0.5)
        totals(session, 1, NOW + 0.5)
    assert "ix_counter_bucket" in plans[0]
    assert "pk_counter" in plans[1] or "PRIMARY KEY (account_id=? AND bucket>?)" in plans[1]


def explained(store: Store, statement: str, parameters: Any) -> str:
    """How the database goes about a statement, if the table were large."""
    with closing(store.engine.raw_connection()) as connection, closing(connection.cursor()) as cursor:
        if not store.sqlite:
            cursor.execute("SET enable_seqscan = off")
        cursor.execute(f"EXPLAIN {'QUERY PLAN ' if store.sqlite else ''}{statement}", parameters)
        return str(cursor.fetchall())
