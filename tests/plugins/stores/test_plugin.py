"""The hooks: an order number on the way in, events on the way out, and no question to the database for either."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import pytest_twisted
from sqlalchemy.exc import OperationalError

from plugins.stores.bench import Bench
from plugins.stores.fakes.base import away
from plugins.stores.fakes.woocommerce import FakeWooCommerce
from postmeter import Message
from postmeter.asking import encode_fields
from postmeter.store import tables
from postmeter_stores.directory import FRESH
from postmeter_stores.queue import change_shop
from support.postage import rows

MESSAGE = Message("01M845D52EFTKSJPV36DHCW3RR", 1, 0, "", (), b"Subject: Order #1234\r\n\r\n", 24)
PATTERN = ("--pattern", r"Order #(\d+)")


def asked(bench: Bench, connection: str = "shop", **more: Any) -> list[tuple[str, str]]:
    """What the plugin adds to a message of that connection."""
    message = replace(MESSAGE, connection_id=bench.connections[connection], **more)
    return bench.plugin.on_accept(message)


def test_the_pattern_of_a_connection_names_the_order(bench: Bench, woo: FakeWooCommerce) -> None:
    bench.connect("woocommerce", woo, *PATTERN)
    fields = asked(bench)
    assert fields == [("X-Postmeter-Ref", "order:1234")]
    assert encode_fields(fields).reference == "order:1234"
    assert asked(bench, header=b"Subject: hello\r\n\r\n", body=b"about Order #77.\r\n") == [
        ("X-Postmeter-Ref", "order:77")
    ]
    assert asked(bench, header=b"Subject: hello\r\n\r\n") == []
    assert asked(bench, connection="forum") == []


def test_the_senders_own_reference_counts(lite: Bench, woo: FakeWooCommerce) -> None:
    lite.connect("woocommerce", woo, *PATTERN)
    assert asked(lite, reference="order:5") == []


def test_without_a_pattern_no_message_is_read(lite: Bench, woo: FakeWooCommerce) -> None:
    lite.connect("woocommerce", woo)
    assert asked(lite) == []


def test_connections_with_a_shop_are_followed_until_it_is_disconnected(bench: Bench, woo: FakeWooCommerce) -> None:
    assert bench.plugin.by_connection()
    bench.connect("woocommerce", woo)
    assert [(one.connection_id, one.plugin) for one in rows(bench.store, tables.Followed)] == [
        (bench.connections["shop"], "stores")
    ]
    assert bench.run("disconnect", "acme", "shop").exit_code == 0
    assert rows(bench.store, tables.Followed) == []


def test_a_change_is_known_within_seconds_and_no_message_asks_the_database(
    lite: Bench, woo: FakeWooCommerce, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = []
    read = lite.core.store.read
    monkeypatch.setattr(lite.core.store, "read", lambda: reads.append(1) or read())
    for _ in range(50):
        assert asked(lite) == []
    assert len(reads) == 1
    lite.connect("woocommerce", woo, *PATTERN)
    assert asked(lite) == []
    lite.now += FRESH
    reads.clear()
    for _ in range(50):
        assert asked(lite)
    assert len(reads) == 1


def test_deliveries_are_written_on_wish_only(bench: Bench, woo: FakeWooCommerce) -> None:
    bench.connect("woocommerce", woo)
    bench.happen("delivered")
    assert bench.notes == []
    bench.connect("woocommerce", woo, "--deliveries")
    bench.now += FRESH
    bench.happen("delivered")
    bench.happen("expired")
    assert [(note.kind, note.reference) for note in bench.notes] == [
        ("delivered", "order:1234"),
        ("expired", "order:1234"),
    ]


def test_a_run_of_events_is_written_in_one_transaction(
    bench: Bench, woo: FakeWooCommerce, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.connect("woocommerce", woo)
    writes = []
    write = bench.core.store.write
    monkeypatch.setattr(bench.core.store, "write", lambda: writes.append(1) or write())
    bench.tell(*[bench.event() for _ in range(200)])
    assert (len(writes), len(bench.notes)) == (1, 200)
    bench.plugin.flush()
    assert len(writes) == 1


def test_what_could_not_be_written_is_told_again_and_is_there_once(
    bench: Bench, woo: FakeWooCommerce, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.connect("woocommerce", woo)
    told = [bench.event(), bench.event()]

    def full() -> Any:
        raise OperationalError("INSERT", {}, OSError("disk full"))

    with monkeypatch.context() as patch:
        patch.setattr(bench.core.store, "write", full)
        with pytest.raises(OperationalError):
            bench.tell(*told)
    bench.tell(*told)
    bench.tell(told[0])
    assert len(bench.notes) == 2


def test_an_event_of_a_message_that_was_deleted_meanwhile_is_passed_over(lite: Bench, woo: FakeWooCommerce) -> None:
    lite.connect("woocommerce", woo)
    lite.happen(recipient=None)
    assert lite.notes == []


def test_a_pattern_that_is_not_taken_any_more_stops_no_mail(
    lite: Bench, woo: FakeWooCommerce, caplog: pytest.LogCaptureFixture
) -> None:
    lite.connect("woocommerce", woo, *PATTERN)
    with lite.store.write() as session:
        change_shop(session, lite.connections["shop"], pattern="(")
    assert asked(lite) == []
    assert "an order pattern is passed over" in caplog.text


@pytest_twisted.ensureDeferred
async def test_the_job_writes(lite: Bench, woo: FakeWooCommerce) -> None:
    lite.connect("woocommerce", woo)
    lite.happen()
    (job,) = lite.plugin.jobs()
    assert (job.name, job.every) == ("write", 2.0)
    await away(job.run, lite.now)
    assert len(woo.texts(1234)) == 1
