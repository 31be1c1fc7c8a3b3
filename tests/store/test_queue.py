"""Leases: what is due, in order, never to two at once, and back again when an owner is gone."""

from __future__ import annotations

import pytest
from sqlalchemy import event, text

from postmeter.store import queue
from postmeter.store.engine import Store
from postmeter.store.picking import Picking
from postmeter.store.tables import DEFERRED, DELIVERED, LEASED, QUEUED
from support.postage import (
    CONTENT,
    accept,
    add_worker,
    at_once,
    audit,
    funded,
    lease,
    recipients,
    settle_all,
    submission,
    watched,
    wish,
)
from support.tenants import NOW


@pytest.fixture
def worker(store: Store) -> int:
    """A worker, and an account with a block of 1,000."""
    funded(store)
    return add_worker(store)


def states(store: Store) -> list[tuple[str, int | None, int]]:
    return [(r.state, r.lease_owner, r.in_doubt) for r in recipients(store)]


def test_a_lease_hands_over_what_delivery_needs(store: Store, worker: int) -> None:
    sent = submission(2)
    accept(store, sent)
    [one] = lease(store, worker)
    message = one.message
    assert (message.id, message.account_id, message.connection_id, message.size) == (sent.id, 1, 7, len(CONTENT))
    assert (message.domain, message.accepted_at) == ("shop.example", NOW)
    assert (message.envelope.reverse_path, message.envelope.recipients) == ("bounce@shop.example", ())
    assert message.envelope.body == "8BITMIME"
    assert [(r.n, r.path, r.attempts, r.charge) for r in one.recipients] == [
        (n, path, 0, "reserved") for n, path in enumerate(sent.envelope.recipients)
    ]
    assert states(store) == [(LEASED, worker, 0)] * 2


def test_the_longest_due_come_first_up_to_the_limit(store: Store, worker: int) -> None:
    sent = [submission(at=NOW - due) for due in (5, 9, 1, 7)]
    accept(store, *sent)
    order = [sent[n].id for n in (1, 3, 0, 2)]
    assert [one.message.id for one in lease(store, worker, limit=3)] == order[:3]
    assert [one.message.id for one in lease(store, worker, limit=3)] == order[3:]
    assert lease(store, worker) == []


def test_nothing_is_leased_before_its_time(store: Store, worker: int) -> None:
    accept(store, submission())
    settle_all(store, lease(store, worker), worker, DEFERRED, again=NOW + 60)
    assert lease(store, worker, NOW + 59.9) == []
    [one] = lease(store, worker, NOW + 60)
    assert (one.recipients[0].attempts, one.recipients[0].charge) == (1, "charged")


def test_what_is_final_is_not_leased(store: Store, worker: int) -> None:
    accept(store, submission())
    settle_all(store, lease(store, worker), worker, DELIVERED)
    assert lease(store, worker, NOW + 1e6) == []


def test_the_recipients_of_a_message_may_be_leased_in_parts(store: Store, worker: int) -> None:
    accept(store, submission(5))
    parts = [lease(store, worker, NOW + n, limit=2) for n in range(3)]
    assert sorted(r.n for part in parts for one in part for r in one.recipients) == [0, 1, 2, 3, 4]


def test_eight_workers_never_get_the_same_recipient(store: Store, store_url: str, worker: int) -> None:
    accept(store, *(submission(3) for _ in range(40)))
    got: list[tuple[int, str, int]] = []

    def work(n: int) -> None:
        own = Store.open(store_url)
        try:
            number = add_worker(own, pid=n)
            while leases := lease(own, number, limit=5):
                got.extend((number, one.message.id, r.n) for one in leases for r in one.recipients)
        finally:
            own.close()

    at_once(work, 8)
    assert len(got) == 120
    assert sorted(got, key=lambda g: g[1:]) == [(r.lease_owner, r.message_id, r.n) for r in recipients(store)]


def test_recipients_that_another_is_just_leasing_are_passed_over(postgres_url: str) -> None:
    store = Store.open(postgres_url)
    try:
        funded(store)
        one, two = add_worker(store), add_worker(store)
        accept(store, submission(2), submission(2))
        with store.write() as first, store.write() as second:
            second.execute(text("SET LOCAL lock_timeout = '5s'"))
            taken = [queue.lease_due(first, one, NOW, 2), queue.lease_due(second, two, NOW, 4)]
        assert [sum(len(leased.recipients) for leased in leases) for leases in taken] == [2, 2]
        assert sorted(owner or 0 for _, owner, _ in states(store)) == [one, one, two, two]
    finally:
        store.close()


def test_due_and_abandoned_recipients_are_found_without_reading_all(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store.open(sqlite_url)
    ran = watched(monkeypatch)
    event.listen(store.engine, "before_cursor_execute", lambda *args: ran.append((args[2], args[3])))
    with store.write() as session:
        queue.lease_due(session, 1, NOW, 10)
        queue.take_over(session, NOW)
        queue.forget(session, 1)
    connection = store.engine.raw_connection()
    plans = [
        row[3]
        for statement, values in ran
        if "recipient" in statement
        for row in connection.cursor().execute(f"EXPLAIN QUERY PLAN {statement}", values)
    ]
    connection.close()
    store.close()
    assert "SEARCH recipient USING INDEX ix_recipient_due (next_attempt_at<?)" in plans
    assert len(plans) >= 3
    assert not [plan for plan in plans if plan.startswith("SCAN recipient")]


# Owners that come and go


def test_a_heartbeat_moves_the_leases_on(store: Store, worker: int) -> None:
    accept(store, submission(worker=worker))
    with store.write() as session:
        assert queue.heartbeat(session, worker, NOW + 2e6)
        assert queue.take_over(session, NOW + 1.5e6) == 0
    assert states(store) == [(LEASED, worker, 0)]


def test_a_heartbeat_after_the_take_over_tells_so(store: Store, worker: int) -> None:
    with store.write() as session:
        queue.take_over(session, NOW + 1e6 + 1)
        assert not queue.heartbeat(session, worker, NOW + 2e6)


def test_the_number_of_a_worker_that_is_gone_is_not_given_again(store: Store, worker: int) -> None:
    with store.write() as session:
        queue.take_over(session, NOW + 1e6 + 1)
        assert queue.register(session, "node", 1, NOW + 60, NOW + 105) != worker
        assert not queue.heartbeat(session, worker, NOW + 105)


def test_what_an_owner_held_when_its_time_ran_out_is_in_doubt_and_tried_again(store: Store) -> None:
    funded(store)
    dead, alive = add_worker(store, NOW + 10), add_worker(store, NOW + 20)
    accept(store, submission(2, worker=dead), submission(worker=alive))
    with store.write() as session:
        assert queue.take_over(session, NOW + 10) == 0
        assert queue.take_over(session, NOW + 10.1) == 2
        assert queue.take_over(session, NOW + 10.1) == 0
    assert states(store) == [(QUEUED, None, 1)] * 2 + [(LEASED, alive, 0)]
    assert len(lease(store, alive, NOW + 11)[0].recipients) == 2
    audit(store)


def test_a_machine_or_a_process_can_be_taken_over_at_once(store: Store) -> None:
    funded(store)
    owners = [add_worker(store, node=node, pid=pid) for node, pid in (("a", 1), ("a", 2), ("b", 1), ("b", 2))]
    accept(store, *(submission(worker=owner) for owner in owners))
    with store.write() as session:
        assert queue.take_over(session, NOW, "a", 2) == 1
        assert queue.take_over(session, NOW, "b") == 2
    assert [owner for _, owner, _ in states(store)] == [owners[0], None, None, None]


def test_a_recipient_that_was_tried_goes_back_as_deferred(store: Store, worker: int) -> None:
    accept(store, submission())
    settle_all(store, lease(store, worker), worker, DEFERRED)
    lease(store, worker)
    with store.write() as session:
        queue.take_over(session, NOW + 1e6 + 1)
    assert states(store) == [(DEFERRED, None, 1)]
    audit(store)


def test_who_takes_over_known_workers_does_not_judge_others(store: Store) -> None:
    funded(store)
    late, dead = add_worker(store, NOW - 1, pid=1), add_worker(store, pid=2)
    accept(store, submission(worker=late), submission(worker=dead))
    with store.write() as session:
        assert queue.take_over(session, NOW, "node", 2) == 1
    assert [owner for _, owner, _ in states(store)] == [late, None]


def test_a_message_whose_workers_die_again_and_again_waits_longer_and_longer(store: Store) -> None:
    funded(store)
    accept(store, submission())
    for wait in (0, 300, 600):
        worker = add_worker(store, NOW)
        assert len(lease(store, worker)) == 1
        with store.write() as session:
            assert queue.take_over(session, NOW + 0.5) == 1
        assert [r.next_attempt_at for r in recipients(store)] == [NOW + 0.5 + wait]
        with store.write() as session:
            session.execute(text("UPDATE recipient SET next_attempt_at = :now"), {"now": NOW})
    audit(store)


def test_recipients_of_an_owner_nobody_knows_are_freed(store: Store, worker: int) -> None:
    accept(store, submission(worker=worker + 100))
    with store.write() as session:
        assert queue.take_over(session, NOW) == 1


def test_who_ends_in_order_gives_back_without_doubt(store: Store, worker: int) -> None:
    accept(store, submission(2, worker=worker))
    with store.write() as session:
        queue.forget(session, worker)
        assert not queue.heartbeat(session, worker, NOW + 1e6)
    assert states(store) == [(QUEUED, None, 0)] * 2


# Lost answers


def test_a_pick_is_found_again_after_its_answer_was_lost(store: Store, worker: int) -> None:
    picking = Picking()
    accept(store, submission(3), submission(worker=worker))
    wishes = [wish(worker, NOW + 1, 2), wish(worker, NOW + 2, 1), wish(worker, NOW + 3, 1)]
    with store.write() as session:
        picked = picking(session, wishes)
    assert [sum(len(one.recipients) for one in pick.leases) for pick in picked] == [2, 1, 0]
    with store.read() as session:
        found = picking.confirm(session, wishes)
    assert [pick and pick.leases for pick in found] == [picked[0].leases, picked[1].leases, None]


def test_content_that_is_gone_is_a_lookup_error(store: Store, worker: int) -> None:
    one = submission()
    accept(store, one)
    settle_all(store, lease(store, worker), worker, DELIVERED)
    with store.read() as session, pytest.raises(LookupError, match=one.id):
        queue.content(session, 1, one.id)
