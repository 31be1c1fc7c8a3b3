"""What is wrong with plugins at present: as long as it lasts, and as long as the worker that says so runs."""

from __future__ import annotations

from dataclasses import replace

from postmeter.store import queue, troubles
from postmeter.store.engine import Store
from postmeter.store.plugin_tables import PluginTrouble
from postmeter.store.troubles import Trouble
from support.postage import add_worker, rows
from support.tenants import NOW


def note(store: Store, *all_of_them: Trouble) -> None:
    """As the writer does."""
    with store.write() as session:
        assert list(troubles.note(session, all_of_them)) == [None] * len(all_of_them)


def present(store: Store) -> list[Trouble]:
    """All troubles."""
    with store.read() as session:
        return troubles.present(session)


def test_a_trouble_lasts_until_it_is_said_to_be_over(store: Store) -> None:
    one = Trouble("p", "on_accept", add_worker(store), "OSError: away", NOW)
    other = replace(one, hook="on_sign", since=NOW + 1)
    note(store, one, other)
    note(store, one)  # a commit whose answer was lost is made again
    assert present(store) == [one, other]
    note(store, replace(one, error=""))
    assert present(store) == [other]


def test_it_is_over_when_its_worker_is_gone(store: Store) -> None:
    first, second = add_worker(store), add_worker(store)
    one, other = (Trouble("p", "on_accept", worker, "no", NOW) for worker in (first, second))
    note(store, one, other)
    with store.write() as session:
        queue.forget(session, first)
    assert present(store) == [other]
    assert len(rows(store, PluginTrouble)) == 2
    note(store, other)
    assert len(rows(store, PluginTrouble)) == 1
