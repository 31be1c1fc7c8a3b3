"""Endpoints are called in order, again after a failure, and never because of another endpoint later."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
import standardwebhooks
from sqlalchemy import select

from postmeter import FetchError
from postmeter.store.tables import Event as EventRow
from postmeter_webhooks import deliveries, endpoints, sending
from postmeter_webhooks.schedule import DELAYS
from postmeter_webhooks.sending import Sender
from postmeter_webhooks.signing import secret_text
from support.tenants import NOW, make_account
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


# Threads


class Threads:
    """Work that was begun and not done yet."""

    def __init__(self) -> None:
        self.begun: list[Callable[[], None]] = []

    def __call__(self, work: Callable[[], None]) -> None:
        self.begun.append(work)

    def finish(self, place: int = 0) -> None:
        self.begun.pop(place)()


def test_one_that_is_slow_delays_no_other_and_is_called_once_at_a_time(bench: Bench) -> None:
    slow, quick = bench.add("https://slow.example/"), bench.add("https://quick.example/")
    threads = Threads()
    bench.sender = Sender(bench.core, bench.played, lambda: 0.0, threads)
    bench.tell(bench.event(1))
    bench.send()
    assert len(threads.begun) == 2
    threads.finish(1)
    bench.tell(bench.event(2))
    bench.send()
    assert len(threads.begun) == 2
    threads.finish(1)
    assert [call.url for call in bench.played.calls] == ["https://quick.example/"] * 2
    assert [one.state for one in bench.facts(quick)] == ["delivered"] * 2
    threads.finish()
    assert [one.state for one in bench.facts(slow)] == ["delivered"] * 2


def test_no_account_takes_more_than_two_threads_and_all_together_eight(bench: Bench) -> None:
    with bench.core.write() as session:
        accounts = [make_account(session, f"a{n}").id for n in range(9)]
    for account in accounts:
        for _ in range(3):
            bench.add(account=account)
    here, threads = bench.account_id, Threads()
    bench.sender = Sender(bench.core, bench.played, lambda: 0.0, threads)
    bench.account_id = accounts[0]
    bench.tell(bench.event(1))
    bench.send()
    assert len(threads.begun) == 2
    for account in (*accounts[1:], here):
        bench.account_id = account
        bench.tell(bench.event(account + 10))
    bench.send()
    assert len(threads.begun) == 8
    while threads.begun:
        threads.finish()
        bench.send(later=1)
    assert len(bench.played.calls) == 27


def test_a_defect_ends_one_turn_and_is_logged(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.add()
    bench.tell(bench.event(1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deliveries, "record", lambda *_: 1 / 0)
        bench.send()
    assert "endpoint 1 could not be called now" in caplog.text
    bench.send()
    assert bench.facts(1)[0].state == "delivered"


def test_an_endpoint_for_which_there_was_no_thread_is_called_later(bench: Bench) -> None:
    def none(work: Callable[[], None]) -> None:
        raise RuntimeError("can't start new thread")

    bench.add()
    bench.tell(bench.event(1))
    sender = bench.sender
    sender._start = none
    with pytest.raises(RuntimeError):
        bench.send()
    sender._start = lambda work: work()
    bench.send()
    assert bench.facts(1)[0].state == "delivered"


def test_a_thread_of_its_own_does_the_work() -> None:
    done, where = threading.Event(), []

    def work() -> None:
        where.append(threading.current_thread().daemon)
        done.set()

    sending.in_thread(work)
    assert done.wait(10)
    assert where == [True]
