"""What a worker gets for its settings: nothing without pools, sources without caps, or sources that warm up."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator

import pytest
from twisted.internet.defer import fail, succeed

from postmeter.config import Delivery
from postmeter.delivery.desk import REPORT_EVERY
from postmeter.delivery.sourcing import Sourcing
from postmeter.delivery.warm_up import EVERY
from postmeter.store import sources
from postmeter.store.engine import Store
from postmeter.store.sources import Figures, Key, day_of
from postmeter.store.warm_up import warmth

POOLS = {"transactional": "127.0.0.2=mx1.test"}


@pytest.fixture
def store(sqlite_url: str) -> Iterator[Store]:
    """A store, open."""
    opened = Store.open(sqlite_url)
    yield opened
    opened.close()


def test_without_pools_there_is_nothing_to_do(store: Store) -> None:
    made = Sourcing.of(Delivery(), store, lambda _: succeed(None), time.time)
    assert (made, made.loops, made.report) == (Sourcing(), [], (REPORT_EVERY, None))


def test_without_warm_up_only_the_addresses_are_looked_at(store: Store) -> None:
    made = Sourcing.of(Delivery(pools=POOLS, warm_up=False), store, lambda _: fail(AssertionError()), time.time)
    assert made.report == (REPORT_EVERY, None)
    assert made.loops == [(EVERY, made.look)]
    assert made.look().called


def test_a_worker_knows_from_the_start_how_warm_its_addresses_are(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    with store.write() as session:
        sources.add(session, [{Key("127.0.0.2", day_of(time.time()), "Google"): Figures(25)}])
        known = warmth(session, {"127.0.0.2"}, time.time())
    answers = [succeed(known), fail(RuntimeError("no database"))]
    made = Sourcing.of(Delivery(pools=POOLS), store, lambda _: answers.pop(0), time.time)
    assert made.warm_up is not None
    assert made.warm_up.use("127.0.0.2", "Google") == 0.5
    assert made.report == (EVERY, made.warm_up.reported)
    made.look()
    assert caplog.records == []
    made.look()
    assert [(one.levelno, "no database" in one.message) for one in caplog.records] == [(logging.ERROR, True)]
    assert made.warm_up.use("127.0.0.2", "Google") == 0.5
