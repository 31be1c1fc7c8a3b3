"""Outcomes of those who lost the lease: what is known for good counts as long as nobody else has the recipient."""

from __future__ import annotations

import pytest

from postmeter.store import queue
from postmeter.store.engine import Store
from postmeter.store.queue import Leased
from postmeter.store.tables import BOUNCED, DEFERRED, DELIVERED, EXPIRED
from support.postage import add_worker, audit, funded, kinds, lease, leased, recipients, settle_all
from support.tenants import NOW


@pytest.fixture
def worker(store: Store) -> int:
    """A worker, and an account with a block of 1,000."""
    funded(store)
    return add_worker(store)


def halves(one: Leased) -> list[Leased]:
    return [Leased(one.message, (recipient,)) for recipient in one.recipients]


def lose(store: Store) -> None:
    with store.write() as session:
        queue.take_over(session, NOW + 1e6 + 1)


def test_what_a_server_said_last_counts_though_the_lease_was_lost_if_nobody_else_has_it(
    store: Store, worker: int
) -> None:
    one = leased(store, worker, 2)
    lose(store)
    assert settle_all(store, [one], worker, BOUNCED) == [True, True]
    assert [settle_all(store, [part], worker, DELIVERED) for part in halves(one)] == [[False], [False]]
    assert [r.state for r in recipients(store)] == [BOUNCED] * 2
    assert lease(store, add_worker(store), NOW + 1e7) == []
    audit(store)


@pytest.mark.parametrize(("state", "sent"), [(DEFERRED, True), (BOUNCED, False), (EXPIRED, False)])
def test_what_no_server_said_for_good_is_tried_again_by_whoever_comes(
    store: Store, worker: int, state: str, sent: bool
) -> None:
    one = leased(store, worker)
    lose(store)
    assert settle_all(store, [one], worker, state, transmitted=sent) == [False]
    audit(store)


@pytest.mark.parametrize("tried_before", [False, True])
def test_who_lost_the_lease_has_no_say_when_another_has_tried_meanwhile(
    store: Store, worker: int, tried_before: bool
) -> None:
    worker = add_worker(store, node="gone", pid=7)
    one = leased(store, worker)
    if tried_before:
        settle_all(store, [one], worker, DEFERRED)
        [one] = lease(store, worker)
    other = add_worker(store)
    with store.write() as session:
        queue.take_over(session, NOW, "gone", 7)
    [again] = lease(store, other, NOW + 1e7)
    assert settle_all(store, [one], worker, DELIVERED) == [False]
    settle_all(store, [again], other, DEFERRED)
    assert settle_all(store, [one], worker, DELIVERED) == [False]
    assert [r.state for r in recipients(store)] == [DEFERRED]
    audit(store)


def test_who_lost_the_lease_records_nothing(store: Store, worker: int) -> None:
    one, other = leased(store, worker), add_worker(store)
    with store.write() as session:
        queue.forget(session, worker)
    [again] = lease(store, other)
    assert settle_all(store, [one], worker, DELIVERED) == [False]
    assert "delivered" not in kinds(store)
    assert settle_all(store, [again], other, DELIVERED) == [True]
    audit(store)
