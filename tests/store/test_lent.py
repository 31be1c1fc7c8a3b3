"""A plugin's database is the relay's, by connections of its own; and it cannot keep others from writing for long."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as NoConnection
from sqlalchemy.orm import Session

from postmeter.store.engine import LentStore, Store
from postmeter.store.tables import Account
from support.postage import at_once, rows
from support.tenants import NOW

LIMIT = 1.0  # seconds; the writes that come in time are bound by it too
# Without an end, each row is worked out only when it is asked for.
COUNTING = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT {} FROM n"


@pytest.fixture
def lent(store: Store) -> LentStore:
    """The store, as a plugin has it."""
    return store.lend("slow", LIMIT)


@pytest.fixture
def sqlite(sqlite_url: str) -> Iterator[Store]:
    """A store in which one writes at a time."""
    store = Store.open(sqlite_url)
    yield store
    store.close()


def add(session: Session, name: str) -> None:
    session.add(Account(name=name, created_at=NOW))
    session.flush()


def names(store: Store) -> list[str]:
    return [account.name for account in rows(store, Account)]


def test_what_a_plugin_writes_is_in_the_database_and_what_it_fails_with_is_not(store: Store, lent: LentStore) -> None:
    with lent.write() as session:
        add(session, "a")
    with pytest.raises(LookupError), lent.write() as session:
        add(session, "b")
        raise LookupError
    with lent.read() as session:
        assert session.scalar(text("SELECT count(*) FROM account")) == 1
    assert names(store) == ["a"]


def test_who_uses_no_database_has_no_connection(store: Store, lent: LentStore) -> None:
    assert lent._store is None
    with lent.read():
        pass
    opened = lent._store
    assert opened is not None
    at_once(lambda _: lent.read().__enter__(), 4)
    assert lent._store is opened


def test_it_is_closed_with_the_relays_store(sqlite_url: str) -> None:
    store = Store.open(sqlite_url)
    lent = store.lend("p")
    with lent.write() as session:
        add(session, "a")
    store.close()
    assert lent._store is not None
    assert lent._store.engine.pool.checkedin() == 0  # type: ignore[attr-defined]


def test_a_plugin_that_hangs_on_to_its_connections_leaves_the_others_theirs(store: Store) -> None:
    greedy, modest = store.lend("greedy"), store.lend("modest")
    with ExitStack() as hanging:
        for _ in range(8):
            hanging.enter_context(greedy.read()).execute(text("SELECT 1"))
        assert greedy._store is not None
        greedy._store.engine.pool._timeout = 0  # type: ignore[attr-defined]
        with pytest.raises(NoConnection), greedy.write():
            pass
        for others in (store, modest):
            with others.write() as session:
                add(session, f"{others}")
    assert len(names(store)) == 2
    with greedy.write() as session:
        add(session, "again")


# Turns that are taken back


def sleep(session: Session) -> None:
    time.sleep(2 * LIMIT)


def sleep_and_go_on(session: Session) -> None:
    time.sleep(2 * LIMIT)
    with pytest.raises(DBAPIError):
        session.execute(text("UPDATE account SET name = 'too late'"))


@pytest.mark.parametrize("hang", [sleep, sleep_and_go_on])
def test_who_hangs_in_a_write_loses_it_and_may_write_again(store: Store, lent: LentStore, hang: Any) -> None:
    with pytest.raises(SQLAlchemyError), lent.write() as session:
        add(session, "never")
        hang(session)
    assert names(store) == []
    with lent.write() as session:
        add(session, "later")
    assert names(store) == ["later"]


def long_statement(session: Session) -> None:
    session.execute(text(COUNTING.format("count(*)")))


def long_statement_beside_another(session: Session) -> None:
    begun = session.connection().connection.cursor()
    begun.execute(COUNTING.format("i"))
    begun.fetchone()
    long_statement(session)


def many_statements(session: Session) -> None:
    while True:
        session.execute(text("UPDATE account SET name = name"))


def many_rows(session: Session) -> None:
    cursor = session.connection().connection.cursor()
    cursor.executemany("INSERT INTO account (name, created_at) VALUES (?, 0)", ((f"n{n}",) for n in range(20_000_000)))


def endless_rows(session: Session) -> None:
    for _ in session.execute(text(COUNTING.format("i"))).yield_per(1):
        pass


HANGS = [sleep, long_statement, long_statement_beside_another, many_statements, many_rows, endless_rows]


@pytest.mark.parametrize("hang", HANGS)
def test_whatever_it_hangs_in_others_write_after_the_limit(
    sqlite: Store, hang: Any, caplog: pytest.LogCaptureFixture
) -> None:
    lent, inside = sqlite.lend("slow", LIMIT), threading.Event()
    failed: list[Exception] = []

    def work() -> None:
        try:
            with lent.write() as session:
                add(session, "never")
                inside.set()
                hang(session)
        except Exception as error:
            failed.append(error)

    hanging = threading.Thread(target=work)
    hanging.start()
    assert inside.wait(20)
    with sqlite.write() as session:
        add(session, "other")
    hanging.join(20)
    assert [type(error).__name__ for error in failed] == ["OperationalError"]
    assert names(sqlite) == ["other"]
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert said == [f"plugin slow has kept all others from writing for {LIMIT:g} s"]


def test_a_write_before_its_first_statement_can_be_lost_too(sqlite: Store) -> None:
    with pytest.raises(DBAPIError), sqlite.lend("slow", LIMIT).write() as session:
        time.sleep(2 * LIMIT)
        add(session, "never")
    assert names(sqlite) == []


def test_a_commit_comes_in_time_or_not_at_all(sqlite: Store) -> None:
    lent = sqlite.lend("slow", 0.01)
    done: list[str] = []

    def work(n: int) -> None:
        chance = random.Random(n)
        for m in range(60):
            try:
                with lent.write() as session:
                    add(session, f"{n}.{m}")
                    time.sleep(chance.uniform(0.004, 0.011))
            except DBAPIError:
                continue
            done.append(f"{n}.{m}")

    at_once(work, 3)
    assert sorted(names(sqlite)) == sorted(done)
    assert 0 < len(done) < 180


def test_a_write_inside_of_another_is_an_error_and_both_are_rolled_back(sqlite: Store) -> None:
    lent = sqlite.lend("nesting")
    with pytest.raises(RuntimeError, match="inside of another"), lent.write() as session:
        add(session, "outer")
        with lent.write() as inner:
            add(inner, "inner")
    with sqlite.write() as session:
        add(session, "next")
    assert names(sqlite) == ["next"]
