"""SIGTERM while a mail server keeps us waiting: the relay does not wait with it, and the mail is not lost."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from chaos.ledger import Books, Promised, faults
from chaos.load import order_mail
from support.mail_sink import Link, MailSink
from support.relay import Relay, wait_until
from support.shop import Shop

DRAIN = 2  # seconds that a stopping relay gives mail under way
RECIPIENT = "anna@kunde.example"


@pytest.fixture
def sink(tmp_path: Path) -> Iterator[MailSink]:
    """Recipients whose server answers the final dot long after the relay has stopped to wait."""
    made = MailSink(tmp_path)
    made.delay = DRAIN + 3.0
    yield made
    made.close()


@pytest.fixture
def relay(tmp_path: Path, sink: MailSink) -> Iterator[Relay]:
    """A running relay that waits two seconds only."""
    made = Relay(tmp_path, f"127.0.0.1:{sink.port}", workers=1, settings={"server": f"drain_timeout = {DRAIN}"})
    try:
        made.start()
        yield made
    finally:
        made.kill()


@pytest.fixture
def shop(relay: Relay) -> Shop:
    """A customer."""
    return Shop(relay, relay.set_up())


@pytest.fixture
def dot(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set when the mail server has a whole content, which it has not answered yet."""
    complete, read = threading.Event(), Link.content

    def content(link: Link) -> bytes:
        octets = read(link)
        complete.set()
        return octets

    monkeypatch.setattr(Link, "content", content)
    return complete


def one_recipient(relay: Relay) -> sqlite3.Row:
    """The recipient's row."""
    (row,) = Books.read(relay.database).recipients
    assert isinstance(row, sqlite3.Row)
    return row


def let_the_wait_be_over(relay: Relay) -> None:
    """As if the quarter of an hour had passed that a copy in doubt has to show up."""
    with closing(sqlite3.connect(relay.database)) as connection, connection:
        connection.execute("UPDATE recipient SET next_attempt_at = ?", (time.time(),))


def test_a_mail_under_way_at_the_end_is_in_doubt_and_delivered_after_the_next_start(
    shop: Shop, sink: MailSink, dot: threading.Event
) -> None:
    relay = shop.relay
    promised = Promised(shop.send(RECIPIENT, content=order_mail(1)), "1", (RECIPIENT,))
    assert dot.wait(20)
    began = time.monotonic()
    assert relay.stop() == 0
    assert DRAIN - 0.5 < time.monotonic() - began < DRAIN + 8
    row = one_recipient(relay)
    assert (row["state"], row["attempts"], row["in_doubt"], row["lease_owner"]) == ("deferred", 1, 1, None)
    assert row["next_attempt_at"] - time.time() > 900 - 10
    wait_until(lambda: sink.to(RECIPIENT), 20, "the copy that nobody waited for")
    assert faults([promised], sink.received, Books.read(relay.database), time.time()) == []

    sink.delay = 0.0
    let_the_wait_be_over(relay)
    relay.start()
    wait_until(lambda: one_recipient(relay)["state"] == "delivered", 20, relay.log)
    assert faults([promised], sink.received, Books.read(relay.database), time.time()) == []
    first, second = sink.to(RECIPIENT)
    assert first.content == second.content
    events = relay.message(promised.id)["events"]
    assert [event["kind"] for event in events] == ["accepted", "deferred", "delivered"]
    assert [event["facts"].get("possible_duplicate", False) for event in events] == [False, True, False]
    assert [event["facts"].get("in_doubt_before", 0) for event in events] == [0, 0, 1]
    assert relay.stop() == 0
    assert "Traceback" not in relay.log()
