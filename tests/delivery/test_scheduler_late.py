"""What comes too late for another attempt is not sent any more."""

from __future__ import annotations

from dataclasses import replace

from postmeter.delivery.job import BUSY
from postmeter.delivery.outcome import EXPIRED_REPLY, TOO_LATE
from postmeter.delivery.retry import LAST_CALL
from support.scheduling import LATER, Bench, delivery, leased, route


def test_what_comes_too_late_is_not_sent_any_more() -> None:
    bench = Bench()
    bench.router.known, bench.router.found = {"example.org": route("static")}, {"b.net": route("mx")}
    hasty = leased("joe@example.org", "2@b.net")
    hasty = replace(hasty, message=replace(hasty.message, lifetime=600))
    bench.clock.advance(600 + LAST_CALL)
    bench.take(hasty)
    assert bench.pool.paths() == {"static": [["joe@example.org"]], "mx": [["2@b.net"]]}
    bench.clock.advance(1)
    bench.take(replace(hasty, message=replace(hasty.message, id="two")))
    assert bench.gather() == {("two", 0): "expired", ("two", 1): "expired"}
    assert bench.writer.settled[0].reply == f"{EXPIRED_REPLY}{TOO_LATE}"
    assert (bench.writer.settled[0].charge, len(bench.pool.sent)) == ("released", 2)


def test_what_waited_while_the_relay_was_down_has_one_more_attempt() -> None:
    bench = Bench()
    bench.router.known = {"example.org": route("static")}
    bench.clock.advance(5 * 86_400)
    bench.take(leased("joe@example.org"))
    [(_, _, sent)] = bench.pool.sent
    sent.callback(delivery(LATER, stage="rcpt"))
    assert bench.gather() == {("one", 0): "expired"}


def test_a_mail_may_begin_in_the_pool_until_the_first_of_its_recipients_is_too_late() -> None:
    bench = Bench()
    bench.router.known = {"example.org": route("static")}
    hasty = leased("joe@example.org", "ann@example.org")
    later = replace(hasty.recipients[1], leaves_at=300.0)
    hasty = replace(hasty, message=replace(hasty.message, lifetime=600), recipients=(hasty.recipients[0], later))
    bench.take(hasty)
    assert bench.pool.within == [600 + LAST_CALL]
    bench.clock.advance(600 + LAST_CALL + 1)
    bench.pool.sent[0][2].callback(replace(delivery(BUSY, BUSY, stage="connect"), put_off=300.0))
    assert bench.gather() == {("one", 0): "expired", ("one", 1): "queued"}
    assert bench.writer.settled[0].reply == f"{EXPIRED_REPLY}{TOO_LATE}"
    assert bench.writer.settled[1].next_attempt_at == 900.0
