"""The quota of a running relay, seen from outside: the hourly limit, a cap, and blocks that end while it runs."""

from __future__ import annotations

import smtplib
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from support.mail_sink import MailSink
from support.relay import ACCOUNT, Relay, wait_until
from support.shop import Shop


@pytest.fixture
def sink(tmp_path: Path) -> Iterator[MailSink]:
    """The recipients' server."""
    made = MailSink(tmp_path)
    yield made
    made.close()


@pytest.fixture
def shop(tmp_path: Path, sink: MailSink) -> Iterator[Shop]:
    """A customer who has not booked anything yet."""
    relay = Relay(tmp_path, f"127.0.0.1:{sink.port}", workers=2)
    try:
        relay.start()
        yield Shop(relay, relay.set_up(block=0))
        assert relay.stop() == 0
        assert "Traceback" not in relay.log()
    finally:
        relay.kill()


def arrived(sink: MailSink) -> int:
    """How many recipients were delivered to."""
    return sum(sink.copies().values())


def test_d41_and_d42_the_surplus_of_an_hour_waits_until_a_block_is_booked(shop: Shop, sink: MailSink) -> None:
    for n in range(2):
        shop.send(*(f"r{n}.{m}@example.net" for m in range(20)))
    wait_until(lambda: arrived(sink) == 25, 20, "the first 25")
    time.sleep(2)  # the workers look for what is due twice
    assert arrived(sink) == 25
    assert shop.relay.stats()["queued"] == 15
    assert [one["attempts"] for one in shop.relay.queue()["waiting"]] == [0] * 15
    shop.relay.cli("quota", "book", ACCOUNT, "25000")
    wait_until(lambda: arrived(sink) == 40, 20, "all 40")
    shop.send(*(f"more.{m}@example.net" for m in range(60)))
    wait_until(lambda: arrived(sink) == 100, 20, "all 100")
    assert max(sink.copies().values()) == 1


def test_over_its_cap_a_connection_is_told_450_and_another_one_is_not(shop: Shop) -> None:
    shop.relay.cli("quota", "book", ACCOUNT, "25000")
    shop.relay.cli("connection", "set", ACCOUNT, "web shop", "--per-month", "3")
    time.sleep(1.2)  # an access is remembered for a second
    shop.send("a@example.net", "b@example.net")
    with pytest.raises(smtplib.SMTPDataError) as refused:
        shop.send("c@example.net", "d@example.net")
    assert refused.value.smtp_code == 450
    assert b"3 recipients per month" in refused.value.smtp_error
    shop.send("e@example.net")
    assert shop.relay.stats()["arrived"] == 3


def test_blocks_end_and_renew_within_a_second_while_nobody_sends(shop: Shop) -> None:
    shop.relay.cli("quota", "book", ACCOUNT, "25000")
    end = time.time() + 1
    with closing(sqlite3.connect(shop.relay.database, timeout=10)) as database, database:
        times = (end - 30 * 86_400, end, end)
        database.execute("UPDATE block SET booked_at = ?, expires_at = ?, due_at = ?", times)

    def events_of_quota() -> list[tuple[str, float]]:
        with closing(sqlite3.connect(shop.relay.database, timeout=10)) as database:
            return database.execute("SELECT kind, at FROM event WHERE kind LIKE 'quota%' ORDER BY id").fetchall()

    events = wait_until(lambda: len(found := events_of_quota()) >= 4 and found, 20, lambda: f"{events_of_quota()}")
    assert [kind for kind, _ in events] == ["quota_booked"] * 2 + ["quota_expired", "quota_renewed"]
    assert [at for _, at in events[2:]] == [end] * 2
    assert [block["left"] for block in shop.relay.cli("quota", "show", ACCOUNT)["blocks"]] == [25_000]
