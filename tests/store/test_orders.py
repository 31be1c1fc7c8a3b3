"""What is counted before a verb is carried out, and when an order is followed."""

from __future__ import annotations

from postmeter.store import orders
from postmeter.store.engine import Store
from postmeter.store.queue_filter import Filter
from postmeter.store.tables import DEFERRED
from support.postage import accept, add_worker, funded, lease, settle_all, submission
from support.tenants import NOW


def test_a_provider_is_known_by_an_attempt_only(store: Store) -> None:
    funded(store)
    worker = add_worker(store)
    for provider in ("Google", "Yahoo"):
        accept(store, submission(2))
        settle_all(store, lease(store, worker), worker, DEFERRED, again=NOW + 3_600, provider=provider)
    accept(store, submission(3))
    accept(store, submission(1, worker=worker))
    for text, count, unknown in (
        ("provider:google", 2, 3),
        ("provider:google domain:example.net state:deferred", 2, 0),
        ("provider:google domain:elsewhere.example", 0, 0),
        ("domain:example.net", 7, 0),
    ):
        with store.read() as session:
            counted = orders.matching(session, "hold", Filter.parse(text), NOW)
        assert (counted.count, counted.unknown) == (count, unknown), text


def test_an_order_is_followed_a_moment_later_and_whenever_a_clock_was_set_back(store: Store) -> None:
    chosen = Filter.parse("all")
    with store.write() as session:
        counted = orders.matching(session, "retry", chosen, NOW)
        number = orders.place(session, "retry", chosen, counted.count, counted.upto, NOW, "operator")
    for now, followed in ((NOW - 5, False), (NOW + 1, False), (NOW + 2, True), (NOW - 3_600, True)):
        with store.read() as session:
            batch = orders.next_batch(session, now, before=now - 2)
        assert (batch is not None and batch.order == number) is followed, now - NOW
