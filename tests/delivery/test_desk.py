"""What the operator decides reaches a worker: suspended providers are sent nothing; what left is reported."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from postmeter.delivery.desk import REPORT_EVERY
from postmeter.delivery.outcome import LOOK_AGAIN
from postmeter.delivery.route import Host, Route
from postmeter.store import orders, sources
from postmeter.store.orders import Batch
from postmeter.store.pauses import Stopped
from postmeter.store.providers import Suspension
from postmeter.store.sources import DAY, Figures, Key
from postmeter.store.tables import DEFERRED, DELIVERED, EXPIRED, QUEUED
from support.office import STOP, Office
from support.postage import outcome
from support.scheduling import DONE, SIGNED, Bench, delivery, leased

GMAIL = Route("gmail", (Host("gmail-smtp-in.l.google.com", "192.0.2.1", 25),))
OTHER = Route("other", (Host("mx.example.org", "192.0.2.2", 25),))


def known(recipients: Any, provider: str, attempts: int = 0) -> Any:
    """Recipients that were tried, so that their provider is known."""
    return replace(
        recipients,
        recipients=tuple(replace(one, provider=provider, attempts=attempts) for one in recipients.recipients),
    )


def bench(*suspended: Suspension) -> Bench:
    made = Bench()
    made.router.known = {"gmail.com": GMAIL, "example.org": OTHER}
    made.desk.suspensions.learn(suspended)
    return made


def test_a_suspended_provider_is_sent_nothing() -> None:
    made = bench(STOP)
    made.take(leased("joe@gmail.com", "ann@example.org"))
    assert made.pool.paths() == {"other": [["ann@example.org"]]}
    made.gather()
    [waits] = made.writer.settled
    assert (waits.state, waits.attempted, waits.transmitted, waits.provider) == (QUEUED, False, False, "Google")
    assert waits.reply == "451 4.3.2 Mail to Google is suspended: too many complaints"
    assert waits.next_attempt_at == made.clock.seconds() - 0.03 + LOOK_AGAIN
    made.pool.sent[0][2].callback(delivery(DONE))
    assert made.gather() == {("one", 0): QUEUED, ("one", 1): DELIVERED}
    assert made.empty


def test_what_is_known_to_go_there_is_not_even_signed() -> None:
    made = bench(STOP)
    made.take(known(leased("joe@gmail.com", "ann@gmail.com"), "Google", attempts=2))
    assert made.signer.orders == []
    assert made.gather() == {("one", 0): DEFERRED, ("one", 1): DEFERRED}
    assert made.empty


def test_a_message_for_others_as_well_is_signed_for_them() -> None:
    made = bench(STOP)
    both = leased("joe@gmail.com", "ann@example.org")
    first, second = both.recipients
    made.take(replace(both, recipients=(replace(first, provider="Google"), second)))
    made.pool.sent[0][2].callback(delivery(DONE))
    assert made.gather() == {("one", 0): QUEUED, ("one", 1): DELIVERED}
    assert made.empty


def test_its_end_is_not_waited_for_too_long_and_then_it_is_over() -> None:
    made = bench(replace(STOP, until=60.0))
    made.take(leased("joe@gmail.com"))
    made.gather()
    assert 60.0 <= made.writer.settled[0].next_attempt_at <= 60.0 + 300.0
    made.clock.advance(60.0)
    made.take(leased("joe@gmail.com", message_id="two"))
    assert made.pool.paths() == {"gmail": [["joe@gmail.com"]]}


def test_the_lifetime_goes_on() -> None:
    made = bench(STOP)
    made.clock.advance(86_400.0)
    made.take(known(leased("joe@gmail.com"), "Google", attempts=3))
    assert made.gather() == {("one", 0): EXPIRED}
    [expired] = made.writer.settled
    assert (expired.attempted, expired.charge) == (True, "released")
    assert "suspended" in expired.reply


def test_nobody_waits_beyond_the_end_of_the_lifetime() -> None:
    made = bench(STOP)
    one = leased("joe@gmail.com")
    end = one.message.accepted_at + 86_400.0
    made.clock.advance(86_300.0)
    made.take(one)
    made.gather()
    assert made.writer.settled[0].next_attempt_at == end


PAUSED = Stopped(1, 2, "10 % bounced")


def test_what_waits_of_a_connection_that_the_guard_has_paused_is_not_even_signed() -> None:
    made = bench()
    made.desk.stopped = {2: PAUSED}
    made.take(known(leased("joe@gmail.com"), "Google", attempts=1))
    made.take(leased("ann@example.org", message_id="two"))
    assert made.signer.orders == []
    assert made.gather() == {("one", 0): DEFERRED, ("two", 0): QUEUED}
    for waits in made.writer.settled:
        assert (waits.attempted, waits.reply) == (False, "451 4.3.2 This connection is paused: 10 % bounced")
        assert waits.next_attempt_at == made.clock.seconds() - 0.03 + LOOK_AGAIN
    assert made.empty
    made.desk.stopped = {}
    made.take(leased("ann@example.org", message_id="three"))
    assert made.pool.paths() == {"other": [["ann@example.org"]]}


def test_its_lifetime_goes_on() -> None:
    made = bench()
    made.desk.stopped = {2: PAUSED}
    made.clock.advance(86_400.0)
    made.take(leased("joe@gmail.com"))
    assert made.gather() == {("one", 0): EXPIRED}
    assert "paused: 10 % bounced" in made.writer.settled[0].reply


def test_what_is_on_its_way_when_the_guard_pauses_is_put_off() -> None:
    made = bench()
    made.signer.answer = None
    made.take(leased("joe@gmail.com"))
    made.desk.stopped = {2: PAUSED}
    made.signer.orders[0].done(SIGNED)
    assert made.pool.sent == []
    assert made.gather() == {("one", 0): QUEUED}

    made = bench()
    made.take(leased("joe@gmail.com"))
    made.desk.stopped = {2: PAUSED}
    made.desk.stop({1})
    assert made.pool.given_back == [1]
    made.pool.sent[0][2].callback(replace(delivery(DONE, stage="connect"), put_off=1.0))  # as the pool does
    assert made.gather() == {("one", 0): QUEUED}
    assert made.writer.settled[0].next_attempt_at == LOOK_AGAIN


def batch(number: int) -> Batch:
    return Batch(number, (), (0.0, "", 0), None, 0)


def test_what_is_suspended_at_the_start_is_known_and_learned_anew() -> None:
    office = Office()
    assert office.desk.suspensions.of("Google", 5.0) == STOP
    office.follow()
    assert office.desk.suspensions.of("Google", 5.0) is None


def test_of_a_connection_that_the_guard_has_paused_is_told_once() -> None:
    office, told = Office(), []
    office.desk.stop = told.append
    for found in ([PAUSED], [PAUSED], [], [PAUSED, Stopped(3, 7, "complaints")]):
        office.stopped = found
        office.follow()
        assert office.desk.stopped == {one.connection_id: one for one in found}
    assert told == [{1}, {1, 3}]


def test_orders_are_followed_until_none_is_open() -> None:
    office = Office()
    office.open = [batch(1), batch(2), None, batch(3)]
    office.follow()
    assert office.submitted == [(orders.carry_out, (batch(n), 1_000.0)) for n in (1, 2)]


def test_what_is_suspended_during_a_long_order_is_learned_at_once() -> None:
    office = Office()
    office.open, office.until_stop = [batch(1), batch(1)], 1
    office.follow()
    assert office.desk.suspensions.of("Google", 5.0) == STOP


def test_another_worker_at_it_is_not_disturbed() -> None:
    office = Office()
    office.open, office.answer = [batch(1), batch(2)], False
    office.follow()
    assert len(office.submitted) == 1


def test_a_store_in_trouble_is_tried_again_the_next_time() -> None:
    office = Office()
    office.open, office.answer = [batch(1), batch(1)], RuntimeError("no")
    office.follow()
    office.answer = True
    office.follow()
    assert len(office.submitted) == 2


def test_what_left_from_our_addresses_is_reported_now_and_then() -> None:
    office = Office()
    one = leased("joe@gmail.com")
    facts = {"local_address": "192.0.2.7", "provider": "Google", "tls": "TLSv1.3"}
    for state, more in ((DELIVERED, facts), (DEFERRED, {**facts, "tls": None}), (EXPIRED, facts), (EXPIRED, {})):
        office.desk.note(replace(outcome(one, one.recipients[0], 1, state, 2 * DAY + 5.0), facts=more))
    office.follow()
    assert office.submitted == []
    office.now += REPORT_EVERY
    office.answer = RuntimeError("not now")
    office.follow()
    office.now += REPORT_EVERY
    office.answer = None
    office.follow()
    counted = {Key("192.0.2.7", 2 * DAY, "Google"): Figures(3, 1, 1, 1, 2, 0, 2 * DAY + 5.0)}
    assert office.submitted == [(sources.add, counted)] * 2
    assert office.told == [counted]


def test_a_deferral_that_was_too_much_is_told_from_others() -> None:
    office = Office()
    one = leased("joe@gmail.com")
    facts = {"local_address": "192.0.2.7", "provider": "Google"}
    for reply in ("421 4.7.0 slow down", "450 4.2.1 mailbox busy"):
        office.desk.note(replace(outcome(one, one.recipients[0], 1, DEFERRED, 5.0), facts=facts, reply=reply))
    office.desk.report()
    assert office.told == [{Key("192.0.2.7", 0, "Google"): Figures(2, 0, 0, 2, 0, 1, 5.0)}]
