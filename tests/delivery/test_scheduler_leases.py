"""Delivery while this worker's leases may be another's: nothing is begun, nothing is lost, nothing is forgotten."""

from __future__ import annotations

from typing import Any

import pytest

from support.scheduling import DONE, SIGNED, Bench, delivery, leased, route


@pytest.fixture
def bench() -> Bench:
    """A scheduler that knows the static route to example.org."""
    made = Bench()
    made.router.known = {"example.org": route("static")}
    return made


def test_nothing_is_begun_while_the_leases_may_be_lost_and_all_is_when_they_are_renewed(bench: Bench) -> None:
    bench.router.found = {"a.net": route("mx")}
    bench.take(leased("joe@example.org"))
    bench.lease_held = False
    bench.take(leased("1@example.org", "2@a.net", message_id="two"))
    bench.scheduler.resume()
    assert len(bench.pool.sent) == 1
    bench.pool.sent[0][2].callback(delivery(DONE))  # what was begun comes to its end
    assert bench.gather() == {("one", 0): "delivered"}
    bench.lease_held = True
    bench.scheduler.resume()
    bench.scheduler.resume()
    assert bench.pool.paths() == {"static": [["joe@example.org"], ["1@example.org"]], "mx": [["2@a.net"]]}
    for _, _, sent in bench.pool.sent[1:]:
        sent.callback(delivery(DONE))
    assert len(bench.gather()) == 3
    assert bench.empty


def test_what_waits_for_the_leases_goes_back_as_it_was_at_the_end(bench: Bench) -> None:
    bench.lease_held = False
    bench.take(leased("1@example.org", "2@example.org"))
    bench.signer.answer = None
    bench.take(leased("3@example.org", message_id="two"))
    idle: list[None] = []
    bench.scheduler.stop().addCallback(idle.append)
    assert idle == []
    bench.signer.orders[1].done(SIGNED)
    assert idle == [None]
    assert bench.gather() == {}
    assert bench.pool.sent == []
    assert bench.empty


def test_a_pick_can_be_found_again_when_the_answer_to_its_commit_was_lost(bench: Bench) -> None:
    changes: list[Any] = []
    bench.scheduler._submit = lambda change, item, done: changes.append(change)
    bench.scheduler.start()
    assert [callable(change.confirm) for change in changes] == [True]
