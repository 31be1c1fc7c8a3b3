"""Booking, and what is left until when."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from postmeter.config import Block as BlockSettings
from postmeter.config import Demo
from postmeter.errors import UsageError
from postmeter.store.counters import Change, count
from postmeter.store.engine import Store
from postmeter.store.quota import BlockFacts, book_block, book_demo, quota_of
from postmeter.store.quota_tables import Block, Ledger
from postmeter.store.tables import Event
from support.tenants import NOW, make_account

DAY = 86_400


def test_a_booked_block_adds_to_what_is_left_and_to_the_ledger(store: Store) -> None:
    with store.write() as session:
        account = make_account(session)
        block_id = book_block(session, account.id, 50_000, BlockSettings(), NOW + 60)
        facts = quota_of(session, account.id, NOW + 60)
        entry = session.scalars(select(Ledger).where(Ledger.block_id == block_id)).one()
        assert (entry.kind, entry.units, entry.account_id, entry.at) == ("book", 50_000, account.id, NOW + 60)
        assert [event.kind for event in session.scalars(select(Event))] == ["quota_booked", "quota_booked"]
    assert facts.left == 51_000
    assert facts.blocks == (
        BlockFacts("demo", 1000, 1000, "2027-02-14T08:00:00Z", 1, False),
        BlockFacts("paid", 50_000, 50_000, "2027-02-14T08:01:00Z", 2, True),
    )


@pytest.mark.parametrize("units", [0, -25_000, 24_999, 25_001, 30_000])
def test_a_size_that_is_not_sold_is_refused(store: Store, units: int) -> None:
    with pytest.raises(UsageError, match="block"), store.write() as session:
        book_block(session, make_account(session).id, units, BlockSettings(), NOW)


def test_the_demo_quota_is_given_once(store: Store) -> None:
    with store.write() as session:
        account = make_account(session)
        assert book_demo(session, account.id, Demo(), NOW) is None
        assert quota_of(session, account.id, NOW).left == 1000


def test_a_block_ends_to_the_second(store: Store) -> None:
    with store.write() as session:
        account = make_account(session)
        end = session.scalars(select(Block.expires_at)).one()
        assert end == NOW + 2_592_000
        assert quota_of(session, account.id, end - 1).left == 1000
        assert quota_of(session, account.id, end).left == 0
        assert quota_of(session, account.id, end).blocks == ()
        assert quota_of(session, account.id, end).runs_out is None


def test_overdraft_and_threshold_are_told(store: Store) -> None:
    with store.write() as session:
        account = make_account(session)
        account.overdraft, account.invoiced, account.threshold = 7, 2, 100
        facts = quota_of(session, account.id, NOW)
    assert (facts.overdraft, facts.threshold) == (5, 100)


def test_other_accounts_do_not_count(store: Store) -> None:
    with store.write() as session:
        one, two = make_account(session, "one"), make_account(session, "two")
        book_block(session, one.id, 25_000, BlockSettings(), NOW)
        count(session, [Change(one.id, 1, NOW, "arrived", 500)])
        assert quota_of(session, two.id, NOW).left == 1000
        assert quota_of(session, two.id, NOW).runs_out == "2027-02-14T08:00:00Z"


def test_the_forecast_goes_by_the_pace_of_the_last_seven_days(store: Store) -> None:
    with store.write() as session:
        account = make_account(session)
        now = NOW + 8 * DAY
        count(session, [Change(account.id, 1, NOW, "arrived", 100_000)])  # too long ago
        count(session, [Change(account.id, 1, now - 5 * DAY, "arrived", 500)])
        count(session, [Change(account.id, 2, now - 1 * DAY, "arrived", 500)])
        assert quota_of(session, account.id, now).runs_out == "2027-01-28T08:00:00Z"  # 200 a day: 5 days


def test_an_account_that_is_gone_is_an_error(store: Store) -> None:
    with pytest.raises(UsageError, match="no account with the number 4711"), store.read() as session:
        quota_of(session, 4711, NOW)
