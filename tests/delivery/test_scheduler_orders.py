"""What people have decided while mail waited: another way for some of it, no way at all for suppressed addresses."""

from __future__ import annotations

from dataclasses import replace

import pytest

from postmeter.delivery.route import Host
from postmeter.store.providers import Suspension
from support.scheduling import DONE, Bench, delivery, leased, route

HOP = "192.0.2.9:2525"  # where an operator has mail sent


@pytest.fixture
def bench() -> Bench:
    """A scheduler that knows the static route to example.org."""
    made = Bench()
    made.router.known = {"example.org": route("static")}
    return made


def test_a_suppressed_recipient_is_not_even_signed(bench: Bench) -> None:
    both = leased("joe@example.org", "ann@example.org")
    first, second = both.recipients
    bench.take(replace(both, recipients=(replace(first, suppressed="550 5.7.1 no"), second)))
    assert bench.pool.paths() == {"static": [["ann@example.org"]]}
    assert bench.gather() == {("one", 0): "suppressed"}
    [ended] = bench.writer.settled
    assert (ended.reply, ended.charge, ended.attempted, ended.told) == ("550 5.7.1 no", "released", False, True)
    bench.pool.sent[0][2].callback(delivery(DONE))
    assert bench.gather() == {("one", 0): "suppressed", ("one", 1): "delivered"}
    bench.take(leased("joe@example.org", message_id="two"))
    assert len(bench.signer.orders) == 2
    assert not bench.empty


def test_a_message_to_nobody_else_is_over(bench: Bench) -> None:
    one = leased("joe@example.org")
    bench.take(replace(one, recipients=(replace(one.recipients[0], suppressed="550 5.7.1 no"),)))
    assert bench.gather() == {("one", 0): "suppressed"}
    assert bench.signer.orders == []
    assert bench.empty


def test_what_was_rerouted_goes_there_and_nowhere_else(bench: Bench) -> None:
    one = leased("joe@example.org", "ann@example.org", "eve@a.net")
    recipients = tuple(replace(to, route=hop) for to, hop in zip(one.recipients, ("", HOP, HOP), strict=True))
    bench.take(replace(one, recipients=recipients))
    assert bench.pool.paths() == {"static": [["joe@example.org"]], HOP: [["ann@example.org", "eve@a.net"]]}
    where = bench.pool.sent[1][0]
    assert (where.hosts, where.static) == ((Host("192.0.2.9", "192.0.2.9", 2525),), True)
    for _, mail, sent in bench.pool.sent:
        sent.callback(delivery(*[DONE] * len(mail.envelope.recipients)))
    bench.gather()
    assert bench.empty


def test_a_suspension_is_no_reason_to_keep_what_is_sent_elsewhere(bench: Bench) -> None:
    bench.desk.suspensions.learn([Suspension("Google", "blocked", 0.0, None, "joe")])
    one = leased("joe@a.net", "ann@example.org", "eve@b.net")
    rerouted, routed, kept = (replace(to, provider="Google", attempts=1) for to in one.recipients)
    bench.take(replace(one, recipients=(replace(rerouted, route=HOP), routed, kept)))
    assert bench.pool.paths() == {"static": [["ann@example.org"]], HOP: [["joe@a.net"]]}
    assert bench.gather() == {("one", 2): "deferred"}
