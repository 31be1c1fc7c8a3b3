"""Warm-up in one worker: what it has used of a cap, by the store and by itself, and how long mail waits for room."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred, ensureDeferred, succeed
from twisted.internet.task import Clock

from postmeter.delivery.warm_up import PATIENCE, WarmUp, limits, waits_until
from postmeter.message.handling import BULK, URGENT
from postmeter.store.sources import DAY, Figures, Key
from postmeter.store.warm_up import WARM, Level, Warmth
from support.scheduling import leased

ONE, TWO = "192.0.2.1", "192.0.2.2"


class Office:
    """A warm-up whose look at the store the test answers."""

    def __init__(self, **levels: Level) -> None:
        self.clock = Clock()
        self.found: Any = Warmth(0, {(ONE, name): level for name, level in levels.items()}, frozenset((TWO,)))
        self.warm_up = WarmUp(self._read, self.clock.seconds, (ONE, TWO), self.found)

    def _read(self, function: Any) -> Deferred[Warmth]:
        assert function.keywords["addresses"] == (ONE, TWO)
        return self.found if isinstance(self.found, Deferred) else succeed(self.found)

    def used(self, today: int) -> None:
        """All workers together have reported so many attempts at Google."""
        self.found = replace(self.found, levels={(ONE, "Google"): Level(0, today)})

    @property
    def use(self) -> float:
        return self.warm_up.use(ONE, "Google")


def counted(attempts: int, day: int = 0) -> dict[Key, Figures]:
    return {Key(ONE, day, "Google"): Figures(attempts)}


def test_the_store_and_what_is_under_way_count() -> None:
    office = Office(Google=Level(1, 80))
    assert office.use == 0.8
    office.warm_up.begin(ONE, "Google", 20)
    assert (office.use, office.warm_up.use(ONE, "Yahoo")) == (1.0, 0.0)
    office.warm_up.end(ONE, "Google", 20, ONE)
    assert office.use == 1.0


def test_what_no_server_has_seen_does_not_count_and_what_left_from_elsewhere_counts_there() -> None:
    office = Office()
    office.warm_up.begin(ONE, "Google", 25)
    office.warm_up.end(ONE, "Google", 25, "")
    office.warm_up.begin("192.0.2.3", "Google", 10)
    office.warm_up.end("192.0.2.3", "Google", 10, ONE)
    assert office.use == 0.2


def test_a_warm_address_is_never_full() -> None:
    office = Office(Google=Level(WARM, 1_000_000))
    office.warm_up.begin(TWO, "Google", 1_000)
    assert (office.use, office.warm_up.use(TWO, "Google")) == (0.0, 0.0)


@pytest_twisted.ensureDeferred
async def test_what_was_reported_is_counted_once() -> None:
    office = Office()
    office.warm_up.begin(ONE, "Google", 25)
    office.warm_up.reported(counted(10))
    office.used(30)  # 20 of them are another worker's
    await office.warm_up.look()
    assert office.use == (30 + 15) / 50
    await office.warm_up.look()
    assert office.use == (30 + 15) / 50


def test_what_is_reported_during_a_look_is_counted_until_the_next() -> None:
    office = Office()
    office.warm_up.begin(ONE, "Google", 10)
    found, office.found = office.found, Deferred()
    looking = ensureDeferred(office.warm_up.look())
    office.warm_up.reported(counted(10))
    office.found.callback(found)
    office.found = found
    assert (looking.called, office.use) == (True, 0.2)
    office.used(10)
    ensureDeferred(office.warm_up.look())
    assert office.use == 0.2


def test_a_look_that_fails_is_made_up_for_by_the_next() -> None:
    office = Office()
    office.warm_up.begin(ONE, "Google", 10)
    office.warm_up.reported(counted(10))
    office.used(10)
    found, office.found = office.found, Deferred()
    looking = ensureDeferred(office.warm_up.look())
    looking.addErrback(lambda failure: failure.trap(RuntimeError))
    office.found.errback(RuntimeError("no database"))
    office.found = found
    ensureDeferred(office.warm_up.look())
    assert office.use == 0.2


@pytest_twisted.ensureDeferred
async def test_a_new_day_has_its_own_cap() -> None:
    office = Office(Google=Level(0, 50))
    office.warm_up.begin(ONE, "Google", 10)
    office.clock.advance(DAY)
    assert office.use == 0.2  # what is under way
    office.warm_up.reported(counted(10, day=0))
    office.found = Warmth(DAY, {(ONE, "Google"): Level(1, 7)}, frozenset())
    await office.warm_up.look()
    assert office.use == 0.07
    office.warm_up.begin(ONE, "Google", 3)
    office.warm_up.reported(counted(3, day=DAY))
    office.found = Warmth(DAY, {(ONE, "Google"): Level(1, 10)}, frozenset())
    await office.warm_up.look()
    assert office.use == 0.1


@pytest.mark.parametrize(
    ("reply", "limited"),
    [
        ("421 4.3.2 slow down", True),
        ("421 too many", True),
        ("450 4.7.0 [TSS04] deferred due to user complaints", True),
        ("450 4.7.28 unusual rate of mail", True),
        ("450 4.7.1 please come back", False),
        ("451 4.7.0 greylisted", False),
        ("451 4.7.5 TLS handshake failed", False),
        ("452 4.2.2 mailbox full", False),
        ("450", False),
    ],
)
def test_what_was_too_much_is_told_from_other_deferrals(reply: str, limited: bool) -> None:
    assert limits(reply) is limited


def test_mail_waits_once_and_never_longer_than_ten_minutes() -> None:
    message, [recipient] = (one := leased()).message, one.recipients
    waits = [waits_until(message, recipient, now, random) for now in (0.0, 299.0) for random in (0.0, 0.999)]
    assert waits == [300.0, PATIENCE * 0.9995] * 2
    assert waits_until(message, recipient, 300.0, 0.0) is None
    assert waits_until(message, replace(recipient, leaves_at=100.0), 300.0, 0.0) == 400.0


def test_mail_that_cannot_wait_does_not() -> None:
    message, [recipient] = (one := leased()).message, one.recipients
    assert waits_until(replace(message, priority=URGENT), recipient, 0.0, 0.5) is None
    assert waits_until(replace(message, priority=BULK), recipient, 0.0, 0.5) == 450.0
    assert waits_until(message, replace(recipient, attempts=1), 0.0, 0.5) is None
    assert waits_until(replace(message, lifetime=600), recipient, 0.0, 0.5) == 45.0  # a code to log in with
