"""Plugins are told events again when that is wished for, before what is new; and what is committed late is told too."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from postmeter.hookspecs import hookimpl
from postmeter.listener import BACK_OFF, LONGEST_BACK_OFF, TRIES
from postmeter.store import connections, events
from postmeter.store.engine import Store
from postmeter.store.plugin_tables import Parked, Replay
from postmeter.store.replays import Span
from support.listeners import Bench, Plugin, happen, raising, scattered
from support.postage import accept, funded, rows, submission
from support.tenants import NOW


def test_all_that_was_told_is_told_again_before_what_is_new(store: Store) -> None:
    bench = Bench(store, p=(plugin := Plugin()))
    happen(store, *range(250))
    bench.tell()
    stood = bench.position()
    bench.replay()
    happen(store, "new")
    bench.tell()
    assert plugin.names == [*range(250), *range(250), "new"]
    assert stood.event_id < bench.position().event_id
    assert rows(store, Replay) == []


def test_a_new_plugin_can_start_at_the_past(store: Store) -> None:
    happen(store, "old")
    with store.read() as session:
        assert events.newest(session).event_id > 0
    bench = Bench(store, q=Plugin())
    bench.replay(plugin="p")  # before any worker has known it
    late = Bench(store, p=(plugin := Plugin()))
    happen(store, "new")
    late.tell()
    assert plugin.names == ["old", "new"]


def test_a_span_is_told_again_by_numbers_or_times(store: Store) -> None:
    bench = Bench(store, p=(plugin := Plugin()))
    happen(store, *range(10))
    bench.tell()
    plugin.forget()
    first = rows(store, events.Event)[0].id
    for span, expected in (
        (Span(first=first + 3, last=first + 5), [3, 4, 5]),
        (Span(first=first + 7, last=first + 7), [7]),
        (Span(since=NOW, until=NOW + 1, last=first + 1), [0, 1]),
        (Span(since=NOW + 1), []),
        (Span(until=NOW), []),
    ):
        bench.replay(span)
        bench.tell()
        assert plugin.forget() == expected
    assert rows(store, Replay) == []


def test_what_fails_in_a_replay_is_set_aside_like_anything_else(store: Store) -> None:
    bench = Bench(store, p=(plugin := Plugin()))
    happen(store, "a1", "a2", message="a")
    happen(store, "b1", message="b")
    bench.tell()
    plugin.forget()
    plugin.trouble = raising("a1")
    bench.replay()
    happen(store, "a3", message="a")
    bench.tell()
    assert plugin.forget() == ["a1", "b1"]
    plugin.trouble = raising()
    bench.tell(BACK_OFF)
    assert plugin.forget() == ["a1", "a2", "a3"]


def test_dead_letters_are_told_again(store: Store) -> None:
    bench = Bench(store, p=(plugin := Plugin(raising("bad"))))
    scattered(store, "bad", "good")
    for _ in range(TRIES):
        bench.tell(LONGEST_BACK_OFF)
    plugin.forget()
    assert bench.revive() == 1
    assert bench.dead == []
    for _ in range(TRIES):
        bench.tell(LONGEST_BACK_OFF)
    assert plugin.forget() == ["bad"] * TRIES
    assert len(bench.dead) == 1
    plugin.trouble = raising()
    bench.revive()
    bench.tell()
    assert (plugin.forget(), bench.dead, rows(store, Parked)) == (["bad"], [], [])


@pytest.mark.parametrize("at_once", [True, False])
def test_a_dead_letter_that_was_taken_in_a_replay_is_none_any_more(store: Store, at_once: bool) -> None:
    bench = Bench(store, p=(plugin := Plugin(raising("bad"))))
    scattered(store, "bad")
    for _ in range(TRIES):
        bench.tell(LONGEST_BACK_OFF)
    bench.replay()
    if not at_once:
        bench.tell()
    plugin.trouble = raising()
    bench.tell(BACK_OFF)
    assert (bench.dead, rows(store, Parked)) == ([], [])


def test_a_plugin_that_chooses_is_told_again_only_what_it_follows(store: Store) -> None:
    class Choosing(Plugin):
        @hookimpl
        def by_connection(self) -> bool:
            return True

    bench = Bench(store, p=(plugin := Choosing()))
    funded(store)
    one, other = submission(), replace(submission(), connection_id=8)
    accept(store, one, other)
    with store.write() as session:
        connections.follow(session, 8, "p", True)
    happen(store, "mine", message=other.id)
    happen(store, "another's", message=one.id)
    happen(store, "the account's")
    bench.tell()
    bench.replay()
    bench.tell()
    assert plugin.names == ["mine", "the account's"] * 2


# Transactions that commit late


@pytest.fixture
def postgresql(postgres_url: str) -> Any:
    """A store in which transactions overlap."""
    store = Store.open(postgres_url)
    yield store
    store.close()


def write(session: Any, name: str) -> None:
    events.record(session, [events.about_recipient(1, name, None, "delivered", NOW, {"name": name})])


def test_an_event_that_is_committed_after_later_ones_is_told_too(postgresql: Store) -> None:
    bench = Bench(postgresql, p=(plugin := Plugin()))
    happen(postgresql, "before")
    with postgresql.write() as slow:
        write(slow, "slow")
        with postgresql.write() as fast:
            write(fast, "fast")
        with postgresql.write() as fast:
            write(fast, "faster")
        bench.tell()
        assert plugin.names == ["before"]
        bench.replay()
        bench.tell()
    bench.tell()
    bench.tell()
    assert plugin.names == ["before", "before", "slow", "fast", "faster"]


def test_a_new_plugin_is_told_what_was_being_written_when_it_came(postgresql: Store) -> None:
    with postgresql.write() as slow:
        write(slow, "slow")
        with postgresql.write() as fast:
            write(fast, "fast")
        bench = Bench(postgresql, p=(plugin := Plugin()))
        bench.replay()
    bench.tell()
    assert plugin.names == ["slow", "fast"]
