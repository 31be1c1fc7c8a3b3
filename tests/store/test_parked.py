"""Events that were set aside: the first of each lane comes up when its time has come, the others behind it."""

from __future__ import annotations

import pytest

from postmeter.store import events, parked
from postmeter.store.engine import Store
from postmeter.store.events import Fact
from postmeter.store.parked import Waiting
from postmeter.store.plugin_tables import DeadLetter, Parked
from postmeter.store.tables import Event
from support.listeners import happen
from support.postage import rows
from support.tenants import NOW


def facts(store: Store) -> list[Fact]:
    """All events."""
    with store.read() as session:
        found = events.these(session, [row.id for row in rows(store, Event)])
    return [found[number] for number in sorted(found)]


def due(store: Store, now: float = NOW, limit: int = 100) -> list[object]:
    """The names of those that are to be told now."""
    with store.read() as session:
        return [one.fact.facts["name"] for one in parked.due(session, "p", now, limit)]


@pytest.fixture
def waiting(store: Store) -> list[Fact]:
    """Five events of two messages and an account, which wait."""
    happen(store, "a1", message="a")
    happen(store, "b1", message="b")
    happen(store, "a2", message="a")
    happen(store, "x1", "x2", account=7)
    found = facts(store)
    with store.write() as session:
        parked.park(session, "p", [Waiting(fact, 0) for fact in found])
        parked.park(session, "q", [Waiting(found[4], 0)])
    return found


def test_the_first_of_each_lane_is_due(store: Store, waiting: list[Fact]) -> None:
    assert [fact.lane for fact in waiting] == ["a", "b", "a", "account 7", "account 7"]
    assert due(store) == ["a1", "b1", "x1"]
    assert due(store, limit=2) == ["a1", "b1"]


def test_one_that_failed_keeps_its_lane_waiting_until_its_time_comes(store: Store, waiting: list[Fact]) -> None:
    with store.write() as session:
        parked.postpone(session, "p", Waiting(waiting[0], 3), NOW + 8)
    assert due(store) == ["b1", "x1"]
    assert due(store, NOW + 8) == ["a1", "b1", "x1"]
    with store.read() as session:
        assert parked.due(session, "p", NOW + 8, 1) == [Waiting(waiting[0], 3)]


def test_who_is_released_makes_way(store: Store, waiting: list[Fact]) -> None:
    with store.write() as session:
        parked.release(session, "p", [waiting[0].id, waiting[1].id])
    assert due(store) == ["a2", "x1"]


def test_what_waits_already_is_not_parked_anew(store: Store, waiting: list[Fact]) -> None:
    with store.write() as session:
        parked.postpone(session, "p", Waiting(waiting[0], 3), NOW + 8)
        parked.park(session, "p", [Waiting(waiting[0], 0)])
    assert due(store) == ["b1", "x1"]


def test_the_lanes_of_others_are_free(store: Store, waiting: list[Fact]) -> None:
    with store.read() as session:
        assert parked.lanes(session, "p", waiting[:2]) == {"a", "b"}
        assert parked.lanes(session, "q", waiting) == {"account 7"}
        assert parked.lanes(session, "r", waiting) == set()
        assert parked.lanes(session, "p", []) == set()


def test_a_dead_letter_can_come_back(store: Store, waiting: list[Fact]) -> None:
    for at in (NOW, NOW + 1):
        with store.write() as session:
            parked.bury(session, "p", waiting[0].id, "no \0 \ud800", at)
    [letter] = rows(store, DeadLetter)
    assert (letter.plugin, letter.event_id, letter.error, letter.at) == (
        "p",
        waiting[0].id,
        "no \\x00 \\ud800",
        NOW + 1,
    )
    assert due(store) == ["b1", "a2", "x1"]
    with store.write() as session:
        assert parked.revive(session, "q") == 0
        assert parked.revive(session, "p") == 1
    assert due(store) == ["a1", "b1", "x1"]
    assert rows(store, DeadLetter) == []
    assert len(rows(store, Parked)) == 6
