"""Units beyond all blocks: who may take them, how many, and what becomes of them on invoices."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from postmeter.config import Block as BlockSettings
from postmeter.errors import UsageError
from postmeter.quota.price import PriceList, cents
from postmeter.smtp.replies import QUOTA_EXHAUSTED
from postmeter.store.accept import Accepted
from postmeter.store.accounts import account_by_name, account_facts, accounts_of
from postmeter.store.engine import Store
from postmeter.store.quota import book_block, invoice_overdraft, quota_of
from postmeter.store.quota_tables import Ledger
from postmeter.store.tables import BOUNCED, DELIVERED, Account
from postmeter.store.terms import set_terms
from support.postage import (
    accept,
    add_worker,
    at_once,
    audit,
    funded,
    lease,
    rows,
    settle_all,
    submission,
)
from support.tenants import NOW


def overdraft(store: Store) -> int:
    with store.read() as session:
        return quota_of(session, 1, NOW).overdraft


def invoice(store: Store) -> int:
    with store.write() as session:
        return invoice_overdraft(session, 1, NOW)


def change(store: Store, **changes: Any) -> None:
    with store.write() as session:
        set_terms(session, 1, NOW, **changes)


def test_d47_25_000_units_of_overdraft_are_23_euro_75_and_a_new_block_changes_nothing(store: Store) -> None:
    funded(store, 0, agreement=True)
    accept(store, *(submission(100) for _ in range(250)))
    assert overdraft(store) == 25_000
    with store.write() as session:
        book_block(session, 1, 25_000, BlockSettings(), NOW)
    assert overdraft(store) == 25_000
    accept(store, submission(3))
    assert overdraft(store) == 25_000
    assert cents(PriceList.parse({"25000": "0.00095"}).highest * invoice(store)) == 2_375
    assert overdraft(store) == 0
    audit(store)


def test_what_is_invoiced_is_invoiced_once(store: Store) -> None:
    funded(store, 1, agreement=True)
    accept(store, submission(4))
    assert (invoice(store), invoice(store)) == (3, 0)
    accept(store, submission(2))
    assert (overdraft(store), invoice(store)) == (2, 2)
    entries = [(entry.kind, entry.units) for entry in rows(store, Ledger) if entry.block_id is None]
    assert entries == [("overdraft", -3), ("invoice", 3), ("overdraft", -2), ("invoice", 2)]
    audit(store)


def test_what_is_released_after_its_invoice_counts_for_the_next_one(store: Store) -> None:
    funded(store, 0, agreement=True)
    worker = add_worker(store)
    accept(store, submission(3))
    assert invoice(store) == 3
    settle_all(store, lease(store, worker), worker, BOUNCED, transmitted=False)
    assert (overdraft(store), invoice(store)) == (0, 0)
    accept(store, submission(5))
    assert (overdraft(store), invoice(store)) == (2, 2)
    audit(store)


def test_invoices_of_two_at_once_have_each_unit_once(store: Store, store_url: str) -> None:
    funded(store, 0, agreement=True)
    invoiced: list[int] = []

    def work(n: int) -> None:
        own = Store.open(store_url)
        try:
            for _ in range(5):
                accept(own, submission(2))
                invoiced.append(invoice(own))
        finally:
            own.close()

    at_once(work, 6)
    assert sum(invoiced) == 60
    assert min(invoiced) >= 0
    assert overdraft(store) == 0
    audit(store)


def test_at_the_cap_it_ends_as_an_exhausted_quota_does(store: Store) -> None:
    block = funded(store, 2, agreement=True)
    assert accept(store, submission(6), submission(5), cap=3) == [QUOTA_EXHAUSTED, Accepted((block,) * 2 + (None,) * 3)]
    assert accept(store, submission(), cap=3) == [QUOTA_EXHAUSTED]
    invoice(store)
    assert isinstance(accept(store, submission(3), cap=3)[0], Accepted)
    audit(store)


def test_an_account_may_have_a_cap_and_a_policy_of_its_own(store: Store) -> None:
    funded(store, 0)
    policies: list[tuple[dict[str, Any], str, int, bool]] = [
        ({"overdraft_policy": "always"}, "never", 0, True),
        ({"overdraft_cap": 1}, "never", 0, False),
        ({"overdraft_cap": 0}, "never", 1, True),
        ({"overdraft_policy": "never"}, "always", 0, False),
        ({"overdraft_policy": "agreement"}, "always", 0, False),
        ({"agreement": True}, "never", 0, True),
        ({"overdraft_policy": "", "overdraft_cap": None}, "agreement", 0, True),
        ({}, "agreement", 3, False),
    ]
    for changes, policy, cap, goes_on in policies:
        change(store, **changes)
        [answer] = accept(store, submission(), policy=policy, cap=cap)
        assert isinstance(answer, Accepted) == goes_on, changes
    audit(store)


def test_the_cap_is_exact_when_many_overdraw_at_once(store: Store, store_url: str) -> None:
    funded(store, 5, agreement=True)
    answers: list[Any] = []

    def work(n: int) -> None:
        own = Store.open(store_url)
        try:
            for _ in range(5):
                answers.extend(accept(own, submission(2), cap=21))
        finally:
            own.close()

    at_once(work, 8)
    assert sum(isinstance(answer, Accepted) for answer in answers) == 13  # 5 + 21 units in twos
    assert overdraft(store) == 21
    audit(store)


WRONG: dict[str, Callable[[Store], None]] = {
    "no overdraft policy 'perhaps'": lambda store: change(store, overdraft_policy="perhaps"),
    "between 0 and": lambda store: change(store, threshold=-1),
    "is between 0 and": lambda store: change(store, overdraft_cap=-1),
    "a number of mails is between 0 and 1,000,000,000,000": lambda store: change(store, overdraft_cap=10**12 + 1),
}


def test_terms_that_are_agreed_on_at_once_are_all_kept(store: Store, store_url: str) -> None:
    """Each has read the account before any of the others has written."""
    funded(store, agreement=True)
    terms: list[dict[str, Any]] = [{"agreement": False}, {"threshold": 5}, {"overdraft_cap": 7}]
    seen = threading.Barrier(len(terms))

    def work(n: int) -> None:
        own = Store.open(store_url)
        try:
            with own.write() as session:
                account = account_by_name(session, "account 1")
                if not store.sqlite:  # which lets in one after the other
                    seen.wait(20)
                set_terms(session, account.id, NOW, **terms[n])
        finally:
            own.close()

    at_once(work, len(terms))
    with store.read() as session:
        account = session.get_one(Account, 1)
        assert (account.agreement, account.threshold, account.overdraft_cap) == (False, 5, 7)


@pytest.mark.parametrize("told", WRONG)
def test_terms_that_cannot_be_are_refused(store: Store, told: str) -> None:
    funded(store)
    with pytest.raises(UsageError, match=told):
        WRONG[told](store)


def test_the_terms_of_an_account_are_told(store: Store) -> None:
    funded(store, 0, agreement=True)
    change(store, threshold=7, overdraft_cap=9)
    accept(store, submission(2))
    with store.read() as session:
        [facts] = accounts_of(session)
        assert account_facts(session, " account 1 ") == facts
        with pytest.raises(UsageError, match="no account 'two'"):
            account_facts(session, "two")
    assert (facts.threshold, facts.overdraft_policy, facts.overdraft_cap, facts.overdraft) == (7, "default", 9, 2)


def test_d45_a_unit_per_recipient_retries_free_never_sent_released_late_bounces_charged(store: Store) -> None:
    block, worker = funded(store, 10), add_worker(store)
    accept(store, submission(3))
    for now in (NOW, NOW + 60):
        settle_all(store, lease(store, worker, now), worker, "deferred", at=now, again=now + 60)
    with store.read() as session:
        assert quota_of(session, 1, NOW).left == 7
    settle_all(store, lease(store, worker, NOW + 200), worker, BOUNCED, at=NOW + 200)  # after it was transmitted
    accept(store, submission(2, at=NOW + 201))
    settle_all(store, lease(store, worker, NOW + 201), worker, BOUNCED, at=NOW + 201, transmitted=False)
    accept(store, replace(submission(1, at=NOW + 202), key=b"1"), replace(submission(1, at=NOW + 202), key=b"1"))
    settle_all(store, lease(store, worker, NOW + 202), worker, DELIVERED, at=NOW + 202)
    with store.read() as session:
        assert quota_of(session, 1, NOW).left == 6
    sums = {kind: sum(e.units for e in rows(store, Ledger) if e.kind == kind) for kind in ("charge", "release")}
    assert (sums, block) == ({"charge": 4, "release": 2}, 1)
    audit(store)
