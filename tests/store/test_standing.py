"""Notices about the quota: exactly one for each fall below a level, however many send at once."""

from __future__ import annotations

import pytest

from postmeter.config import Block as BlockSettings
from postmeter.quota.level import EXHAUSTED, LOW, OVERDRAFT
from postmeter.smtp.replies import QUOTA_EXHAUSTED
from postmeter.store.engine import Store
from postmeter.store.quota import book_block, invoice_overdraft
from postmeter.store.quota_tables import Ledger
from postmeter.store.renewal import look_after
from postmeter.store.tables import BOUNCED
from postmeter.store.terms import set_terms
from support.postage import (
    accept,
    add_account,
    add_block,
    add_worker,
    at_once,
    audit,
    funded,
    lease,
    rows,
    settle_all,
    submission,
    told_quota,
)
from support.tenants import NOW


def test_low_quota_is_told_once_and_so_is_its_end(store: Store) -> None:
    funded(store, 6, threshold=4)
    for _ in range(6):
        accept(store, submission())
    expected = [(LOW, {"left": 3, "threshold": 4}), (EXHAUSTED, {"left": 0, "threshold": 4})]
    assert told_quota(store) == expected
    assert accept(store, submission()) == [QUOTA_EXHAUSTED]
    assert told_quota(store) == expected


def test_one_commit_may_cross_all_levels(store: Store) -> None:
    funded(store, 6, threshold=4, agreement=True)
    accept(store, submission(7))
    assert [kind for kind, _ in told_quota(store)] == [LOW, EXHAUSTED, OVERDRAFT]


def test_a_new_block_that_lifts_above_the_threshold_arms_the_notice_again(store: Store) -> None:
    funded(store, 4, threshold=4)
    accept(store, submission())
    with store.write() as session:
        add_block(session, 1, 3)
    accept(store, submission(3))
    assert told_quota(store) == [(LOW, {"left": 3, "threshold": 4})] * 2


def test_a_new_block_that_does_not_lift_above_it_arms_nothing(store: Store) -> None:
    funded(store, 10, threshold=10)
    accept(store, submission(9))
    with store.write() as session:
        add_block(session, 1, 5)
    accept(store, submission())
    assert told_quota(store) == [(LOW, {"left": 1, "threshold": 10})]


def test_what_is_released_arms_nothing(store: Store) -> None:
    funded(store, 3, threshold=2)
    worker = add_worker(store)
    for _ in range(3):
        accept(store, submission(3))
        settle_all(store, lease(store, worker), worker, BOUNCED, transmitted=False)
    assert [kind for kind, _ in told_quota(store)] == [LOW, EXHAUSTED]
    audit(store)


def test_the_first_overdraft_is_told_once_until_it_is_invoiced(store: Store) -> None:
    funded(store, 0, agreement=True)
    for _ in range(3):
        accept(store, submission(), submission())
    assert told_quota(store) == [(OVERDRAFT, {"overdraft": 2})]
    with store.write() as session:
        assert invoice_overdraft(session, 1, NOW) == 6
        assert invoice_overdraft(session, 1, NOW) == 0
    accept(store, submission(3))
    assert told_quota(store)[1:] == [(OVERDRAFT, {"overdraft": 3})]
    audit(store)


def test_the_next_overdraft_is_told_though_all_of_the_first_was_released(store: Store) -> None:
    funded(store, 0, agreement=True)
    worker = add_worker(store)
    accept(store, submission())
    settle_all(store, lease(store, worker), worker, BOUNCED, transmitted=False)
    with store.write() as session:
        assert invoice_overdraft(session, 1, NOW) == 0
    accept(store, submission(2))
    assert told_quota(store) == [(OVERDRAFT, {"overdraft": 1}), (OVERDRAFT, {"overdraft": 2})]
    audit(store)


def test_an_expiry_can_cross_the_levels_as_well(store: Store) -> None:
    with store.write() as session:
        add_account(session, threshold=5)
        add_block(session, 1, 4, NOW + 100)
        add_block(session, 1, 3, NOW + 200)
    for now in (NOW + 99, NOW + 100, NOW + 101):
        with store.write() as session:
            look_after(session, [now])
    assert told_quota(store) == [(LOW, {"left": 3, "threshold": 5})]
    with store.write() as session:
        look_after(session, [NOW + 200])
    assert told_quota(store)[1:] == [(EXHAUSTED, {"left": 0, "threshold": 5})]


def test_a_renewal_arms_and_an_account_that_is_renewed_is_told_of_no_fall(store: Store) -> None:
    with store.write() as session:
        add_account(session, threshold=5)
        add_block(session, 1, 10, NOW + 100, renews=True)
    accept(store, submission(8))
    with store.write() as session:
        look_after(session, [NOW + 100])
    assert len(told_quota(store)) == 1
    accept(store, submission(8, at=NOW + 101))
    assert told_quota(store) == [(LOW, {"left": 2, "threshold": 5})] * 2


def test_an_account_that_never_had_a_block_has_not_fallen(store: Store) -> None:
    with store.write() as session:
        add_account(session, agreement=True)
    accept(store, submission())
    assert told_quota(store) == [(OVERDRAFT, {"overdraft": 1})]


def test_a_new_threshold_is_told_when_the_quota_falls_below_it_from_now_on(store: Store) -> None:
    funded(store, 10, threshold=9)
    accept(store, submission(2))
    for threshold in (20, 7):  # below already, and not yet
        with store.write() as session:
            set_terms(session, 1, NOW, threshold=threshold)
        accept(store, submission())
    assert told_quota(store) == [(LOW, {"left": 8, "threshold": 9}), (LOW, {"left": 6, "threshold": 7})]


@pytest.mark.parametrize("threshold", [1, 60, 100])
def test_d48_fifty_parallel_senders_get_one_notice(store: Store, store_url: str, threshold: int) -> None:
    funded(store, 100, threshold=threshold)

    def work(n: int) -> None:
        own = Store.open(store_url)
        try:
            for _ in range(3):
                accept(own, submission())
        finally:
            own.close()

    at_once(work, 50)
    assert [kind for kind, _ in told_quota(store)] == [LOW, EXHAUSTED]
    assert told_quota(store)[0] == (LOW, {"left": threshold - 1, "threshold": threshold})
    audit(store)


def test_d48_a_refill_among_fifty_senders_arms_the_notice_exactly_once(store: Store, store_url: str) -> None:
    funded(store, 50, threshold=40)

    def work(n: int) -> None:
        own = Store.open(store_url)
        try:
            for turn in range(2):
                if n == 0 and turn:
                    with own.write() as session:
                        book_block(session, 1, 25_000, BlockSettings(), NOW)
                accept(own, submission())
        finally:
            own.close()

    at_once(work, 50)
    assert [kind for kind, _ in told_quota(store)] == falls(store, 40)
    audit(store)


def falls(store: Store, threshold: int) -> list[str]:
    """The notices that the ledger's entries mean, one after the other."""
    left, told, armed = 0, [], {LOW: False, EXHAUSTED: False}
    for entry in rows(store, Ledger):
        left += entry.units
        above = {LOW: left >= threshold, EXHAUSTED: left > 0}
        if entry.kind == "book":
            armed = {kind: armed[kind] or above[kind] for kind in armed}
        else:
            told += [kind for kind in armed if armed[kind] and not above[kind]]
            armed = {kind: armed[kind] and above[kind] for kind in armed}
    return told
