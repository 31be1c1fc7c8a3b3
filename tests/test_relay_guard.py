"""The running relay and a connection that the guard has paused: all workers keep its mail back until it is resumed."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from support.mail_sink import MailSink
from support.relay import ACCOUNT, Relay, wait_until
from support.shop import Shop


@pytest.fixture
def sink(tmp_path: Path) -> Iterator[MailSink]:
    """The mail server of all domains."""
    made = MailSink(tmp_path)
    yield made
    made.close()


@pytest.fixture
def shop(sink: MailSink, tmp_path: Path) -> Iterator[Shop]:
    """A customer of a relay with two workers."""
    relay = Relay(tmp_path, f"127.0.0.1:{sink.port}", workers=2)
    try:
        relay.start()
        yield Shop(relay, relay.set_up())
        assert relay.stop() == 0
        assert "Traceback" not in relay.log()
    finally:
        relay.kill()


def stop(relay: Relay) -> None:
    """As the guard does, but that more mail is taken: so it waits for sure."""
    with closing(sqlite3.connect(relay.database, timeout=20)) as connection, connection:
        connection.execute("UPDATE connection SET stopped = 1")


def test_its_mail_waits_without_an_attempt_and_leaves_when_it_is_resumed(shop: Shop, sink: MailSink) -> None:
    relay = shop.relay
    shop.send("before@there.example")
    wait_until(lambda: sink.to("before@there.example"), 20, "the first mail")
    stop(relay)
    time.sleep(3)  # by then every worker knows
    sent = [shop.send(f"r{n}@there.example") for n in range(3)]  # to either worker

    def recipients() -> list[Any]:
        return [relay.message(identifier)["recipients"][0] for identifier in sent]

    wait_until(lambda: all("paused" in one["reply"] for one in recipients()), 20, lambda: f"{recipients()}")
    assert {(one["state"], one["attempts"], one["charge"]) for one in recipients()} == {("queued", 0, "reserved")}
    assert len(sink.received) == 1
    [name] = [one["name"] for one in relay.cli("connection", "list", ACCOUNT)]
    relay.cli("connection", "resume", ACCOUNT, name)
    wait_until(lambda: all(one["state"] == "delivered" for one in recipients()), 20, lambda: f"{recipients()}")
    assert len(sink.received) == 4
