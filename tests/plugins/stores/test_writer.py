"""Writing what waits: once, in spite of crashes, however many write."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_twisted

from plugins.stores.bench import REPLY, Bench
from plugins.stores.fakes.base import Answer, away
from plugins.stores.fakes.woocommerce import FakeWooCommerce
from postmeter import FetchError, fetch
from postmeter_stores.writer import FIRST_PAUSE, LEASE, Writer
from support.postage import at_once

DAY = 86_400.0


@pytest_twisted.ensureDeferred
async def test_a_bounce_is_written_at_once_and_once(bench: Bench, woo: FakeWooCommerce) -> None:
    bench.connect("woocommerce", woo)
    event = bench.happen()
    await bench.write()
    (text,) = woo.texts(1234)
    assert f"Mail to joe@example.org bounced at 2027-01-15 08:00:00 UTC: {REPLY}" in text
    assert str(event.message_id) in text
    (note,) = bench.notes
    assert (note.state, note.attempts, note.ended_at, note.number) == ("written", 1, bench.now, "1234")
    bench.tell(event)
    await bench.write(DAY)
    assert len(woo.calls()) == 1


KINDS = {  # the kind, the fixture, and the order that is there
    "woocommerce": ("woo", "1234", lambda shop: shop.texts(1234)),
    "shopware": ("sw", "10023", lambda shop: [text for text in [shop.fields("10023").get("postmeter_log")] if text]),
    "magento": ("mage", "000000123", lambda shop: shop.texts("000000123")),
    "prestashop": ("presta", "XKBKNABJK", lambda shop: shop.texts(5)),
}


@pytest.mark.parametrize("status", [0, 401, 403, 429, 500, 503])
@pytest.mark.parametrize("kind", KINDS)
@pytest_twisted.ensureDeferred
async def test_every_kind_of_shop_is_written_to_once_whatever_trouble_it_had(
    lite: Bench, request: pytest.FixtureRequest, kind: str, status: int
) -> None:
    fixture, number, texts = KINDS[kind]
    fake = request.getfixturevalue(fixture)
    lite.connect(kind, fake)
    event = lite.happen(reference=f"order:{number}")
    if status:
        fake.trouble = [Answer(status, {"message": "not now"})]
        await lite.write()
        assert (lite.notes[0].state, lite.shop.failures, texts(fake)) == ("waiting", 1, [])
    await lite.write(FIRST_PAUSE)
    (text,) = texts(fake)
    assert str(event.message_id) in text
    assert (lite.notes[0].state, lite.shop.failures) == ("written", 0)


@pytest_twisted.ensureDeferred
async def test_who_dies_between_the_shops_answer_and_the_commit_writes_nothing_twice(
    bench: Bench, woo: FakeWooCommerce, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def die(*args: object) -> None:
        raise OSError("killed")

    bench.connect("woocommerce", woo)
    bench.happen()
    with monkeypatch.context() as patch:
        patch.setattr(Writer, "_record", die)
        await bench.write()
    assert (len(woo.texts(1234)), bench.notes[0].state) == (1, "waiting")
    bench.start()
    await bench.write(1)
    assert bench.notes[0].state == "waiting"  # the dead one's lease
    await bench.write(LEASE * bench.own.timeout)
    assert (len(woo.texts(1234)), bench.notes[0].state) == (1, "written")
    assert "could not be written to now" in caplog.text


@pytest_twisted.ensureDeferred
async def test_an_answer_that_was_lost_is_not_written_twice(bench: Bench, woo: FakeWooCommerce) -> None:
    def loses(method: str, url: str, **more: Any) -> Any:
        answer = fetch(method, url, **more)
        if method == "POST":
            bench.writer.fetch = fetch
            raise FetchError("the shop did not answer within 5 seconds")
        return answer

    bench.connect("woocommerce", woo)
    bench.writer.fetch = loses
    bench.happen()
    await bench.write()
    assert bench.notes[0].said == "the shop did not answer within 5 seconds"
    bench.start()
    await bench.write(FIRST_PAUSE)
    assert (bench.notes[0].state, len(woo.texts(1234)), len(woo.calls())) == ("written", 1, 1)


@pytest_twisted.ensureDeferred
async def test_two_processes_write_once(bench: Bench, woo: FakeWooCommerce) -> None:
    bench.connect("woocommerce", woo)
    for _ in range(5):
        bench.happen()
    writers = [Writer(bench.core, bench.own) for _ in range(3)]

    def work(n: int) -> None:
        writers[n].run(bench.now)
        writers[n].join(20)

    await away(at_once, work, 3)
    assert len(woo.texts(1234)) == len(woo.calls()) == 5
    assert {note.attempts for note in bench.notes} == {1}


@pytest_twisted.ensureDeferred
async def test_many_are_written_in_one_go(lite: Bench, woo: FakeWooCommerce, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("postmeter_stores.queue.BATCH", 3)
    lite.connect("woocommerce", woo)
    for _ in range(7):
        lite.happen()
    await lite.write()
    assert len(woo.texts(1234)) == 7
    assert lite.shop.leased_until == 0.0
