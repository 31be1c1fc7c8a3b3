"""After a move to another PostgreSQL server everything is told as it would have been on the old one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import text

from postmeter.listener import BACK_OFF
from postmeter.store import events, moved
from postmeter.store.engine import Store
from postmeter.store.plugin_tables import Cursor, Parked, Replay
from postmeter.store.tables import Event
from support.listeners import Bench, Plugin, happen, raising
from support.postage import rows

AHEAD = 5_000_000  # transactions
NUMBERS = {"event": ("tx",), "cursor": ("tx",), "parked": ("tx",), "replay": ("tx", "end_tx")}


@pytest.fixture
def postgresql(postgres_url: str) -> Iterator[Store]:
    """A store whose events are numbered by transactions."""
    store = Store.open(postgres_url)
    yield store
    store.close()


def restore(store: Store) -> None:
    """The database comes from a server that had come further."""
    with store.write() as session:
        for table, columns in NUMBERS.items():
            for column in columns:
                session.execute(text(f"UPDATE {table} SET {column} = {column} + {AHEAD} WHERE {column} > 0"))


def numbers(store: Store) -> list[Any]:
    return [
        *((row.id, row.tx) for row in rows(store, Event)),
        *((row.plugin, row.tx, row.event_id) for row in rows(store, Cursor)),
        *((row.event_id, row.tx) for row in rows(store, Parked)),
        *((row.tx, row.event_id, row.end_tx, row.end_id) for row in rows(store, Replay)),
    ]


def test_what_happens_on_the_new_server_is_told_and_nothing_twice(
    postgresql: Store, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench(postgresql, p=(plugin := Plugin()))
    happen(postgresql, "told")
    bench.tell()
    happen(postgresql, "not yet")
    restore(postgresql)
    bench.teller.begin()
    assert "another PostgreSQL server" in caplog.text
    happen(postgresql, "new")
    bench.tell()
    assert plugin.names == ["told", "not yet", "new"]


def test_what_was_written_there_before_the_relay_began_is_told_too(postgresql: Store) -> None:
    bench = Bench(postgresql, p=(plugin := Plugin()))
    happen(postgresql, "old")
    bench.tell()
    restore(postgresql)
    happen(postgresql, "by a command")
    late = Bench(postgresql, p=plugin, q=(fresh := Plugin()))
    happen(postgresql, "new")
    late.tell()
    assert plugin.names == ["old", "by a command", "new"]
    assert fresh.names == ["new"]


def test_a_plugin_whose_first_replay_was_wished_for_there_is_told_all(postgresql: Store) -> None:
    happen(postgresql, "one", "two")
    restore(postgresql)
    bench = Bench(postgresql, q=Plugin())
    restore(postgresql)
    bench.replay(plugin="p")
    late = Bench(postgresql, p=(plugin := Plugin()))
    happen(postgresql, "new")
    late.tell()
    assert plugin.names == ["one", "two", "new"]


def test_where_nothing_happened_for_long_the_cursor_alone_has_come_too_far(postgresql: Store) -> None:
    bench = Bench(postgresql, p=(plugin := Plugin()))
    happen(postgresql, "old")
    bench.tell()
    with postgresql.write() as session:
        session.execute(text(f"UPDATE cursor SET tx = tx + {AHEAD}"))
    bench.teller.begin()
    happen(postgresql, "new")
    bench.tell()
    assert plugin.names == ["old", "new"]


@pytest.mark.parametrize("moves", [True, False])
def test_what_waits_and_what_is_wished_for_keep_their_order(postgresql: Store, moves: bool) -> None:
    bench = Bench(postgresql, p=(plugin := Plugin(raising("a1"))))
    happen(postgresql, "a1", "a2", message="a")
    happen(postgresql, "b1", message="b")
    bench.tell()
    happen(postgresql, "b2", message="b")
    bench.replay()
    if moves:
        restore(postgresql)
        bench.teller.begin()
    happen(postgresql, "a3", message="a")
    plugin.forget()
    plugin.trouble = raising()
    bench.tell(BACK_OFF)
    assert plugin.names == ["a1", "b1", "a1", "b2", "a2", "a3"]


def test_who_stays_on_a_server_keeps_all_numbers(store: Store) -> None:
    bench = Bench(store, p=Plugin(raising("a")))
    happen(store, "a", "b", message="m")
    bench.tell()
    bench.replay()
    before = numbers(store)
    bench.teller.begin()
    assert numbers(store) == before


def test_a_transaction_that_is_still_open_is_no_strangers(postgresql: Store) -> None:
    with postgresql.write() as slow:
        slow.execute(text("SELECT pg_current_xact_id()"))
        happen(postgresql, "fast")
        before = numbers(postgresql)
        with postgresql.write() as session:
            moved.settle_in(session)
    assert numbers(postgresql) == before


def test_it_can_move_again(postgresql: Store) -> None:
    bench = Bench(postgresql, p=(plugin := Plugin()))
    for name in ("first", "second", "third"):
        happen(postgresql, name)
        restore(postgresql)
        bench.teller.begin()
    bench.tell()
    assert plugin.forget() == ["first", "second", "third"]
    bench.replay()
    bench.tell()
    assert plugin.names == ["first", "second", "third"]
    with postgresql.read() as session:
        assert events.summary(session, []).count == 3
