"""Endpoints are called in order, again after a failure, and never because of another endpoint later."""

from __future__ import annotations

from datetime import UTC, datetime
from random import Random

import pytest
import standardwebhooks
from sqlalchemy import select

from postmeter import FetchError
from postmeter.store.tables import Event as EventRow
from postmeter_webhooks import deliveries, endpoints
from postmeter_webhooks.schedule import DELAYS
from postmeter_webhooks.signing import secret_text
from support.tenants import NOW
from support.webhooks import OK, URL, Bench, failing

OTHER = "01M845D52EFTKSJPV36DHCW3RS"
DAY = 86_400.0


def states(bench: Bench, endpoint: int) -> list[tuple[int | None, str, int]]:
    """The deliveries of an endpoint: event, state, attempts."""
    return [(one.event_id, one.state, one.attempts) for one in bench.facts(endpoint)]


def notices(bench: Bench) -> list[dict[str, list[str]]]:
    """What the account's admins were told."""
    with bench.core.read() as session:
        return [facts["texts"] for facts in session.scalars(select(EventRow.facts).where(EventRow.kind == "notice"))]


def test_what_is_sent_is_signed_with_the_time_of_the_attempt(bench: Bench) -> None:
    number = bench.add()
    bench.tell(bench.event(7))
    bench.played.answers = [failing()]
    bench.send()
    bench.send(later=5)
    first, second = bench.played.calls
    assert first.body == second.body
    assert first.id == second.id == f"msg_7_{number}"
    assert [call.headers["webhook-timestamp"] for call in (first, second)] == [str(int(NOW)), str(int(NOW) + 5)]
    verifier = standardwebhooks.Webhook(secret_text(bench.secrets(number)[0]))
    for call in (first, second):
        at = datetime.fromtimestamp(int(call.headers["webhook-timestamp"]), UTC)
        assert verifier.sign(call.id, at, call.body.decode()) == call.headers["webhook-signature"]
    assert first.headers["content-type"] == "application/json"
    assert first.options == {"timeout": 15.0, "allow_private": False, "max_body": 4096}


def test_a_failure_is_tried_again_for_a_day_and_then_no_more(bench: Bench) -> None:
    number = bench.add()
    bench.played.always = failing()
    bench.tell(bench.event(1))
    bench.send()
    for attempt, delay in enumerate(DELAYS, 1):
        assert states(bench, number) == [(1, "waiting", attempt)]
        bench.send(later=delay - 1)
        assert len(bench.played.calls) == attempt
        bench.send(later=1)
    assert states(bench, number) == [(1, "failed", 8)]
    bench.send(later=10 * DAY)
    assert len(bench.played.calls) == 8
    assert bench.facts(number)[0].answer == "500 oh dear?"


def test_no_answer_is_a_failure_too_and_its_reason_is_kept(bench: Bench) -> None:
    number = bench.add()
    bench.played.answers = [FetchError("shop.example did not answer within 15 seconds")]
    bench.tell(bench.event(1))
    bench.send()
    (kept,) = bench.facts(number)
    assert (kept.state, kept.status, kept.answer) == ("waiting", None, "shop.example did not answer within 15 seconds")
    bench.send(later=5)
    assert bench.facts(number)[0].state == "delivered"


def test_a_crash_between_the_call_and_the_commit_has_the_same_webhook_sent_again(bench: Bench) -> None:
    number = bench.add()
    bench.tell(bench.event(1), bench.event(2))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deliveries, "record", lambda *_: pytest.fail("killed"))
        with pytest.raises(pytest.fail.Exception):
            bench.send()
    bench.start()
    bench.send()
    first, second = bench.played.ids[:1], bench.played.ids[-2:]
    assert first == [f"msg_1_{number}"]
    assert second == [f"msg_1_{number}", f"msg_2_{number}"]
    assert [one.state for one in bench.facts(number)] == ["delivered", "delivered"]


def test_of_each_message_events_are_sent_in_order_and_other_messages_go_on(bench: Bench) -> None:
    number = bench.add()
    bench.tell(bench.event(1, "accepted"), bench.event(2), bench.event(3, "accepted", message=OTHER))
    bench.played.answers = [failing()]
    bench.send()
    assert bench.played.ids == [f"msg_1_{number}", f"msg_3_{number}"]
    bench.send(later=5)
    assert bench.played.ids[2:] == [f"msg_1_{number}", f"msg_2_{number}"]
    assert {one.state for one in bench.facts(number)} == {"delivered"}


def test_what_is_queued_behind_one_that_waits_for_its_retry_waits_too(bench: Bench) -> None:
    number = bench.add()
    bench.tell(bench.event(1, "accepted"))
    bench.played.answers = [failing()]
    bench.send()
    bench.now += 1
    bench.tell(bench.event(2), bench.event(3, message=OTHER))
    bench.send()
    bench.played.answers = [failing()]
    bench.send(later=4)
    bench.send(later=299)
    assert bench.played.ids == [f"msg_{n}_{number}" for n in (1, 3, 1)]
    bench.send(later=1)
    assert bench.played.ids[3:] == [f"msg_1_{number}", f"msg_2_{number}"]


@pytest.mark.parametrize("seed", range(2))
def test_whatever_fails_each_message_is_told_in_order_and_nothing_is_left_out(bench: Bench, seed: int) -> None:
    number, chance = bench.add(), Random(seed)
    messages = [f"{n:026}" for n in range(5)]
    events: dict[str, list[str]] = {message: [] for message in messages}
    for event in range(100):
        message = chance.choice(messages)
        bench.tell(bench.event(event, message=message))
        events[message].append(f"msg_{event}_{number}")
        bench.played.answers = [failing() if chance.random() < 0.4 else OK for _ in range(5)]
        bench.send(later=chance.choice([0, 1, 10, 400]))
    while any(one.state == "waiting" for one in bench.facts(number)):
        bench.send(later=400)
    assert [one.state for one in bench.facts(number)] == ["delivered"] * 100
    for expected in events.values():
        last = [bench.played.ids[::-1].index(key) for key in expected]  # of each the call that was taken
        assert last == sorted(last, reverse=True)


def test_an_event_that_fails_for_good_lets_the_next_of_its_message_go(bench: Bench) -> None:
    number = bench.add()
    bench.tell(bench.event(1, "accepted"), bench.event(2))
    bench.played.answers = [failing()] * len(DELAYS)
    bench.send()
    for delay in DELAYS[:-1]:
        bench.send(later=delay)
    bench.tell(bench.event(3, message=OTHER))
    bench.send(later=300)
    bench.played.answers = [failing()]
    bench.send(later=DELAYS[-1] - 300)
    assert states(bench, number) == [(1, "failed", 8), (2, "delivered", 1), (3, "delivered", 1)]


def test_one_that_answers_gone_is_switched_off_at_once_with_one_notice(bench: Bench) -> None:
    number = bench.add()
    bench.tell(bench.event(1), bench.event(2), bench.event(3, message=OTHER))
    bench.played.answers = [failing(410)]
    bench.send()
    bench.send(later=DAY)
    assert len(bench.played.calls) == 1
    assert bench.endpoint(number).off == "answered 410 Gone"
    assert [one.answer for one in bench.facts(number)] == ["410 oh dear?", *["not sent: answered 410 Gone"] * 2]
    (texts,) = notices(bench)
    assert URL in texts["en"][1]
    assert "(410)" in texts["de"][1]
    for _, text in texts.values():
        for command in (
            f"enable {number}",
            f"replay {number} --failed",
            f"replay {number} --since 2027-01-15T08:00:00.000Z",
        ):
            assert f"`postmeter webhook {command}`" in text


def test_one_that_takes_nothing_for_a_day_is_switched_off_with_one_notice(bench: Bench) -> None:
    number = bench.add()
    bench.played.always = failing()
    bench.tell(bench.event(1), bench.event(2, message=OTHER))
    while bench.endpoint(number).off == "":
        bench.send(later=300)
    assert 24 < (bench.now - NOW) / 3600 < 29
    assert bench.endpoint(number).off == "took nothing for more than a day"
    assert len(notices(bench)) == 1
    assert {one.state for one in bench.facts(number)} == {"failed"}


def test_one_that_takes_nothing_is_switched_off_however_much_there_is_to_tell(bench: Bench) -> None:
    number = bench.add()
    bench.played.always = failing()
    for first in range(0, 1200, 10):  # 1,000 a day: the new ones are always before the retries
        bench.tell(*[bench.event(first + n, message=f"{first + n:026}") for n in range(10)])
        bench.send(later=864)
        if bench.endpoint(number).off:
            break
    assert 27 < (bench.now - NOW) / 3600 < 29
    assert {one.state for one in bench.facts(number)} == {"failed"}
    assert len(notices(bench)) == 1


def test_one_that_fails_now_and_then_stays_on(bench: Bench) -> None:
    number = bench.add()
    for event in range(100):
        bench.tell(bench.event(event, message=f"{event:026}"))
        bench.played.answers = [failing(), failing()] if event % 10 else []
        bench.send(later=3600)
    assert bench.endpoint(number).off == ""


def test_what_came_to_nothing_long_ago_does_not_count_like_failing_ever_since(bench: Bench) -> None:
    number = bench.add()
    bench.tell(bench.event(1))
    bench.played.answers = [failing()]
    bench.send()
    for delay in DELAYS:
        bench.tell(bench.event(delay, message=OTHER))
        bench.send()
        bench.played.answers = [failing()]
        bench.send(later=delay)
    bench.now += 10 * DAY
    bench.tell(bench.event(2))
    bench.played.answers = [failing()]
    bench.send()
    assert bench.endpoint(number).off == ""
    bench.send(later=5)
    assert states(bench, number)[-1] == (2, "delivered", 2)


def test_one_that_takes_other_events_stays_on(bench: Bench) -> None:
    number = bench.add()
    bench.tell(bench.event(1))
    bench.played.answers = [failing()]
    bench.send()
    for n, delay in enumerate(DELAYS):
        bench.now += delay / 2
        bench.tell(bench.event(10 + n, message=OTHER))
        bench.send()
        bench.played.answers = [failing()]
        bench.send(later=delay / 2)
    assert states(bench, number)[0] == (1, "failed", 8)
    assert bench.endpoint(number).off == ""
    assert notices(bench) == []


def test_one_that_was_switched_on_again_has_a_day_again(bench: Bench) -> None:
    number = bench.add()
    bench.played.always = failing()
    bench.tell(bench.event(1))
    bench.send()
    for delay in DELAYS[:-1]:
        bench.send(later=delay)
    with bench.core.write() as session:
        endpoints.switch_on(session, number, bench.now)
    bench.send(later=DELAYS[-1])
    assert states(bench, number) == [(1, "failed", 8)]
    assert bench.endpoint(number).off == ""


def test_retry_after_keeps_everything_from_an_endpoint_for_that_long(bench: Bench) -> None:
    number = bench.add()
    bench.tell(bench.event(1), bench.event(2, message=OTHER))
    bench.played.answers = [failing(429, retry_after="120")]
    bench.send()
    bench.send(later=119)
    assert bench.played.ids == [f"msg_1_{number}"]
    bench.send(later=1)
    assert sorted(bench.played.ids[1:]) == [f"msg_1_{number}", f"msg_2_{number}"]


def test_one_that_is_down_is_not_called_with_all_that_waits(bench: Bench) -> None:
    bench.add()
    bench.tell(*[bench.event(n, message=f"{n:026}") for n in range(100)])
    bench.played.always = failing()
    bench.send()
    assert len(bench.played.calls) == 3
    bench.send(later=5)
    assert len(bench.played.calls) == 4
    bench.send(later=9)
    assert len(bench.played.calls) == 4
    bench.played.always = OK
    bench.send(later=1)
    bench.send(later=300)
    assert sum(one.state == "delivered" for one in bench.facts(1)) == 100


def test_a_success_clears_the_failures_in_a_row(bench: Bench) -> None:
    bench.add()
    bench.tell(*[bench.event(n, message=f"{n:026}") for n in range(40)])
    bench.played.answers = [failing(), failing(), OK] * 13
    bench.send()
    assert len(bench.played.calls) == 40


def test_what_came_of_a_batch_is_committed_after_a_second(bench: Bench) -> None:
    number = bench.add()
    bench.tell(*[bench.event(n, message=f"{n:026}") for n in range(20)])

    def half_a_second() -> None:
        bench.now += 0.5

    bench.played.meanwhile = half_a_second
    seen: list[int] = []
    record = deliveries.record

    def recorded(session: object, outcomes: list[object], now: float) -> None:
        seen.append(len(outcomes))
        record(session, outcomes, now)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deliveries, "record", recorded)
        bench.send()
    assert seen == [2] * 5  # the turn is over after five seconds
    bench.send()
    assert {one.state for one in bench.facts(number)} == {"delivered"}
