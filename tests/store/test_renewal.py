"""The end of blocks to the second, their renewal in one commit, and senders who meet both."""

from __future__ import annotations

import random
from typing import Any

import pytest
from sqlalchemy import select

from postmeter.config import Block as BlockSettings
from postmeter.config import Demo
from postmeter.errors import UsageError
from postmeter.smtp.replies import QUOTA_EXHAUSTED
from postmeter.store import standing
from postmeter.store.accept import Accepted
from postmeter.store.engine import Store
from postmeter.store.quota import book_block, book_demo, quota_of, set_renewal
from postmeter.store.quota_tables import Block, Ledger
from postmeter.store.renewal import look_after
from postmeter.store.tables import BOUNCED, DELIVERED, Event
from support.postage import (
    accept,
    add_account,
    add_block,
    add_worker,
    at_once,
    audit,
    lease,
    rows,
    settle_all,
    submission,
)
from support.tenants import NOW

DAY = 86_400
DAYS_30 = 2_592_000  # seconds


def booked(store: Store, units: int = 25_000, *, renews: bool = True, **columns: Any) -> int:
    with store.write() as session:
        add_account(session, **columns)
        return book_block(session, 1, units, BlockSettings(min=1, step=1), NOW, renews=renews)


def look(store: Store, now: float) -> int:
    with store.write() as session:
        return look_after(session, [now])[0]


def told(store: Store, *kinds: str) -> list[tuple[str, float, dict[str, Any]]]:
    with store.read() as session:
        query = select(Event.kind, Event.at, Event.facts).where(Event.kind.in_(kinds)).order_by(Event.id)
        return [(kind, at, facts) for kind, at, facts in session.execute(query)]


def entries(store: Store) -> list[tuple[int | None, str, int, float]]:
    return [(entry.block_id, entry.kind, entry.units, entry.at - NOW) for entry in rows(store, Ledger)]


def left(store: Store, now: float) -> int:
    with store.read() as session:
        return quota_of(session, 1, now).left


def test_d46_a_block_ends_2_592_000_seconds_after_its_booking(store: Store) -> None:
    block = booked(store, 10, renews=False)
    assert accept(store, submission(at=NOW + DAYS_30 - 0.5)) == [Accepted((block,))]
    assert accept(store, submission(at=NOW + DAYS_30)) == [QUOTA_EXHAUSTED]
    assert entries(store)[1:] == [(block, "reserve", -1, DAYS_30 - 0.5), (block, "expire", -9, DAYS_30)]
    audit(store)


def test_what_is_left_of_a_block_expires_and_that_is_told(store: Store) -> None:
    block = booked(store, 10, renews=False)
    accept(store, submission(4))
    assert look(store, NOW + DAYS_30 - 1) == 1  # the notice ahead
    assert look(store, NOW + DAYS_30 - 0.5) == 0
    assert look(store, NOW + DAYS_30) == 1
    assert look(store, NOW + DAYS_30 + 1) == 0
    assert entries(store)[2:] == [(block, "expire", -6, DAYS_30)]
    assert told(store, "quota_expired") == [
        ("quota_expired", NOW + DAYS_30, {"block": block, "size": 10, "lost": 6}),
    ]
    audit(store)


def test_d46_renewal_is_atomic_and_to_the_instant(store: Store) -> None:
    block = booked(store, 10)
    accept(store, submission(4))
    look(store, NOW + DAYS_30 + 0.7)
    new = block + 1
    assert entries(store)[2:] == [(block, "expire", -6, DAYS_30), (new, "renew", 10, DAYS_30)]
    assert told(store, "quota_expired", "quota_renewed") == [
        (
            "quota_renewed",
            NOW + DAYS_30,
            {
                "block": new,
                "replaces": block,
                "kind": "paid",
                "size": 10,
                "lost": 6,
                "expires_at": NOW + 2 * DAYS_30,
            },
        )
    ]
    assert [(b.booked_at, b.expires_at, b.left, b.renews) for b in rows(store, Block)][1] == (
        NOW + DAYS_30,
        NOW + 2 * DAYS_30,
        10,
        True,
    )
    audit(store)


def test_missed_periods_are_caught_up_one_by_one(store: Store) -> None:
    booked(store, 10)
    look(store, NOW + 3 * DAYS_30 + 5)
    assert [(kind, units, at) for _, kind, units, at in entries(store)] == [
        ("book", 10, 0),
        ("expire", -10, DAYS_30),
        ("renew", 10, DAYS_30),
        ("expire", -10, 2 * DAYS_30),
        ("renew", 10, 2 * DAYS_30),
        ("expire", -10, 3 * DAYS_30),
        ("renew", 10, 3 * DAYS_30),
    ]
    assert len(told(store, "quota_renewed")) == 3
    audit(store)


def test_who_accepts_at_the_instant_of_expiry_pays_with_the_renewed_block(store: Store) -> None:
    block = booked(store, 10)
    assert accept(store, submission(12, at=NOW + DAYS_30 - 1)) == [QUOTA_EXHAUSTED]
    assert accept(store, submission(10, at=NOW + DAYS_30 - 1)) == [Accepted((block,) * 10)]
    assert accept(store, submission(10, at=NOW + DAYS_30)) == [Accepted((block + 1,) * 10)]
    audit(store)


def test_between_an_expiry_and_whoever_cares_for_it_the_quota_is_shown_as_it_is(store: Store) -> None:
    booked(store, 10)
    with store.write() as session:
        add_block(session, 1, 7, NOW + DAYS_30)
    accept(store, submission(4))
    assert (left(store, NOW + DAYS_30 - 1), left(store, NOW + DAYS_30)) == (13, 10)
    with store.read() as session:
        [shown] = quota_of(session, 1, NOW + DAYS_30).blocks
    look(store, NOW + DAYS_30)
    with store.read() as session:
        [cared] = quota_of(session, 1, NOW + DAYS_30).blocks
    assert (shown.left, shown.expires, shown.renews) == (cared.left, cared.expires, cared.renews)


@pytest.mark.parametrize(("renews", "notices"), [(False, 1), (True, 0)])
def test_three_days_ahead_it_is_told_that_a_block_ends_unused(store: Store, renews: bool, notices: int) -> None:
    block = booked(store, 10, renews=renews)
    for now in (NOW + 27 * DAY - 1, NOW + 27 * DAY, NOW + 28 * DAY):
        look(store, now)
    facts = {"block": block, "left": 10, "expires_at": NOW + DAYS_30}
    assert told(store, "quota_expiring") == [("quota_expiring", NOW + 27 * DAY, facts)] * notices


def test_looks_that_have_piled_up_lock_every_account_once_and_in_order(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second round within the same commit would lock an account below one that is held."""
    with store.write() as session:
        for account, end in ((1, 2), (2, 1), (3, 3)):
            add_account(session, account)
            add_block(session, account, 10, NOW + end, NOW - DAY, renews=True)
    locked: list[int] = []
    lock = standing.lock
    monkeypatch.setattr(standing, "lock", lambda session, account: (locked.append(account), lock(session, account))[1])
    with store.write() as session:
        assert look_after(session, [NOW + 1, NOW + 2]) == [2, 2]
    assert list(dict.fromkeys(locked)) == [1, 2]
    assert len(told(store, "quota_renewed")) == 2
    audit(store)


def test_of_a_block_that_is_used_up_no_end_is_announced(store: Store) -> None:
    booked(store, 1, renews=False)
    accept(store, submission())
    look(store, NOW + 27 * DAY)
    assert told(store, "quota_expiring") == []


def test_the_demo_quota_is_not_renewed(store: Store) -> None:
    with store.write() as session:
        add_account(session)
        book_demo(session, 1, Demo(), NOW)
    look(store, NOW + DAYS_30)
    assert left(store, NOW + DAYS_30) == 0


def test_a_cancelled_renewal_ends_the_block_and_may_be_resumed(store: Store) -> None:
    block = booked(store, 10)
    with store.write() as session:
        assert set_renewal(session, 1, None, False, NOW + 1) == [block]
        assert set_renewal(session, 1, block, True, NOW + 2) == [block]
        assert set_renewal(session, 1, block, False, NOW + 29 * DAY) == [block]
    look(store, NOW + 29 * DAY)
    assert len(told(store, "quota_expiring")) == 1
    look(store, NOW + DAYS_30)
    assert left(store, NOW + DAYS_30) == 0
    with pytest.raises(UsageError, match="no paid block 1 that"), store.write() as session:
        set_renewal(session, 1, block, True, NOW + DAYS_30)


def test_r32_what_was_reserved_before_the_end_stays_valid_and_what_is_released_after_it_is_lost(store: Store) -> None:
    block, worker = booked(store, 10), add_worker(store)
    accept(store, submission(2), submission(3))
    first, second = lease(store, worker)
    look(store, NOW + DAYS_30)
    settle_all(store, [first], worker, DELIVERED, at=NOW + DAYS_30 + 1)
    settle_all(store, [second], worker, BOUNCED, at=NOW + DAYS_30 + 1, transmitted=False)
    moved = [(kind, units) for number, kind, units, _ in entries(store) if number == block]
    assert moved[2:] == [("expire", -5), ("charge", 2), ("release", 3), ("expire", -3)]
    assert [(b.left, b.reserved, b.charged) for b in rows(store, Block)] == [(0, 0, 2), (10, 0, 0)]
    audit(store)


def test_r32_nobody_is_refused_and_nothing_is_lost_when_many_meet_a_renewal(store: Store, store_url: str) -> None:
    """Senders before and after the instant, the loop of two workers and outcomes, all at once."""
    with store.write() as session:
        add_account(session)
        for _ in range(3):
            book_block(session, 1, 1000, BlockSettings(min=1, step=1), NOW)
    worker = add_worker(store, NOW + 1e9)
    for _ in range(20):
        accept(store, submission(5))
    under_way = lease(store, worker)
    answers: list[Any] = []

    def work(n: int) -> None:
        own = Store.open(store_url)
        try:
            for turn in range(6):
                now = NOW + DAYS_30 + (turn - 2) * 0.25
                if n < 2:
                    look(own, now)
                elif n < 4:
                    mine = under_way[(n - 2) * 10 + turn :: 20][:1]
                    settle_all(own, mine, worker, BOUNCED, at=now, transmitted=False)
                else:
                    answers.extend(accept(own, submission(10, at=now)))
        finally:
            own.close()

    at_once(work, 12)
    assert len(answers) == 8 * 6
    assert all(isinstance(answer, Accepted) and None not in answer.block_ids for answer in answers)
    assert len(told(store, "quota_renewed")) == 3
    assert [block.size for block in rows(store, Block)] == [1000] * 6
    audit(store)


def test_bookings_of_several_processes_at_once_all_count(store: Store, store_url: str) -> None:
    with store.write() as session:
        add_account(session, paid_since=None)

    def work(n: int) -> None:
        own = Store.open(store_url)
        try:
            for turn in range(3):
                with own.write() as session:
                    request = None if turn else "double click"
                    book_block(session, 1, 25_000, BlockSettings(), NOW + n, request=request)
        finally:
            own.close()

    at_once(work, 6)
    assert len(rows(store, Block)) == 1 + 6 * 2
    assert left(store, NOW + 10) == 13 * 25_000
    audit(store)


def test_senders_outcomes_bookings_and_ends_of_several_accounts_never_wait_in_a_ring(
    store: Store, store_url: str
) -> None:
    """PostgreSQL ends one of those that do, with an error."""
    with store.write() as session:
        for account in (1, 2, 3):
            add_account(session, account, agreement=True)
            for n in range(2 if account < 3 else 0):  # the third one overdraws
                add_block(session, account, 400, NOW + 1 + n + account / 10, NOW, renews=True)
    worker = add_worker(store, NOW + 1e9)
    accept(store, *(submission(2, account=1 + n % 3) for n in range(120)))
    under_way = lease(store, worker)

    def sends(own: Store, dice: random.Random, now: float) -> None:
        accept(own, *(submission(2, account=dice.randint(1, 3), at=now) for _ in range(4)))

    def settles(own: Store, dice: random.Random, now: float) -> None:
        mine = [under_way.pop() for _ in range(3)]
        settle_all(own, mine, worker, BOUNCED, at=now, transmitted=dice.random() < 0.5)

    def looks(own: Store, _dice: random.Random, now: float) -> None:
        look(own, now)

    def books(own: Store, dice: random.Random, now: float) -> None:
        with own.write() as session:
            book_block(session, dice.randint(1, 3), 25_000, BlockSettings(), now)
        with own.write() as session:
            set_renewal(session, dice.randint(1, 3), None, True, now)

    roles = [sends] * 5 + [settles] * 3 + [looks] * 2 + [books] * 2

    def work(n: int) -> None:
        own, dice = Store.open(store_url), random.Random(n)
        try:
            for turn in range(12):
                roles[n](own, dice, NOW + turn * 0.4)
        finally:
            own.close()

    at_once(work, len(roles))
    assert len(told(store, "quota_renewed")) > 10
    audit(store)
