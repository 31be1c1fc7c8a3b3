"""What was sent is sent again on request, and forgotten in the end."""

from __future__ import annotations

from dataclasses import replace

from postmeter_webhooks import deliveries, endpoints
from postmeter_webhooks.settings import WebhookSettings
from support.tenants import NOW
from support.webhooks import Bench, failing

OTHER = "01M845D52EFTKSJPV36DHCW3RS"
DAY = 86_400.0


def send_again(bench: Bench, number: int, **conditions: object) -> int:
    with bench.core.write() as session:
        return deliveries.replay(session, number, bench.now, **conditions)  # type: ignore[arg-type]


def test_finished_deliveries_are_sent_again_under_the_same_id_and_in_order(bench: Bench) -> None:
    number = bench.add()
    bench.tell(bench.event(1, "accepted"), bench.event(2))
    bench.send()
    bench.now += 100
    bench.tell(bench.event(3, message=OTHER))
    assert send_again(bench, number, since=NOW) == 2  # the third still waits
    bench.send()
    assert bench.played.ids[2:] == [f"msg_{n}_{number}" for n in (1, 2, 3)]
    assert send_again(bench, number, since=NOW + 50) == 1
    assert send_again(bench, number, event_id=2) == 1
    assert send_again(bench, number, event_id=2) == 0
    bench.send()
    assert send_again(bench, number, failed=True) == 0


def test_what_has_failed_is_sent_again_with_all_its_tries(bench: Bench) -> None:
    number = bench.add()
    bench.played.always = failing()
    bench.tell(bench.event(1))
    bench.send()
    with bench.core.write() as session:
        endpoints.switch_off(session, number, "by hand", bench.now)
        endpoints.switch_on(session, number, bench.now)
    assert [(one.state, one.attempts) for one in bench.facts(number)] == [("failed", 1)]
    assert send_again(bench, number, failed=True) == 1
    bench.send()
    assert [(one.state, one.attempts) for one in bench.facts(number)] == [("waiting", 1)]


def test_what_was_finished_long_ago_is_forgotten(bench: Bench) -> None:
    number = bench.add()
    bench.tell(*[bench.event(n, message=f"{n:026}") for n in range(1200)])
    bench.send()
    bench.now += 1
    bench.tell(bench.event(5000))
    bench.now += 3 * DAY
    bench.tell(bench.event(5001))
    bench.core = replace(bench.core, own=WebhookSettings(keep_days=3))
    bench.start()
    (_, prune) = bench.plugin.jobs()
    prune.run(bench.now)
    assert [one.event_id for one in bench.facts(number)] == [5000, 5001]


def test_what_waits_in_vain_for_its_turn_is_given_up_and_can_be_sent_again(bench: Bench) -> None:
    number = bench.add()
    bench.tell(*[bench.event(n, message=f"{n:026}") for n in range(600)])
    bench.now += 14 * DAY
    bench.tell(bench.event(1000))
    bench.now += 1
    (_, prune) = bench.plugin.jobs()
    prune.run(bench.now)
    assert {(one.state, one.answer) for one in bench.facts(number)[:600]} == {
        ("failed", "not sent: the endpoint is too slow")
    }
    bench.send()
    assert bench.played.ids == [f"msg_1000_{number}"]
    assert send_again(bench, number, failed=True) == 600
    prune.run(bench.now)
    bench.send()
    assert {one.state for one in bench.facts(number)} == {"delivered"}
