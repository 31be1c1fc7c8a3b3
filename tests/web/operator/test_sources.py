"""Our addresses: what left from them, how much may leave from those of the pools, and what is missing."""

from __future__ import annotations

from dataclasses import replace

import attrs
import pytest

from postmeter.config import Delivery
from postmeter.store import sources, warm_up
from postmeter.store.sources import DAY, Figures, Key, day_of
from support.panel import NOW, Browser, House

PAGE = "/operator/sources/"
POOLS = {"transactional": "127.0.0.2=mx1.test 192.0.2.1=mx2.test", "bulk": "127.0.0.2=mx1.test"}
WELL = Figures(100, 99, 1, 0, 90, 0, NOW - 9)
TODAY = day_of(NOW)


def use(house: House, days: dict[int, Figures], provider: str = "Google", address: str = "127.0.0.2") -> None:
    """So much left so many days ago."""
    with house.store.write() as session:
        sources.add(session, [{Key(address, TODAY - back * DAY, provider): one for back, one in days.items()}])


@pytest.fixture
def pooled(house: House) -> House:
    """A house with pools of source addresses."""
    house.settings = attrs.evolve(house.settings, delivery=Delivery(pools=POOLS))
    return house


def test_caps_are_shown_where_they_hold(pooled: House, operator: Browser) -> None:
    use(pooled, {1: WELL, 0: replace(WELL, attempts=30)})
    use(pooled, {1: WELL, 0: WELL}, "Yahoo", "192.0.2.7")
    page = operator.get(PAGE).text
    assert "In transactional, bulk, as mx1.test." in page
    assert "Day 2 of 30." in page
    assert "50 mails a day at each provider first" in page
    assert page.count("warming up") == 1
    assert page.count('<th scope="col" class="number">Cap</th>') == 1
    assert page.index("127.0.0.2") < page.index("192.0.2.1") < page.index("192.0.2.7")


def test_what_is_full_or_does_not_grow_says_so(pooled: House, operator: Browser) -> None:
    use(pooled, {0: Figures(50, 50, last_at=NOW)})
    use(pooled, {1: Figures(100, 90, 10, last_at=NOW)}, "Yahoo")
    page = operator.get(PAGE).text
    assert "Its cap is reached" in page
    assert "the cap does not grow" in page


def test_warm_addresses_are_told_from_those_that_are_not_there(pooled: House, operator: Browser) -> None:
    use(pooled, dict.fromkeys(range(1, 31), WELL))
    page = operator.get(PAGE).text
    assert "Knows this address: no cap." in page
    assert page.count("not on this machine") == 1
    assert "Nothing has left from here yet." in page
    with pooled.store.write() as session:
        warm_up.declare(session, "127.0.0.2", NOW, "operator")
    assert "warm, by declaration" in operator.get(PAGE).text


def test_without_pools_nothing_is_capped(house: House, operator: Browser) -> None:
    assert "Nothing has left yet." in operator.get(PAGE).text
    use(house, {1: Figures(100, 90, 10, last_at=NOW)})
    use(house, {1: WELL}, "Yahoo")
    page = operator.get(PAGE).text
    assert "read what it said under Providers" in page
    assert "As it should be." in page
    assert "warming up" not in page
    assert ">Cap<" not in page


def test_without_warm_up_neither(house: House, request: pytest.FixtureRequest) -> None:
    house.settings = attrs.evolve(house.settings, delivery=Delivery(pools=POOLS, warm_up=False))
    use(house, {0: WELL})
    page = request.getfixturevalue("operator").get(PAGE).text
    assert "As it should be." in page
    assert ">Cap<" not in page
