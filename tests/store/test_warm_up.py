"""How warm our addresses are at each provider, by what left from there and how it was received."""

from __future__ import annotations

from dataclasses import replace

import pytest

from postmeter.errors import UsageError
from postmeter.store import sources, warm_up
from postmeter.store.engine import Store
from postmeter.store.sources import DAY, Figures, Key, day_of
from postmeter.store.warm_up import REMEMBERED, WARM, Level, Warmth, ramp
from support.accepting import NOW

ONE, TWO = "192.0.2.1", "2001:db8::1"
TODAY = day_of(NOW)
WELL = Figures(200, 198, 2, 4, 0, 4, NOW)  # as much as is still all right
REFUSED, LIMITED = Figures(200, 197, 3, 0, 0, 0, NOW), Figures(200, 195, 0, 5, 0, 5, NOW)


def use(store: Store, days: dict[int, Figures], address: str = ONE, provider: str = "Google") -> None:
    """So many days ago that was sent."""
    with store.write() as session:
        sources.add(session, [{Key(address, TODAY - back * DAY, provider): one for back, one in days.items()}])


def look(store: Store, now: float = NOW) -> Warmth:
    with store.read() as session:
        found = warm_up.warmth(session, (ONE, TWO), now)
        for before in (replace(found, levels={}, day=0), found):
            assert warm_up.refreshed(session, before, (ONE, TWO), now) == found
    return found


def test_during_a_day_only_its_own_use_and_declarations_are_read_anew(store: Store) -> None:
    use(store, {0: WELL, 1: WELL})
    known = look(store)
    use(store, {0: WELL})
    use(store, {0: WELL}, address=TWO)
    with store.write() as session:
        warm_up.declare(session, TWO, NOW, "operator")
    with store.read() as session:
        assert warm_up.refreshed(session, known, (ONE, TWO), NOW) == look(store)


def test_the_ramp_doubles_and_then_grows_by_half() -> None:
    assert [ramp(day) for day in (1, 2, 3, 8, 9, 10)] == [50, 100, 200, 6_400, 9_600, 14_400]


def test_each_day_of_use_is_a_step_at_that_provider(store: Store) -> None:
    use(store, {0: WELL, 1: WELL, 5: WELL})
    use(store, {0: WELL}, provider="Yahoo")
    use(store, {1: WELL}, address="192.0.2.99")
    found = look(store)
    assert found.levels == {(ONE, "Google"): Level(2, 200), (ONE, "Yahoo"): Level(0, 200)}
    assert (found.of(ONE, "Google").cap, found.of(ONE, "Yahoo").cap, found.of(TWO, "Google").cap) == (200, 50, 50)


@pytest.mark.parametrize("figures", [REFUSED, LIMITED])
def test_a_day_that_did_not_go_well_is_no_step(store: Store, figures: Figures) -> None:
    use(store, {1: figures, 2: WELL, 3: WELL})
    assert look(store).of(ONE, "Google") == Level(2, 0, paused=True)
    use(store, {0: WELL})
    assert look(store, NOW + DAY).of(ONE, "Google") == Level(3, 0)


def test_an_address_is_warm_after_a_month_of_use_and_forgotten_after_three(store: Store) -> None:
    use(store, dict.fromkeys(range(1, WARM), WELL))
    assert not look(store).of(ONE, "Google").warm
    use(store, {0: WELL})
    level = look(store, NOW + DAY).of(ONE, "Google")
    assert (level.days, level.warm, level.cap) == (WARM, True, None)
    assert look(store, NOW + REMEMBERED + DAY).levels == {}


def test_an_address_is_warm_on_an_operators_word_until_that_is_taken_back(store: Store) -> None:
    use(store, {0: WELL})
    with store.write() as session:
        assert warm_up.declare(session, " 2001:DB8:0::1 ", NOW, "operator") == TWO
        warm_up.declare(session, ONE, NOW, "operator")
        warm_up.declare(session, ONE, NOW + 1, "operator")
    found = look(store)
    assert found.of(TWO, "Yahoo").cap is None
    assert found.of(ONE, "Google") == Level(0, 200, declared=True)
    with store.write() as session:
        assert warm_up.take_back(session, ONE) == ONE
    assert look(store).of(ONE, "Google").cap == 50
    with store.write() as session, pytest.raises(UsageError, match=r"nobody has declared 192\.0\.2\.1 warm"):
        warm_up.take_back(session, ONE)
    with store.write() as session, pytest.raises(UsageError, match="'mx1' is no address such as"):
        warm_up.declare(session, "mx1", NOW, "operator")
