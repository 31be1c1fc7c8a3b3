"""SIGKILL under load: what was answered 250 is delivered, hardly anything twice, and all books agree."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos.ledger import Books, faults, totals
from chaos.load import SENDER, Load
from support.mail_sink import MailSink
from support.relay import Relay, wait_until


@pytest.fixture
def sink(tmp_path: Path) -> Iterator[MailSink]:
    """Recipients whose server takes a moment for each mail."""
    made = MailSink(tmp_path)
    made.delay = 0.05
    yield made
    made.close()


@pytest.fixture
def relay(tmp_path: Path, sink: MailSink) -> Iterator[Relay]:
    """A running relay with two workers, whose guard does not mind that one address in ten is unknown."""
    made = Relay(tmp_path, f"127.0.0.1:{sink.port}", settings={"guard": "bounce_percent = 0"})
    try:
        made.start()
        yield made
        print(made.log()[-3000:])  # shown when the test fails
    finally:
        made.kill()


def most_copies(sink: MailSink) -> int:
    """How often the recipient was delivered to who was delivered to most often."""
    return max(number for address, number in sink.copies().items() if address != SENDER)


def settled(relay: Relay) -> bool:
    """Whether everything was tried."""
    states = Books.read(relay.database).states
    return not states["queued"] and not states["leased"]


def check(load: Load, sink: MailSink, relay: Relay) -> None:
    """AssertionError unless every promise is kept and database, log and commands tell the same."""
    assert faults(load.promised, sink.received, Books.read(relay.database), time.time()) == []
    told = relay.stats()
    assert {name: told[name] for name in totals(Books.read(relay.database))} == totals(Books.read(relay.database))
    delivered = sink.copies()
    missing = [
        recipient
        for one in load.promised
        for recipient in one.recipients
        if recipient.startswith("anna") and recipient not in delivered
    ]
    assert missing == []


def test_what_was_answered_250_survives_the_death_of_the_whole_relay(relay: Relay, sink: MailSink) -> None:
    load = Load(relay.set_up(), relay.certificate, mails=2_000)
    load.start()
    try:
        wait_until(lambda: len(load.promised) >= 250 and len(sink.received) >= 50, 30, lambda: f"load: {load.troubles}")
        relay.kill()
    finally:
        load.finish()
    lost = Books.read(relay.database)
    assert lost.states["leased"] + lost.states["queued"] > 0  # else nothing was under way
    relay.start()
    wait_until(lambda: settled(relay), 30, lambda: str(Books.read(relay.database).states))
    check(load, sink, relay)
    assert most_copies(sink) <= 2
    assert relay.stop() == 0
    check(load, sink, relay)


def test_the_death_of_one_worker_is_made_good_by_the_others(relay: Relay, sink: MailSink) -> None:
    load = Load(relay.set_up(), relay.certificate, mails=400)
    load.start()
    try:
        wait_until(lambda: len(load.promised) >= 100 and len(sink.received) >= 30, 30, lambda: f"load: {load.troubles}")
        killed = relay.kill_worker()
    finally:
        load.join()
    assert len(load.promised) + load.in_doubt == 400
    wait_until(lambda: settled(relay), 30, lambda: str(Books.read(relay.database).states))
    workers = wait_until(lambda: len(relay.workers()) == 2 and relay.workers(), 20, "two workers again")
    assert killed not in workers
    check(load, sink, relay)
    assert most_copies(sink) <= 2


def test_an_orderly_stop_under_load_makes_no_second_copies(relay: Relay, sink: MailSink) -> None:
    load = Load(relay.set_up(), relay.certificate, mails=2_000)
    load.start()
    try:
        wait_until(lambda: len(load.promised) >= 100 and len(sink.received) >= 30, 30, lambda: f"load: {load.troubles}")
        assert relay.stop() == 0
    finally:
        load.finish()
    assert not Books.read(relay.database).states["leased"]
    relay.start()
    wait_until(lambda: settled(relay), 30, lambda: str(Books.read(relay.database).states))
    check(load, sink, relay)
    assert most_copies(sink) == 1
