"""Trouble with shops: each kind of it is met with as much patience as it asks for."""

from __future__ import annotations

import json
import threading
from math import inf
from typing import Any

import pytest
import pytest_twisted

from plugins.stores.bench import Bench
from plugins.stores.fakes.base import Answer, away
from plugins.stores.fakes.prestashop import FakePrestaShop
from plugins.stores.fakes.woocommerce import FakeWooCommerce
from postmeter import fetch
from postmeter_stores import queue, writer
from postmeter_stores.settings import Settings
from postmeter_stores.writer import AGAIN, FIRST_PAUSE, LONGEST_PAUSE, Writer

HOUR, DAY = 3_600.0, 86_400.0
BUSY = Answer(503, {"message": "Briefly unavailable for scheduled maintenance."})
REFUSED = Answer(401, {"message": "Sorry, you cannot list resources."})


@pytest_twisted.ensureDeferred
async def test_a_shop_may_say_when_to_come_again(bench: Bench, woo: FakeWooCommerce) -> None:
    bench.connect("woocommerce", woo)
    woo.trouble = [Answer(429, {"message": "slow down"}, {"Retry-After": "600"})]
    bench.happen()
    await bench.write()
    bench.happen()
    await bench.write(599)
    assert len(woo.asked) == 1
    await bench.write(1)
    assert len(woo.texts(1234)) == 2
    assert (bench.shop.failures, bench.shop.said) == (0, "")


@pytest_twisted.ensureDeferred
async def test_a_shop_that_is_down_is_asked_ever_more_seldom(lite: Bench, woo: FakeWooCommerce) -> None:
    lite.connect("woocommerce", woo)
    lite.happen()
    woo.before = lambda asked: woo.trouble.append(BUSY)
    await lite.write()
    for tries in range(1, 14):
        assert len(woo.asked) == tries
        assert "Briefly unavailable" in lite.shop.said
        pause = min(FIRST_PAUSE * 2.0 ** (tries - 1), LONGEST_PAUSE)
        await lite.write(pause - 1)
        assert len(woo.asked) == tries
        await lite.write(1)
    assert (pause, lite.notices) == (LONGEST_PAUSE, [])


@pytest_twisted.ensureDeferred
async def test_a_note_that_always_makes_trouble_holds_up_no_other(lite: Bench, woo: FakeWooCommerce) -> None:
    woo.add(666)
    lite.connect("woocommerce", woo)
    woo.before = lambda asked: woo.trouble.append(BUSY) if "/666" in asked.path else None
    lite.happen(reference="order:666")
    for _ in range(3):
        lite.happen()
    await lite.write()
    assert woo.texts(1234) == []
    await lite.write(FIRST_PAUSE)
    assert len(woo.texts(1234)) == 3
    assert [note.state for note in lite.notes] == ["waiting", "written", "written", "written"]


@pytest_twisted.ensureDeferred
async def test_an_order_may_be_younger_than_its_mail(bench: Bench, woo: FakeWooCommerce) -> None:
    bench.connect("woocommerce", woo)
    bench.happen(reference="order:1300")
    await bench.write()
    assert bench.notes[0].said == "there is no order 1300"
    woo.add(1300)
    await bench.write(AGAIN[0])
    assert len(woo.texts(1300)) == 1


@pytest_twisted.ensureDeferred
async def test_an_order_that_never_comes_is_missing_and_not_looked_for_any_more(
    lite: Bench, woo: FakeWooCommerce
) -> None:
    lite.connect("woocommerce", woo)
    lite.happen(reference="order:1300")
    for after in (0.0, *AGAIN, DAY, DAY):
        await lite.write(after)
    (note,) = lite.notes
    assert (note.state, note.attempts, note.said) == ("missing", 4, "there is no order 1300")
    assert len(woo.asked) == 2 * 4  # by id and by search


@pytest_twisted.ensureDeferred
async def test_what_a_shop_does_not_take_is_not_sent_for_ever(lite: Bench, woo: FakeWooCommerce) -> None:
    lite.connect("woocommerce", woo)
    lite.happen()
    for after in (0.0, *AGAIN, DAY):
        woo.trouble = [None, None, Answer(422, {"message": "no such words"})]
        await lite.write(after)
    (note,) = lite.notes
    assert (note.state, note.attempts) == ("rejected", 4)
    assert note.said == "the shop does not take the request: 422 (no such words)"


@pytest_twisted.ensureDeferred
async def test_a_shop_that_refuses_the_log_in_for_hours_is_paused_and_the_admins_are_told_once(
    bench: Bench, woo: FakeWooCommerce
) -> None:
    bench.connect("woocommerce", woo)
    bench.happen()
    woo.before = lambda asked: woo.trouble.append(REFUSED)
    for _ in range(20):
        await bench.write(HOUR)
        if bench.shop.paused:
            break
        assert bench.notices == []
    assert bench.own.pause_hours <= (bench.now - bench.shop.refused_since) / HOUR < 2 * bench.own.pause_hours + 1  # type: ignore[operator]
    (notice,) = bench.notices
    assert notice["plugin"] == "stores"
    assert notice["texts"]["en"][0] == "Order notes of shop are paused"
    assert "Sorry, you cannot list resources." in notice["texts"]["de"][1]
    for language, who in (("en", "ask your provider"), ("de", "bitten Sie Ihren Anbieter")):  # only he has the commands
        assert [who in part for part in notice["texts"][language][1].split("`postmeter store")] == [True, True, False]
    asked = len(woo.asked)
    await bench.write(DAY)
    assert (len(woo.asked), len(bench.notices), bench.notes[0].state) == (asked, 1, "waiting")


@pytest_twisted.ensureDeferred
async def test_a_short_refusal_pauses_nothing(lite: Bench, woo: FakeWooCommerce) -> None:
    lite.connect("woocommerce", woo)
    lite.happen()
    woo.trouble = [REFUSED, REFUSED, REFUSED]
    for _ in range(4):
        await lite.write(300)
    assert (lite.notes[0].state, lite.shop.refused_since, lite.notices) == ("written", None, [])


@pytest_twisted.ensureDeferred
async def test_trouble_in_between_begins_the_hours_of_refusal_anew(lite: Bench, woo: FakeWooCommerce) -> None:
    lite.connect("woocommerce", woo)
    lite.happen()
    for trouble in (REFUSED, REFUSED, BUSY, REFUSED):
        woo.trouble = [trouble]
        await lite.write(7 * HOUR)
    assert (lite.shop.paused, lite.shop.refused_since) == ("", lite.now)


@pytest_twisted.ensureDeferred
async def test_the_newest_order_is_the_same_in_every_attempt(bench: Bench, woo: FakeWooCommerce) -> None:
    bench.connect("woocommerce", woo)
    bench.happen(reference="")
    woo.trouble = [None, BUSY]
    await bench.write()
    assert bench.notes[0].number == "1234"
    woo.add(1300)
    await bench.write(FIRST_PAUSE)
    assert (len(woo.texts(1234)), len(woo.texts(1300))) == (1, 0)


@pytest_twisted.ensureDeferred
async def test_a_slow_shop_delays_no_other(
    bench: Bench, woo: FakeWooCommerce, presta: FakePrestaShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "PATIENCE", 0.1)
    go_on, entered = threading.Event(), []

    def slow(method: str, url: str, **more: Any) -> Any:
        if url.startswith(woo.base):
            entered.append(url)
            go_on.wait(20)
        return fetch(method, url, **more)

    bench.connect("woocommerce", woo)
    bench.connect("prestashop", presta, connection="forum")
    bench.writer.fetch = slow
    bench.happen()
    await away(bench.writer.run, bench.now)
    for _ in range(3):
        bench.happen(connection="forum", reference="order:XKBKNABJK")
        await away(bench.writer.run, bench.now)
    while len(presta.texts(5)) < 3 or not entered:
        await away(bench.writer.run, bench.now)
    assert (len(presta.texts(5)), len(entered), woo.asked) == (3, 1, [])
    go_on.set()
    await away(bench.writer.join, 20)
    assert len(woo.texts(1234)) == 1


@pytest_twisted.ensureDeferred
async def test_no_more_shops_than_threads_are_written_to(
    lite: Bench, woo: FakeWooCommerce, presta: FakePrestaShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "PATIENCE", 0.05)
    go_on, entered = threading.Event(), []

    def slow(method: str, url: str, **more: Any) -> Any:
        entered.append(url)
        go_on.wait(20)
        return fetch(method, url, **more)

    lite.connect("woocommerce", woo)
    lite.connect("prestashop", presta, connection="forum")
    lite.writer = Writer(lite.core, type(lite.own)(allow_private=True, threads=1), slow)
    lite.happen()
    lite.happen(connection="forum")
    while not entered:
        await away(lite.writer.run, lite.now)
    await away(lite.writer.run, lite.now)
    assert len(entered) == 1
    go_on.set()
    await away(lite.writer.join, 20)


@pytest_twisted.ensureDeferred
async def test_shops_without_trouble_come_first(lite: Bench, woo: FakeWooCommerce, presta: FakePrestaShop) -> None:
    lite.connect("woocommerce", woo)
    lite.happen()
    lite.happen()
    woo.trouble = [BUSY]
    await lite.write()
    lite.now += FIRST_PAUSE
    lite.connect("prestashop", presta, connection="forum")
    lite.happen(connection="forum")
    with lite.store.read() as session:
        both = [lite.connections["forum"], lite.connections["shop"]]
        assert queue.ready(session, lite.now, 5) == both
        assert queue.ready(session, lite.now, 1) == both[:1]


@pytest_twisted.ensureDeferred
async def test_what_waits_too_long_is_given_up_and_what_ended_is_forgotten(bench: Bench, woo: FakeWooCommerce) -> None:
    bench.connect("woocommerce", woo)
    bench.happen()
    await bench.write()
    bench.happen()
    woo.before = lambda asked: woo.trouble.append(BUSY)
    await bench.write()
    await bench.write(bench.own.give_up_days * DAY + 1)
    assert [note.state for note in bench.notes] == ["written", "given up"]
    await bench.write(bench.own.keep_days * DAY - 60)
    assert [note.state for note in bench.notes] == ["given up"]
    await bench.write(HOUR)
    assert bench.notes == []


HUGE = {"id": inf, "number": "1234", "orders": [{"id": inf}], "items": [{"entity_id": inf}]}
HUGE |= {"access_token": "x", "expires_in": 10**400}


@pytest.mark.parametrize(
    "body",
    [
        json.dumps(HUGE).replace("Infinity", "1e999"),
        "null",
        "[]",
        "{}",
        '"x"',
        "1",
        "[1]",
        '[{"id": []}]',
        '{"items": 5, "data": 5}',
        "<html>",
        "[" * 9_999,
    ],
)
@pytest.mark.parametrize("kind", ["woocommerce", "shopware", "magento", "prestashop"])
@pytest_twisted.ensureDeferred
async def test_whatever_a_shop_answers_its_notes_wait(
    lite: Bench, woo: FakeWooCommerce, kind: str, body: str, caplog: pytest.LogCaptureFixture
) -> None:
    lite.connect(kind, woo)
    lite.happen()
    lite.happen(reference="")
    woo.before = lambda asked: woo.trouble.append(Answer(200, body))
    for _ in range(2):
        await lite.write(FIRST_PAUSE)
    assert {note.state for note in lite.notes} == {"waiting"}
    assert "could not be written to now" not in caplog.text
    assert woo.wrong == []


@pytest.mark.parametrize("number", ["\0", "\ud800", "1" * 100_000, ""])
@pytest_twisted.ensureDeferred
async def test_an_order_may_have_any_number(bench: Bench, woo: FakeWooCommerce, number: str) -> None:
    woo.add(1300)
    woo.orders[1300]["number"] = number
    bench.connect("woocommerce", woo)
    bench.happen(reference="")
    woo.trouble = [None, Answer(404, {"code": "woocommerce_rest_order_invalid_id"})]
    await bench.write()
    assert (bench.notes[0].state, bench.notes[0].number) == ("waiting", "")
    await bench.write(AGAIN[0])
    assert (bench.notes[0].state, len(woo.texts(1300))) == ("written", 1)


@pytest_twisted.ensureDeferred
async def test_a_shop_that_was_connected_anew_is_asked_with_the_new_credentials(
    lite: Bench, woo: FakeWooCommerce
) -> None:
    lite.connect("woocommerce", woo, secret="old")
    lite.happen()
    await lite.write()
    assert lite.shop.failures == 1
    lite.connect("woocommerce", woo)
    await lite.write()
    assert lite.notes[0].state == "written"


@pytest_twisted.ensureDeferred
async def test_what_was_wrong_with_the_old_credentials_is_not_told_of_the_new_ones(
    bench: Bench, woo: FakeWooCommerce
) -> None:
    bench.connect("woocommerce", woo, secret="old")
    bench.happen()
    await bench.write()
    await bench.write(HOUR)
    bench.writer.own = Settings(allow_private=True, pause_hours=0)
    woo.before = lambda asked: bench.connect("woocommerce", woo)
    await bench.write(HOUR)
    assert (bench.shop.paused, bench.shop.failures, bench.shop.leased_until, bench.notices) == ("", 0, 0.0, [])


@pytest_twisted.ensureDeferred
async def test_nothing_to_do_writes_nothing(lite: Bench, woo: FakeWooCommerce, monkeypatch: pytest.MonkeyPatch) -> None:
    def write() -> None:
        raise AssertionError

    lite.connect("woocommerce", woo)
    monkeypatch.setattr(lite.core.store, "write", write)
    await lite.write()
    await lite.write(DAY)
    assert woo.asked == []
