"""The whole relay on PostgreSQL: from the first start on an empty database to the death of a worker under load."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.mail_sink import MailSink
from support.postgres import Cluster
from support.relay import Relay, wait_until
from support.shop import Shop

UNDER_WAY = [f"kunde-{n}@kunde.example" for n in range(8)]


@pytest.fixture
def database(postgres: Cluster) -> Iterator[str]:
    """The URL of an empty database."""
    name = postgres.create()
    yield postgres.url(name)
    postgres.drop(name)


@pytest.fixture
def sink(tmp_path: Path) -> Iterator[MailSink]:
    """The recipients' mail server."""
    made = MailSink(tmp_path)
    yield made
    made.close()


@pytest.fixture
def relay(tmp_path: Path, sink: MailSink, database: str) -> Iterator[Relay]:
    """A running relay with two workers, which has made the tables."""
    made = Relay(tmp_path, f"127.0.0.1:{sink.port}", settings={"store": f'url = "{database}"'})
    try:
        made.start()
        yield made
    finally:
        made.kill()


@pytest.fixture
def shop(relay: Relay) -> Shop:
    """A customer."""
    return Shop(relay, relay.set_up())


def test_mail_is_delivered_and_counted_also_when_a_worker_is_killed(shop: Shop, sink: MailSink) -> None:
    relay = shop.relay
    first = shop.send("anna@kunde.example", "unknown@kunde.example")
    wait_until(lambda: relay.stats()["queued"] == 0, 20, relay.log)
    told = relay.stats()
    assert (told["arrived"], told["delivered"], told["bounced"]) == (2, 1, 1)
    assert [event["kind"] for event in relay.message(first)["events"][:1]] == ["accepted"]
    assert not relay.database.exists()

    sink.delay = 1.0
    for recipient in UNDER_WAY:
        shop.send(recipient)
    assert len(sink.copies()) < 1 + len(UNDER_WAY)
    killed = relay.kill_worker()
    sink.delay = 0.0
    wait_until(lambda: set(UNDER_WAY) <= set(sink.copies()), 20, lambda: f"{sink.copies()}\n{relay.log()}")
    wait_until(lambda: relay.stats()["queued"] == 0, 20, relay.log)
    told = relay.stats()
    assert (told["arrived"], told["delivered"], told["bounced"]) == (2 + len(UNDER_WAY), 1 + len(UNDER_WAY), 1)
    assert max(sink.copies().values()) <= 2
    assert killed not in relay.workers()
    assert relay.stop() == 0
    assert "Traceback" not in relay.log()
