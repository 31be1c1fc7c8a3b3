"""What the scheduler takes from the store, and when: recipients that are due, within the window."""

from __future__ import annotations

import pytest

from postmeter.delivery.scheduler import PICK, POLL
from postmeter.store.picking import Load
from support.scheduling import DONE, Bench, delivery, leased, route


@pytest.fixture
def bench() -> Bench:
    """A scheduler that knows the static route to example.org."""
    made = Bench()
    made.router.known = {"example.org": route("static")}
    return made


def load(size: int = 1) -> Load:
    """What new mail of the usual account takes up."""
    return Load.of(leased(size=size))


def test_what_is_due_is_polled_leased_and_read_from_the_store(bench: Bench) -> None:
    bench.writer.due = [[leased("joe@example.org"), leased("ann@example.org", message_id="two")]]
    bench.scheduler.start()
    assert [(wish.worker, wish.now, wish.limit) for wish in bench.writer.picks] == [(9, 0.0, PICK)]
    assert [order.content for order in bench.signer.orders] == [None, None]
    for _, _, sent in bench.pool.sent:
        sent.callback(delivery(DONE))
    assert set(bench.gather().values()) == {"delivered"}
    bench.clock.advance(POLL)
    assert len(bench.writer.picks) == 2
    assert bench.empty


def test_a_full_pick_is_followed_by_the_next_at_once() -> None:
    bench = Bench(window=3)
    bench.router.known = {"example.org": route("static")}
    bench.writer.due = [[leased("1@example.org", "2@example.org", "3@example.org")], [leased(message_id="two")]]
    bench.scheduler.start()
    assert [wish.limit for wish in bench.writer.picks] == [3]  # the window is full
    bench.pool.sent[0][2].callback(delivery(DONE, DONE, DONE))
    bench.gather()
    bench.clock.advance(POLL)
    assert [wish.limit for wish in bench.writer.picks] == [3, 3]


def test_a_pick_that_fails_is_made_again_a_second_later(bench: Bench) -> None:
    bench.writer.failing = OSError("the database is gone")
    bench.scheduler.start()
    bench.writer.failing = None
    bench.writer.due = [[leased("joe@example.org")]]
    bench.clock.advance(POLL)
    assert bench.pool.paths() == {"static": [["joe@example.org"]]}


def test_large_contents_wait_for_room_and_new_mail_of_their_account_behind_them() -> None:
    bench = Bench(octets=1000)
    bench.router.known = {"example.org": route("static")}
    bench.writer.due = [[leased(size=800), leased(message_id="two", size=900), leased(message_id="three", size=50)]]
    bench.scheduler.start()
    assert len(bench.pool.sent) == 1
    assert not bench.scheduler.reserve(load(size=10))
    bench.take(leased(message_id="another's", size=100, account=2))
    assert len(bench.pool.sent) == 2
    for n in range(4):
        bench.pool.sent[n][2].callback(delivery(DONE))
        assert len(bench.gather()) == n + 1
    assert [mail for mail in bench.writer.settled if mail.message.id == "three"]
    assert bench.empty


def test_what_waits_for_room_begins_when_the_message_it_waited_for_is_not_committed() -> None:
    bench = Bench(octets=1000)
    bench.router.known = {"example.org": route("static")}
    bench.writer.held = []
    bench.scheduler.start()  # the first pick is under way
    assert bench.scheduler.reserve(load(size=900))
    bench.writer.due = [[leased(size=400)]]
    picks, bench.writer.held = bench.writer.held, None
    for pick in picks:
        pick()
    assert not bench.scheduler.reserve(load(size=10))
    bench.scheduler.give_up(load(size=900))
    assert bench.pool.paths() == {"static": [["joe@example.org"]]}
    assert bench.scheduler.reserve(load(size=10))
    bench.scheduler.give_up(load(size=10))
    bench.pool.sent[0][2].callback(delivery(DONE))
    assert bench.gather() == {("one", 0): "delivered"}
    assert bench.empty
    bench.scheduler.stop()
