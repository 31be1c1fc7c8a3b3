"""Group commit: few commits for many, one bad item harms no other, and nobody is told what is not so."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg import errors as pg
from sqlalchemy import event, text
from sqlalchemy.orm import Session

from postmeter.store.accept import Accepted
from postmeter.store.engine import Store
from postmeter.store.errors import disk_is_full
from postmeter.store.settle import settle
from postmeter.store.tables import DELIVERED, Account
from postmeter.store.writer import TELL_AGAIN, Writer
from support.desk import Desk, note
from support.postage import (
    accept,
    accept_all,
    add_block,
    add_worker,
    at_once,
    audit,
    funded,
    lease,
    outcome,
    rows,
    submission,
)
from support.tenants import NOW


def names(store: Store) -> list[str]:
    return [account.name for account in rows(store, Account)]


@pytest.fixture
def commits(store: Store) -> list[Any]:
    """Grows with every commit."""
    found: list[Any] = []
    event.listen(store.engine, "commit", found.append)
    return found


def test_what_waits_is_committed_together_and_in_order(store: Store, commits: list[Any]) -> None:
    desk, under_way, go_on = Desk(store), threading.Event(), threading.Event()

    def slow(session: Session, items: Sequence[str]) -> list[str]:
        under_way.set()
        go_on.wait(20)
        return note(session, items)

    desk.submit(slow, "first")
    desk.writer.start()
    under_way.wait(20)
    many = [f"n{n}" for n in range(50)]
    for name in many:
        desk.submit(note, name)
    go_on.set()
    desk.writer.stop()
    assert [result for _, result in desk.results] == ["FIRST", *(name.upper() for name in many)]
    assert (len(commits), desk.posts) == (2, 2)
    assert names(store) == ["first", *many]


def test_nobody_is_told_before_the_commit(store: Store) -> None:
    seen: list[list[str]] = []
    writer = Writer(store, lambda outcomes: seen.append(names(store)))
    writer.submit(note, "one", lambda result: None)
    writer.start()
    writer.stop()
    assert seen == [["one"]]


@pytest.mark.parametrize("count", [1, 2, 7, 64])
def test_one_bad_item_does_not_refuse_the_others(store: Store, count: int) -> None:
    desk = Desk(store)
    items = [f"n{n}" for n in range(count)]
    items.insert(count // 2, "bad")
    for name in items:
        desk.submit(note, name)
    desk.finish()
    told = dict(desk.results)
    assert isinstance(told.pop("bad"), ValueError)
    assert told == {name: name.upper() for name in items if name != "bad"}
    assert names(store) == [name for name in items if name != "bad"]


def test_a_change_that_fails_does_not_refuse_another_change(store: Store) -> None:
    def broken(session: Session, items: Sequence[str]) -> list[str]:
        note(session, items)
        raise RuntimeError

    desk = Desk(store)
    desk.submit(broken, "x")
    desk.submit(note, "y")
    first, second = desk.finish()
    assert isinstance(first, RuntimeError)
    assert second == "Y"
    assert names(store) == ["y"]


def test_a_lost_lease_in_a_group_is_told_to_its_owner_alone(store: Store) -> None:
    funded(store)
    worker, desk = add_worker(store), Desk(store)
    accept(store, *(submission() for _ in range(5)))
    made = [outcome(one, one.recipients[0], worker, DELIVERED) for one in lease(store, worker)]
    with store.write() as session:
        settle(session, made[2:3])
    for settlement in made:
        desk.submit(settle, settlement)
    desk.submit(accept_all, late := submission())
    desk.finish()
    told = {id(item): result for item, result in desk.results}
    assert [told[id(settlement)] for settlement in made] == [True, True, False, True, True]
    assert isinstance(told[id(late)], Accepted)
    audit(store)


def test_a_database_error_is_told_to_every_job(store: Store) -> None:
    def wrong(session: Session, items: Sequence[str]) -> list[str]:
        session.execute(text("SELECT * FROM no_such_table"))
        return list(items)

    desk = Desk(store)
    for name in "abc":
        desk.submit(wrong, name)
    assert all(isinstance(result, Exception) for result in desk.finish())
    assert len(desk.results) == 3


def test_what_was_submitted_is_committed_before_the_end(store: Store) -> None:
    desk = Desk(store)
    for n in range(200):
        desk.submit(note, f"n{n}")
    assert len(desk.finish()) == 200
    assert len(names(store)) == 200


def test_two_writers_that_pay_crosswise_do_not_stop_each_other(
    store: Store, store_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    for account in (1, 2):
        funded(store, 1000, account=account)
    accept(store, *(submission(1, account=1 + n % 2, at=NOW - n) for n in range(80)))
    with store.write() as session:
        for account in (1, 2):  # pay first from now on, though they have the higher numbers
            add_block(session, account, 1000, NOW + 100)
    accept(store, *(submission(1, account=1 + n % 2, at=NOW - n) for n in range(80)))
    workers = [add_worker(store), add_worker(store)]
    outcomes = [
        [outcome(one, r, worker, DELIVERED) for one in lease(store, worker, limit=80) for r in one.recipients]
        for worker in workers
    ]
    for settlements in outcomes:
        random.Random(1).shuffle(settlements)

    def work(n: int) -> None:
        own = Store.open(store_url)
        desk = Desk(own)
        for number, settlement in enumerate(outcomes[n]):
            desk.submit(settle, settlement)
            desk.submit(accept_all, submission(account=1 + (n + number) % 2))
        results = desk.finish()
        own.close()
        assert all(result is True or isinstance(result, Accepted) for result in results)

    at_once(work, 2)
    assert "failed" not in caplog.text
    audit(store)


# A full disk


def fill(store: Store, pages: int) -> None:
    """Let the database grow no more, or again."""
    event.listen(store.engine, "begin", lambda c: c.exec_driver_sql(f"PRAGMA max_page_count = {pages}"), insert=True)


def test_a_full_disk_is_told_to_all_at_once_and_over_when_there_is_room_again(
    sqlite_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    store, now, results = Store.open(sqlite_url), [0.0], []  # type: Store, list[float], list[Any]
    funded(store)
    answered = threading.Semaphore(0)

    def done(result: Any) -> None:
        results.append(result)
        answered.release()

    writer = Writer(store, lambda outcomes: [done(result) for done, result in outcomes] and None, lambda: now[0])
    writer.start()

    def offer(number: int) -> list[Any]:
        results.clear()
        for _ in range(number):
            writer.submit(accept_all, submission(2), done)
        for _ in range(number):
            assert answered.acquire(timeout=20)
        return list(results)

    fill(store, 1)  # SQLite takes as many as there are already
    while not disk_is_full(offer(64)[-1]):
        pass
    caplog.clear()
    assert all(disk_is_full(result) for result in offer(300))
    assert caplog.text == ""  # said less than a second ago
    now[0] += TELL_AGAIN
    offer(300)
    [line] = caplog.records
    assert (line.getMessage(), line.exc_info) == ("the database cannot be used: database or disk is full", None)
    assert line.levelno == logging.ERROR
    fill(store, 1 << 30)
    assert all(isinstance(result, Accepted) for result in offer(64))
    writer.stop()
    audit(store)
    store.close()


class Failing:
    """A store whose commits fail, or whose statements do; counts the transactions."""

    sqlite = True

    def __init__(self, error: Exception, at_commit: bool) -> None:
        self.error, self.at_commit, self.writes, self.reads = error, at_commit, 0, 0

    @contextmanager
    def write(self) -> Iterator[Session]:
        self.writes += 1
        if not self.at_commit:
            raise self.error
        yield Session()
        raise self.error

    @contextmanager
    def read(self) -> Iterator[Session]:
        self.reads += 1
        yield Session()


@pytest.mark.parametrize(
    ("error", "at_commit"),
    [
        (pg.DiskFull("x"), False),
        (pg.DiskFull("x"), True),  # the server's word: nothing is committed
        (pg.LockNotAvailable("x"), False),
        (pg.QueryCanceled("x"), False),
        (psycopg.OperationalError("connection refused"), False),
    ],
)
def test_when_the_whole_database_is_in_trouble_nothing_is_tried_in_parts(error: Exception, at_commit: bool) -> None:
    failing = Failing(error, at_commit)
    desk = Desk(failing)
    for n in range(64):
        desk.submit(echo, n)
    assert desk.finish() == [error] * 64
    assert (failing.writes, failing.reads) == (1, 0)


def echo(session: Session, items: Sequence[int]) -> Sequence[int]:
    return items


def test_after_a_lost_answer_a_lock_that_is_held_is_waited_for_once() -> None:
    failing = Failing(psycopg.OperationalError("server closed the connection"), at_commit=True)
    desk = Desk(failing)

    def blocked(session: Session, items: Sequence[int]) -> Sequence[int]:
        if failing.writes > 1:
            raise waited
        return items

    waited = pg.LockNotAvailable("x")
    for n in range(64):
        desk.submit(blocked, n)
    assert desk.finish() == [waited] * 64
    assert failing.writes == 2
