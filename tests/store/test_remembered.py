"""What an attempt leaves behind for the next one to know."""

from __future__ import annotations

from dataclasses import replace

import pytest

from postmeter.message.bounce import classify
from postmeter.store.engine import Store
from postmeter.store.settle import settle
from postmeter.store.tables import DEFERRED
from support.postage import add_worker, funded, later, lease, leased, outcome, settle_all
from support.tenants import NOW


@pytest.fixture
def worker(store: Store) -> int:
    """A worker, and an account with a block of 1,000."""
    funded(store)
    return add_worker(store)


def test_when_a_domain_was_first_unknown_is_kept_for_the_next_attempt(store: Store, worker: int) -> None:
    one = leased(store, worker)
    settlement = outcome(one, one.recipients[0], worker, DEFERRED, transmitted=False)
    with store.write() as session:
        settle(session, [later(settlement, facts={"unknown_since": NOW - 3})])
    [again] = lease(store, worker)
    assert again.recipients[0].unknown_since == NOW - 3
    settle_all(store, [again], worker, DEFERRED)
    assert lease(store, worker)[0].recipients[0].unknown_since is None


def test_when_it_was_first_full_is_kept_whatever_happens_then(store: Store, worker: int) -> None:
    one = leased(store, worker)
    full = later(outcome(one, one.recipients[0], worker, DEFERRED), failure=classify("rcpt", 452, "4.2.2", ""))
    with store.write() as session:
        settle(session, [full])
    for _ in range(2):
        [again] = lease(store, worker)
        assert again.recipients[0].failing_since == NOW
        settle_all(store, [again], worker, DEFERRED)


def test_that_recipients_were_tried_together_is_known_at_their_next_attempt(store: Store, worker: int) -> None:
    one = leased(store, worker, 2)
    assert [to.shared for to in one.recipients] == [False, False]
    together = replace(one.recipients[1], shared=True)
    for to in (one.recipients[0], together):
        with store.write() as session:
            settle(session, [outcome(one, to, worker, DEFERRED, again=NOW + 60, reply="450 4.7.1 later")])
    [again] = lease(store, worker, NOW + 60)
    assert [to.shared for to in again.recipients] == [False, True]
