"""What a plugin is told: at least once, ordered per message, never held up by one event, never a skip."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from postmeter import listener
from postmeter.breaker import FAILURES
from postmeter.event import Event
from postmeter.hookspecs import hookimpl
from postmeter.listener import BACK_OFF, LONGEST_BACK_OFF, TRIES
from postmeter.store import events
from postmeter.store.engine import Store
from postmeter.store.plugin_tables import Cursor, Parked
from support.listeners import Bench, Plugin, broken, happen, raising, scattered
from support.postage import rows


class Death(Exception):
    """Stands for the end of the process."""


class OnlyQuota:
    """Listens to what hardly ever happens."""

    def __init__(self) -> None:
        self.told: list[Event] = []

    @hookimpl
    def on_quota_low(self, event: Event) -> None:
        """The hook."""
        self.told.append(event)


class Gatherer(Plugin):
    """Gathers what it is told and keeps it when it is flushed, unless ``flaw`` raises."""

    def __init__(self, trouble: Callable[[Event], object] = lambda event: None) -> None:
        super().__init__(trouble)
        self.flaw: Callable[[list[Any]], object] = lambda names: None
        self.kept: list[Any] = []
        self.flushes = 0

    @hookimpl
    def flush(self) -> None:
        """The hook."""
        self.flushes += 1
        names = self.forget()
        self.flaw(names)
        self.kept += names


def test_many_events_are_told_at_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "BATCH", 7)
    bench = Bench(store, p=(plugin := Plugin()))
    happen(store, *range(50))
    bench.tell()
    assert plugin.names == list(range(50))


def test_an_event_that_fails_is_told_again_later_and_at_last_is_a_dead_letter(store: Store) -> None:
    bench = Bench(store, p=(plugin := Plugin(raising("bad"))))
    scattered(store, "good", "bad", "next")
    bench.tell()
    assert plugin.forget() == ["good", "bad", "next"]
    for failures in range(1, TRIES):
        wait = BACK_OFF * 2 ** (failures - 1)
        bench.tell(wait - 0.01)
        assert plugin.forget() == []
        bench.tell(0.01)
        assert plugin.forget() == ["bad"]
    [(name, event_id, error)] = bench.dead
    assert (name, error) == ("p", "RuntimeError: no bad")
    assert event_id == rows(store, events.Event)[1].id
    assert rows(store, Parked) == []
    bench.tell(10_000)
    assert plugin.forget() == []


def test_later_events_of_its_message_wait_behind_it_in_order(store: Store) -> None:
    bench = Bench(store, p=(plugin := Plugin(raising("a1"))))
    happen(store, "a1", "a2", message="a")
    happen(store, "b1", message="b")
    happen(store, "a3", message="a")
    bench.tell()
    happen(store, "a4", message="a")
    happen(store, "b2", message="b")
    bench.tell()
    assert plugin.forget() == ["a1", "b1", "b2"]
    plugin.trouble = raising("a3")
    bench.tell(BACK_OFF)
    assert plugin.forget() == ["a1", "a2", "a3"]
    plugin.trouble = raising()
    bench.tell(BACK_OFF)
    assert plugin.forget() == ["a3", "a4"]
    assert rows(store, Parked) == []


def test_after_a_dead_letter_the_next_of_its_message_is_told(store: Store) -> None:
    bench = Bench(store, p=(plugin := Plugin(raising("a1"))))
    happen(store, "a1", "a2", message="a")
    for _ in range(TRIES):
        bench.tell(LONGEST_BACK_OFF)
    assert plugin.names == ["a1"] * TRIES + ["a2"]
    assert len(bench.dead) == 1


def test_events_without_a_message_wait_behind_those_of_their_account(store: Store) -> None:
    bench = Bench(store, p=(plugin := Plugin(raising("a1"))))
    happen(store, "a1", "a2", account=1)
    happen(store, "b1", account=2)
    bench.tell()
    assert plugin.forget() == ["a1", "b1"]
    plugin.trouble = raising()
    bench.tell(BACK_OFF)
    assert plugin.forget() == ["a1", "a2"]


def test_another_plugin_is_not_held_up_by_one_that_fails(store: Store) -> None:
    plugins = {"a": Plugin(raising("x")), "b": Plugin(), "c": Plugin(broken)}
    bench = Bench(store, **plugins)
    scattered(store, *range(10), "x", "y")
    bench.tell()
    told = {name: plugin.names for name, plugin in plugins.items()}
    assert told == {"a": [*range(10), "x", "y"], "b": [*range(10), "x", "y"], "c": list(range(FAILURES))}


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), RuntimeError("nul \0 \ud800 " * 1000)])
def test_whatever_a_plugin_raises_becomes_a_dead_letter(store: Store, error: BaseException) -> None:
    def trouble(event: Event) -> None:
        raise error

    bench = Bench(store, p=Plugin(trouble), q=(good := Plugin()))
    happen(store, "a")
    for _ in range(TRIES):
        bench.tell(LONGEST_BACK_OFF)
    assert [name for name, _, _ in bench.dead] == ["p"]
    assert good.names == ["a"]


# A plugin that fails with everything


def test_a_plugin_that_fails_with_everything_is_told_few_events_after_pauses(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench(store, p=(plugin := Plugin(broken)))
    scattered(store, *range(1000))
    bench.tell()
    assert plugin.forget() == [0, 1, 2, 3, 4]
    pauses, waited = [], 0
    while len(pauses) < 10:
        bench.tell(1)
        waited += 1
        if plugin.told:
            assert len(plugin.forget()) == FAILURES
            pauses.append(waited)
            waited = 0
    assert pauses == [2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
    assert bench.dead == []
    assert len(rows(store, Parked)) == FAILURES * 11
    plugin.trouble = raising()
    bench.tell(LONGEST_BACK_OFF)
    assert sorted(plugin.names) == list(range(1000))
    assert rows(store, Parked) == []
    said = [r.getMessage() for r in caplog.records if "told" in r.getMessage()]
    assert said == [
        "plugin p is told few events, after pauses: it fails: RuntimeError: broken",
        "plugin p is told its events again",
    ]
    [cursor] = rows(store, Cursor)
    assert (cursor.failures, cursor.error) == (0, "RuntimeError: broken")


def test_events_that_always_fail_do_not_keep_the_others_waiting(store: Store) -> None:
    bad = [n for n in range(100) if n % 10 < 7]  # also more in a row than it takes for a plugin that is broken
    bench = Bench(store, p=(plugin := Plugin(raising(*bad))))
    scattered(store, *range(100))
    for _ in range(30):
        bench.tell(1)
    assert sorted({*plugin.names} - {*bad}) == [n for n in range(100) if n % 10 >= 7]
    for _ in range(60):
        bench.tell(30)
    assert len(bench.dead) == len(bad)
    tries = [plugin.names.count(n) for n in range(100)]
    assert min(tries[n] for n in bad) >= TRIES
    assert [n for n in range(100) if tries[n] == 1] == [n for n in range(100) if n not in bad]


def test_a_single_success_ends_a_row_of_failures(store: Store) -> None:
    bench = Bench(store, p=(plugin := Plugin(raising(*[n for n in range(100) if n % 4]))))
    scattered(store, *range(100))
    bench.tell()
    assert plugin.names == list(range(100))
    assert bench.position().retry_at == 0


# flush


def test_flush_comes_after_a_run_and_before_the_cursor_moves(store: Store) -> None:
    bench = Bench(store, p=(plugin := Gatherer()))
    before = bench.position()
    plugin.flaw = lambda names: seen.append(bench.position())
    seen: list[events.Position] = []
    happen(store, *range(300))
    bench.tell()
    assert (plugin.kept, plugin.flushes) == (list(range(300)), 2)
    assert seen[0] == before
    assert seen[1].event_id > before.event_id


def test_without_events_that_were_told_nothing_is_flushed(store: Store) -> None:
    bench = Bench(store, p=(plugin := Gatherer(broken)))
    bench.tell()
    happen(store, "a")
    bench.tell()
    assert plugin.flushes == 0


def test_after_a_flush_that_fails_all_are_told_again_and_none_is_dropped(store: Store) -> None:
    def away(names: list[Any]) -> None:
        raise OSError("away")

    bench = Bench(store, p=(plugin := Gatherer()))
    plugin.flaw = away
    scattered(store, *range(1000))
    for _ in range(20):
        bench.tell(LONGEST_BACK_OFF)
    assert bench.dead == []
    assert len(rows(store, Parked)) < 30
    plugin.flaw = lambda names: None
    bench.tell(LONGEST_BACK_OFF)
    assert sorted(plugin.kept) == list(range(1000))


def test_while_flush_fails_no_event_is_given_up(store: Store) -> None:
    def away(names: list[Any]) -> None:
        raise OSError("away")

    bench = Bench(store, p=(plugin := Gatherer()))
    plugin.flaw = away
    happen(store, "a1", "a2", message="a")
    scattered(store, "b")
    for _ in range(100):
        bench.tell(LONGEST_BACK_OFF)
    assert (plugin.flushes > 50, bench.dead) == (True, [])
    plugin.flaw = lambda names: None
    bench.tell(LONGEST_BACK_OFF)
    assert sorted(plugin.kept) == ["a1", "a2", "b"]
    assert plugin.kept.index("a1") < plugin.kept.index("a2")


def test_an_event_that_keeps_flush_from_working_is_found(store: Store) -> None:
    flaws = 0

    def flaw(names: list[Any]) -> None:
        nonlocal flaws
        if 77 in names:
            flaws += 1
            raise ValueError("not 77")

    bench = Bench(store, p=(plugin := Gatherer()))
    plugin.flaw = flaw
    scattered(store, *range(1000))
    bench.tell()
    for n in range(1000, 1100):
        scattered(store, n)
        bench.tell(5)
    assert sorted(plugin.kept) == [n for n in range(1100) if n != 77]
    assert flaws < 3 * TRIES
    assert [error for _, _, error in bench.dead] == ["ValueError: not 77"]


# Crashes


def test_a_restart_in_the_middle_tells_an_event_again_but_never_none(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*args: object) -> bool:
        raise Death

    bench = Bench(store, p=(plugin := Plugin()))
    happen(store, "a", "b", "c")
    with monkeypatch.context() as patch:
        patch.setattr(listener.Listener, "_write", dies)
        bench.tell()
    assert plugin.names == ["a", "b", "c"]
    Bench(store, p=plugin).tell()
    assert plugin.names == ["a", "b", "c", "a", "b", "c"]
    assert len({event.id for event in plugin.told}) == 3


@pytest.mark.parametrize("seed", range(4))
def test_whatever_fails_each_message_is_told_in_order_and_completely(
    store: Store, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    random, taken = Random(seed), []

    def trouble(event: Event) -> None:
        if random.random() < 0.4:
            raise RuntimeError("at random")
        taken.append((event.message_id, event.facts["name"]))

    def dying(self: Any, *arguments: Any) -> None:
        original(self, *arguments)
        if random.random() < 0.2:
            raise Death

    bench, original = Bench(store, p=Plugin(trouble)), listener.Listener._write
    monkeypatch.setattr(listener.Listener, "_write", dying)
    for n in range(100):
        happen(store, n, message=f"m{random.randrange(5)}")
        bench.tell(random.choice([0.0, 0.0, 1.0, 10.0]))
    for _ in range(60):
        bench.tell(LONGEST_BACK_OFF)
    dead = {event_id for _, event_id, _ in bench.dead}
    alive = [(row.message_id, row.facts["name"]) for row in rows(store, events.Event) if row.id not in dead]
    for message in {message for message, _ in alive}:
        expected = [name for one, name in alive if one == message]
        last = {name: place for place, (one, name) in enumerate(taken) if (one, name) in alive and one == message}
        assert sorted(last, key=lambda name: last[name]) == expected  # none is missing, and in the end all are in order
    assert len(dead) < 10
    assert rows(store, Parked) == []


# Cursors


def test_a_plugin_for_rare_events_does_not_read_all_others_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "FAR", 10)
    bench = Bench(store, q=(plugin := OnlyQuota()))
    happen(store, *range(12))
    bench.tell()
    with store.read() as session:
        assert bench.position("q").event_id == events.newest(session).event_id
    happen(store, "low", kind="quota_low")
    bench.tell()
    assert [event.facts["name"] for event in plugin.told] == ["low"]
