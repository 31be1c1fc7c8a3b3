"""Moves of units: arithmetic in the database, and an entry for each."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from sqlalchemy import event, update

from postmeter.store import ledger
from postmeter.store.engine import Store
from postmeter.store.quota_tables import FREQUENT, Block, Ledger
from postmeter.store.tables import Account
from support.postage import add_block, at_once, funded, rows
from support.tenants import NOW


def blocks(store: Store) -> list[tuple[int, int, int]]:
    return [(block.left, block.reserved, block.charged) for block in rows(store, Block)]


def entries(store: Store) -> list[tuple[int, int | None, str, int]]:
    return [(entry.account_id, entry.block_id, entry.kind, entry.units) for entry in rows(store, Ledger)][1:]


def test_units_are_reserved_then_charged_or_released(store: Store) -> None:
    block = funded(store, 10)
    with store.write() as session:
        ledger.move(session, "reserve", {(1, block): 5}, NOW)
        ledger.moves(session, {"charge": {(1, block): 2}, "release": {(1, block): 1}}, NOW + 1)
    assert blocks(store) == [(6, 2, 2)]
    assert entries(store) == [(1, block, "reserve", -5), (1, block, "charge", 2), (1, block, "release", 1)]


def test_an_overdraft_is_raised_and_given_back_but_not_by_its_charge(store: Store) -> None:
    funded(store, 1)
    for kind, overdraft in (("reserve", 4), ("charge", 4), ("release", 0)):
        with store.write() as session:
            ledger.move(session, kind, {(1, None): 4}, NOW)
        assert [account.overdraft for account in rows(store, Account)] == [overdraft]
    assert entries(store) == [(1, None, "overdraft", -4), (1, None, "charge", 4), (1, None, "overdraft", 4)]


def test_a_block_that_does_not_hold_the_units_stops_the_commit(store: Store) -> None:
    block = funded(store, 3)
    with pytest.raises(RuntimeError, match="does not hold 4 units"), store.write() as session:
        ledger.move(session, "reserve", {(1, block): 4}, NOW)
    assert (blocks(store), entries(store)) == ([(3, 0, 0)], [])


def test_nothing_to_move_writes_nothing(store: Store) -> None:
    funded(store, 3)
    with store.write() as session:
        ledger.moves(session, {"charge": {}, "release": {}}, NOW)
    assert entries(store) == []


def test_what_is_released_in_a_block_that_has_ended_is_lost(store: Store) -> None:
    block = funded(store, 10)
    with store.write() as session:
        ledger.move(session, "reserve", {(1, block): 5}, NOW)
    with store.write() as session:
        session.execute(update(Block).values(left=0, due_at=None))
        ledger.move(session, "release", {(1, block): 2}, NOW)
        ledger.move(session, "charge", {(1, block): 3}, NOW)
    assert blocks(store) == [(0, 0, 3)]
    moved = [(1, block, "release", 2), (1, block, "expire", -2), (1, block, "charge", 3)]
    assert entries(store) == [(1, block, "reserve", -5), *moved]


def test_the_last_entries_are_told_first(store: Store) -> None:
    block = funded(store, 10)
    with store.write() as session:
        ledger.move(session, "reserve", {(1, block): 5, (1, None): 1}, NOW + 1)
        told = ledger.entries_of(session, 1, 2)
    assert [(one.at, one.kind, one.block, one.units) for one in told] == [
        (NOW + 1, "reserve", block, -5),
        (NOW + 1, "overdraft", None, -1),
    ]


def test_moves_of_many_blocks_at_once_do_not_stop_each_other(store: Store, store_url: str) -> None:
    one = funded(store, 100)
    with store.write() as session:
        two = add_block(session, 1, 100)

    def work(n: int) -> None:
        own = Store.open(store_url)
        for _ in range(20):
            pair = [(1, one), (1, two)][:: 1 - 2 * n]
            with own.write() as session:
                ledger.move(session, "reserve", dict.fromkeys([*pair, (1, None)], 1), NOW)
        own.close()

    at_once(work, 2)
    assert blocks(store) == [(60, 40, 0)] * 2
    assert [account.overdraft for account in rows(store, Account)] == [40]


def test_entries_are_read_page_by_page_and_by_kind(store: Store) -> None:
    first = funded(store, 10)
    with store.write() as session:
        ledger.enter(session, [(2, None, "book", 99)], NOW)
        for n in range(1, 4):
            ledger.enter(
                session, [(1, first, "reserve", -n), (1, first, "charge", n), (1, first, "release", n)], NOW + n
            )
        read = partial(ledger.entries_of, session, 1)
        all_of_them = read(100)
        assert [entry.units for entry in read(100, kind="reserve")] == [-3, -2, -1]
        assert [entry.units for entry in read(100, kind="release")] == [3, 2, 1]
        assert [entry.kind for entry in read(1, kind="book")] == ["book"]
        assert read(100, kind="nothing") == []
        pages = [read(4)]
        while pages[-1]:
            pages.append(read(4, before=pages[-1][-1].id))
    assert [entry for page in pages for entry in page] == all_of_them
    assert {entry.kind for entry in all_of_them} <= set(ledger.KINDS)


@pytest.mark.parametrize("kind", ["", *ledger.KINDS])
def test_a_page_of_the_ledger_is_read_from_an_index(store: Store, kind: str) -> None:
    funded(store, 10)
    index = "ix_ledger_rare" if kind and kind not in FREQUENT else "ix_ledger_account_id_id"
    assert index in plan(store, kind)


def plan(store: Store, kind: str) -> str:
    """How the database reads an account's last entries."""
    asked: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
        asked.append(statement)
        given.append(parameters)

    given: list[Any] = []
    with store.read() as session:
        connection = session.connection()
        event.listen(connection, "before_cursor_execute", note)
        ledger.entries_of(session, 1, 50, before=10**9, kind=kind)
        sqlite = connection.dialect.name == "sqlite"
        if not sqlite:
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        explain = "EXPLAIN QUERY PLAN" if sqlite else "EXPLAIN"
        rows_ = connection.exec_driver_sql(f"{explain} {asked[0]}", given[0]).all()
    return " ".join(str(column) for row in rows_ for column in row)
