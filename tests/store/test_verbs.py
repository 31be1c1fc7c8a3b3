"""What a person does with recipients that wait: states, units, counters and events agree; workers go first."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select

from postmeter.config import Demo
from postmeter.errors import UsageError
from postmeter.store import orders, queue
from postmeter.store.engine import Store
from postmeter.store.orders import BATCH, OrderFacts
from postmeter.store.queue_filter import Filter
from postmeter.store.quota_tables import Block
from postmeter.store.tables import (
    BOUNCED,
    CANCELLED,
    DEFERRED,
    DELIVERED,
    HELD,
    LEASED,
    QUEUED,
    Account,
    Content,
    Counter,
    Event,
    Recipient,
)
from postmeter.store.verbs import Key, act
from support.postage import (
    accept,
    add_worker,
    at_once,
    audit,
    funded,
    lease,
    recipients,
    rows,
    settle_all,
    submission,
)
from support.tenants import NOW

LATER = NOW + 3_600


@pytest.fixture
def worker(store: Store) -> int:
    """A worker, and an account with a block of 1,000."""
    funded(store)
    return add_worker(store)


def do(store: Store, verb: str, text: str = "all", now: float = NOW, object: str = "") -> OrderFacts:
    """Count, place and carry out."""
    chosen = Filter.parse(text)
    with store.read() as session:
        counted = orders.matching(session, verb, chosen, now, object=object)
    with store.write() as session:
        number = orders.place(session, verb, chosen, counted.count, counted.upto, now, "operator", object)
    return finish(store, number, now)


def finish(store: Store, number: int, now: float = NOW) -> OrderFacts:
    while True:
        with store.read() as session:
            batch = orders.next_batch(session, now, number)
            if batch is None:
                return orders.order_facts(session, number)
        with store.write() as session:
            assert orders.carry_out(session, [(batch, now)]) == [True]


def deferred(store: Store, worker: int, count: int = 1, transmitted: bool = False) -> None:
    accept(store, submission(count))
    settle_all(store, lease(store, worker), worker, DEFERRED, transmitted=transmitted, again=LATER, reply="450 later")


def states(store: Store) -> list[str]:
    return [one.state for one in recipients(store)]


def told(store: Store, kind: str) -> list[tuple[int | None, dict[str, str]]]:
    with store.read() as session:
        query = select(Event.recipient, Event.facts).where(Event.kind == kind).order_by(Event.id)
        return [(number, facts) for number, facts in session.execute(query)]


def counted(store: Store, name: str) -> int:
    with store.read() as session:
        return int(session.scalar(select(func.sum(getattr(Counter, name)))) or 0)


def test_what_is_held_does_not_leave_until_it_is_released(store: Store, worker: int) -> None:
    accept(store, submission(2))
    assert do(store, "hold").done == 2
    assert states(store) == [HELD, HELD]
    assert lease(store, worker, NOW + 100) == []
    audit(store)
    assert do(store, "release", now=NOW + 100).done == 2
    assert states(store) == [QUEUED, QUEUED]
    assert len(lease(store, worker, NOW + 100)[0].recipients) == 2
    assert told(store, "held") == told(store, "released") == [(n, {"by": "operator"}) for n in (0, 1)]


def test_what_was_tried_is_deferred_again_when_it_is_released(store: Store, worker: int) -> None:
    deferred(store, worker)
    do(store, "hold")
    do(store, "release")
    assert states(store) == [DEFERRED]
    audit(store)


def test_the_lifetime_and_the_patience_with_a_full_mailbox_stand_still_meanwhile(store: Store, worker: int) -> None:
    accept(store, submission())
    with store.write() as session:
        session.query(Recipient).update({"failing_since": NOW})
    do(store, "hold", now=NOW + 50)
    do(store, "release", now=NOW + 1_050)
    [one] = recipients(store)
    assert (one.leaves_at, one.failing_since, one.next_attempt_at) == (NOW + 1_000, NOW + 1_000, NOW + 1_050)


def test_a_slot_of_the_hourly_limit_is_kept(store: Store, worker: int) -> None:
    with store.write() as session:
        session.query(Account).update({"paid_since": None})
    accept(store, submission(2), demo=Demo(per_hour=1))
    slot = recipients(store)[1].leaves_at
    assert slot > NOW
    assert do(store, "retry").done == 0
    do(store, "hold", now=NOW + 1)
    do(store, "release", now=NOW + 2)
    assert (recipients(store)[1].leaves_at, recipients(store)[1].next_attempt_at) == (slot, slot)


def test_a_retry_makes_due_what_waits_for_its_time(store: Store, worker: int) -> None:
    deferred(store, worker, 2)
    assert lease(store, worker) == []
    assert do(store, "retry").done == 2
    assert len(lease(store, worker)[0].recipients) == 2
    assert do(store, "retry").done == 0
    assert told(store, "retried") == [(0, {"by": "operator"}), (1, {"by": "operator"})]


@pytest.mark.parametrize(
    ("transmitted", "charge", "block"), [(False, "released", (1000, 0, 0)), (True, "charged", (999, 0, 1))]
)
def test_a_cancelled_recipient_costs_nothing_if_it_was_never_sent(
    store: Store, worker: int, transmitted: bool, charge: str, block: tuple[int, int, int]
) -> None:
    deferred(store, worker, transmitted=transmitted)
    assert do(store, "cancel", now=NOW + 5).done == 1
    [one] = recipients(store)
    assert (one.state, one.charge, one.final_at) == (CANCELLED, charge, NOW + 5)
    [row] = rows(store, Block)
    assert (row.left, row.reserved, row.charged) == block
    assert (counted(store, "cancelled"), counted(store, "deferred")) == (1, 0)
    assert rows(store, Content) == []
    audit(store)


@pytest.mark.parametrize(
    ("transmitted", "charge", "block"), [(False, "released", (1000, 0, 0)), (True, "charged", (999, 0, 1))]
)
def test_what_the_operator_bounces_has_failed_for_good(
    store: Store, worker: int, transmitted: bool, charge: str, block: tuple[int, int, int]
) -> None:
    deferred(store, worker, transmitted=transmitted)
    accept(store, submission())
    do(store, "hold", "state:queued")
    assert do(store, "bounce", now=NOW + 5, object=" The sender was hacked ").done == 2
    first, second = recipients(store)
    said = "550 5.7.0 The sender was hacked"
    assert (first.state, first.charge, first.final_at, first.reply, first.failure) == (
        BOUNCED,
        charge,
        NOW + 5,
        said,
        "operator",
    )
    assert (second.state, second.charge) == (BOUNCED, "released")
    assert told(store, "bounced") == [(0, {"by": "operator", "reply": said})] * 2
    [row] = rows(store, Block)
    assert (row.left, row.reserved, row.charged) == block
    assert (counted(store, "bounced"), counted(store, "deferred")) == (2, 0)
    assert rows(store, Content) == []
    audit(store)


def test_a_bounce_is_not_ordered_without_a_reason(store: Store, worker: int) -> None:
    accept(store, submission())
    for reason in ("", "two\nlines", "x" * 201):
        with pytest.raises(UsageError, match="the reason must have 1 to 200 printable characters"):
            do(store, "bounce", object=reason)


def test_what_is_rerouted_is_tried_now_and_goes_there_until_that_is_taken_back(store: Store, worker: int) -> None:
    deferred(store, worker, 2)
    assert do(store, "reroute", object="Relay.example.org:2525").done == 2
    assert do(store, "reroute", object="relay.example.org:2525").done == 0
    assert told(store, "rerouted") == [(n, {"by": "operator", "to": "relay.example.org:2525"}) for n in (0, 1)]
    [leased] = lease(store, worker)
    assert [one.route for one in leased.recipients] == ["relay.example.org:2525"] * 2
    settle_all(store, [leased], worker, DEFERRED, again=LATER)
    assert do(store, "reroute", "route:relay.example.org:2525 message:" + leased.message.id, object="MX").done == 2
    assert [one.route for one in lease(store, worker)[0].recipients] == ["", ""]
    audit(store)


def test_what_is_held_is_rerouted_and_stays_where_it_is(store: Store, worker: int) -> None:
    accept(store, submission())
    do(store, "hold", now=NOW + 1)
    assert do(store, "reroute", now=NOW + 9, object="[2001:db8::1]:25").done == 1
    [one] = recipients(store)
    assert (one.state, one.next_attempt_at, one.route) == (HELD, NOW + 1, "[2001:db8::1]:25")


@pytest.mark.parametrize(
    "hop", ["", "relay", "relay:0", "relay:65536", "re lay:25", "2001:db8::1:25", "a@b:25", f"{'x' * 300}:25"]
)
def test_what_is_no_next_hop_is_told(store: Store, hop: str) -> None:
    with pytest.raises(UsageError, match=r"is no next hop such as 192\.0\.2\.1:25, mail\.example\.org:25 or mx"):
        orders.clean_object("reroute", hop)


def test_before_it_is_known_where_to_all_that_waits_is_counted(store: Store, worker: int) -> None:
    deferred(store, worker, 2)
    do(store, "reroute", object="relay.example.org:25")
    with store.read() as session:
        assert orders.matching(session, "reroute", Filter(), NOW).count == 2
        assert orders.matching(session, "reroute", Filter(), NOW, object="relay.example.org:25").count == 0


def test_an_overdraft_is_given_back(store: Store) -> None:
    funded(store, 0, agreement=True)
    accept(store, submission(3))
    do(store, "cancel")
    assert [account.overdraft for account in rows(store, Account)] == [0]
    audit(store)


def test_held_ones_are_cancelled_as_well(store: Store, worker: int) -> None:
    accept(store, submission(2))
    do(store, "hold")
    accept(store, submission())
    assert do(store, "cancel").done == 3
    assert states(store) == [CANCELLED] * 3
    audit(store)


def test_the_content_stays_while_somebody_waits_for_it(store: Store, worker: int) -> None:
    accept(store, submission(2))
    lease(store, worker, limit=1)
    done = do(store, "cancel")
    assert (done.done, done.left_out) == (1, 1)
    assert len(rows(store, Content)) == 1
    audit(store)


def test_what_a_worker_has_is_left_alone_and_counted(store: Store, worker: int) -> None:
    accept(store, submission(2))
    leased = lease(store, worker)
    for verb in ("hold", "retry", "cancel"):
        done = do(store, verb)
        assert (done.done, done.left_out, done.changed) == (0, 2, 0)
    assert settle_all(store, leased, worker, DELIVERED) == [True, True]
    audit(store)


def test_what_has_changed_since_it_was_counted_is_told(store: Store, worker: int) -> None:
    accept(store, submission(3))
    with store.read() as session:
        seen = orders.matching(session, "cancel", Filter(), NOW)
    lease(store, worker, limit=1)
    accept(store, submission(5))  # nobody has seen these
    with store.write() as session:
        number = orders.place(session, "cancel", Filter(), seen.count, seen.upto, NOW, "operator")
    done = finish(store, number)
    assert (done.matched, done.done, done.changed) == (3, 2, 1)
    assert sorted(states(store)) == sorted([LEASED, CANCELLED, CANCELLED, *[QUEUED] * 5])
    audit(store)


def test_a_batch_that_was_found_before_a_lease_passes_over_it(store: Store, worker: int) -> None:
    accept(store, submission(4))
    with store.write() as session:
        number = orders.place(session, "hold", Filter(), 4, "9" * 26, NOW, "operator")
    with store.read() as session:
        batch = orders.next_batch(session, NOW, number)
    assert batch is not None
    lease(store, worker, limit=3)
    with store.write() as session:
        assert orders.carry_out(session, [(batch, NOW)]) == [True]
    assert sorted(states(store)) == [HELD, LEASED, LEASED, LEASED]
    with store.write() as session:
        assert orders.carry_out(session, [(batch, NOW)]) == [False], "somebody else has done it"


def test_a_large_order_is_done_in_small_transactions(store: Store, worker: int) -> None:
    with store.write() as session:
        session.query(Account).update({"agreement": True})
    for n in range(3):
        accept(store, submission(500, at=NOW + n))
    with store.write() as session:
        number = orders.place(session, "cancel", Filter(), 1_500, "9" * 26, NOW + 9, "operator")
    for expected in range(BATCH, 1_501, BATCH):
        with store.read() as session:
            batch = orders.next_batch(session, NOW + 9)
        assert batch is not None
        assert len(batch.keys) == BATCH
        with store.write() as session:
            orders.carry_out(session, [(batch, NOW + 9)])
        assert states(store).count(CANCELLED) == expected
    assert finish(store, number, NOW + 9).done == 1_500
    audit(store)


def test_workers_and_orders_at_once_keep_the_books(store: Store, worker: int) -> None:
    for _ in range(20):
        accept(store, submission(10))
    verbs = ["hold", "cancel", "retry", "release"]

    def work(n: int) -> None:
        if n < len(verbs):
            do(store, verbs[n])
            return
        for _ in range(10):
            with store.write() as session:
                leased = queue.lease_due(session, worker, NOW + 1, 7)
            settle_all(store, leased, worker, DELIVERED if n % 2 else DEFERRED, again=NOW)

    at_once(work, len(verbs) + 2)
    audit(store)
    tally = {name: counted(store, name) for name in ("arrived", "delivered", "cancelled")}
    assert (tally["arrived"], tally["delivered"], tally["cancelled"]) == (
        200,
        states(store).count(DELIVERED),
        states(store).count(CANCELLED),
    )


def test_one_recipient_of_an_account_can_be_acted_on(store: Store, worker: int) -> None:
    deferred(store, worker, 2)
    key = Key(recipients(store)[0].message_id, 1, 1)
    with store.write() as session:
        assert act(session, "cancel", [key], NOW, "ann@shop.example") == 1
        assert act(session, "cancel", [key], NOW, "ann@shop.example") == 0
        assert act(session, "cancel", [key._replace(account_id=2, n=0)], NOW, "mallory") == 0
    assert states(store) == [DEFERRED, CANCELLED]
    audit(store)
