"""R25: an address is judged at every attempt, whatever it was at the one before (DNS rebinding)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import dns.rdata
import pytest

from postmeter.delivery.fair_queue import ANYBODY, Turn
from postmeter.delivery.resolver import Answer
from postmeter.delivery.route import NOT_PUBLIC, Router
from support.scheduling import DONE, LATER, Bench, delivery, leased

PUBLIC = "192.0.2.1"


class Zone:
    """A DNS whose owner answers as it suits him, and lets nobody keep it."""

    def __init__(self) -> None:
        self.addresses = [PUBLIC]

    async def lookup(self, name: str, type: str, turn: Turn = ANYBODY) -> Answer:
        """See ``Lookup``."""
        said = {"MX": ["10 mx.evil.test."], "A": self.addresses}.get(type, [])
        records = tuple(dns.rdata.from_text("IN", type, text) for text in said)
        return Answer("ok" if records else "nodata", records)


@pytest.fixture
def zone() -> Zone:
    return Zone()


@pytest.fixture
def bench(zone: Zone) -> Bench:
    return Bench(router=Router(zone, {}, lambda names: None))


def attempt(bench: Bench, number: int) -> list[Any]:
    """The addresses that are contacted, if any."""
    one = leased("joe@evil.test")
    bench.take(replace(one, recipients=(replace(one.recipients[0], attempts=number),)))
    contacted = [host.address for where, _, _ in bench.pool.sent for host in where.hosts]
    for _, _, sent in bench.pool.sent:
        sent.callback(delivery(LATER if number == 0 else DONE, stage="rcpt" if number == 0 else "content"))
    bench.pool.sent.clear()
    bench.gather()
    return contacted


@pytest.mark.parametrize("inside", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "192.168.1.1"])
def test_a_server_that_was_public_and_is_inside_at_the_next_attempt_is_not_contacted(
    bench: Bench, zone: Zone, inside: str
) -> None:
    assert attempt(bench, 0) == [PUBLIC]
    zone.addresses = [inside]
    assert attempt(bench, 1) == []
    first, second = bench.writer.settled
    assert (first.state, second.state, second.reply) == ("deferred", "deferred", str(NOT_PUBLIC))
    assert not second.transmitted
    assert bench.empty


def test_of_a_server_with_both_the_public_address_alone_is_contacted(bench: Bench, zone: Zone) -> None:
    assert attempt(bench, 0) == [PUBLIC]
    zone.addresses = ["127.0.0.1", PUBLIC]
    assert attempt(bench, 1) == [PUBLIC]
