"""Months of an account: what arrived and was booked in each, on both databases, and nobody else's."""

from __future__ import annotations

from datetime import UTC, datetime

from postmeter.config import Block as BlockSettings
from postmeter.store.counters import Change, count
from postmeter.store.engine import Store
from postmeter.store.quota import book_block
from postmeter.store.usage import Month, months
from support.tenants import make_account


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


NOW = at("2027-02-15T12:00")


def test_a_month_has_what_happened_from_its_first_instant_to_that_of_the_next(store: Store) -> None:
    with store.write() as session:
        for name in ("acme", "other"):
            account = make_account(session, name, at("2026-11-05T00:00"))
            moments = ("2026-12-31T23:45", "2027-01-01T00:00", "2027-01-31T23:45", "2027-02-01T00:00")
            for n, moment in enumerate(moments):
                count(session, [Change(account.id, 1 + n % 2, at(moment), "arrived", 10**n)])
            count(
                session,
                [Change(account.id, 1, at(moments[2]), "delivered", 7), Change(account.id, 1, NOW, "bounced", 2)],
            )
            book_block(session, account.id, 50_000, BlockSettings(), at("2027-01-31T23:59:59"), renews=False)
        found = months(session, account.id, NOW, 12)
    assert found == [
        Month(at("2027-02-01"), 1000, 0, 2, 0),
        Month(at("2027-01-01"), 110, 7, 0, 50_000),
        Month(at("2026-12-01"), 1, 0, 0, 0),
    ]


def test_what_is_older_is_left_out_and_the_demo_quota_is_not_booked(store: Store) -> None:
    with store.write() as session:
        account = make_account(session, "acme", NOW)
        count(session, [Change(account.id, 1, at("2026-12-31T23:45"), "arrived", 5)])
        assert months(session, account.id, NOW, 2) == []
        assert [month.begin for month in months(session, account.id, NOW, 3)] == [
            at("2027-02-01"),
            at("2027-01-01"),
            at("2026-12-01"),
        ]
