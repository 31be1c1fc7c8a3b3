"""Commits whose answer is lost: the database is asked what became of them before anybody is told anything."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from postmeter.store import writer as writing
from postmeter.store.accept import Accepted, Duplicate, Submission
from postmeter.store.engine import Store
from postmeter.store.errors import connection_lost
from postmeter.store.picking import Picking
from postmeter.store.settle import settle
from postmeter.store.tables import DELIVERED
from support.desk import Desk, note
from support.postage import (
    accept,
    accept_all,
    add_worker,
    audit,
    funded,
    lease,
    outcome,
    recipients,
    submission,
    wish,
)
from support.tenants import NOW


class Lossy:
    """A store whose commits get lost: each fault is ``before`` the commit, ``after`` it, or it is ``late``."""

    def __init__(self, store: Store, *faults: str) -> None:
        self._store = store
        self.faults = list(faults)
        self.unreachable = 0
        self.timers: list[threading.Timer] = []

    @property
    def sqlite(self) -> bool:
        return self._store.sqlite

    @contextmanager
    def read(self) -> Iterator[Session]:
        if self.unreachable:
            self.unreachable -= 1
            raise psycopg.OperationalError("connection refused")
        with self._store.read() as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        fault = self.faults.pop(0) if self.faults else ""
        if fault == "late":
            session = Session(self._store.engine)
            yield session
            self.timers.append(timer := threading.Timer(0.2, lambda: (session.commit(), session.close())))
            timer.start()
        else:
            try:
                with self._store.write() as session:
                    yield session
                    if fault == "before":
                        raise LookupError
            except LookupError:
                pass
        if fault:
            raise psycopg.OperationalError("server closed the connection unexpectedly")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look again at once."""
    monkeypatch.setattr(writing, "LOOK_AGAIN", 0.01)


def lossy(store: Store, *faults: str, unreachable: int = 0) -> tuple[Lossy, list[Submission], Desk]:
    funded(store, 10)
    made = Lossy(store, *faults)
    made.unreachable = unreachable
    desk, submissions = Desk(made), [submission() for _ in range(3)]
    for one in submissions:
        desk.submit(accept_all, one)
    return made, submissions, desk


@pytest.mark.parametrize("fault", ["after", "before"])
def test_after_a_lost_answer_everybody_is_told_what_is_so(store: Store, fault: str) -> None:
    _, submissions, desk = lossy(store, fault)
    assert all(isinstance(result, Accepted) for result in desk.finish())
    assert {item.id for item, _ in desk.results} == {one.id for one in submissions}
    assert len(recipients(store)) == 3
    audit(store)


def test_a_commit_that_never_works_is_told_as_an_error(store: Store) -> None:
    _, _, desk = lossy(store, *["before"] * 9)
    assert all(isinstance(result, psycopg.OperationalError) for result in desk.finish())
    assert recipients(store) == []


def test_when_even_the_second_answer_is_lost_it_is_looked_up(store: Store) -> None:
    _, _, desk = lossy(store, "before", "after", "after", "after")
    assert all(isinstance(result, Accepted) for result in desk.finish())
    assert len(recipients(store)) == 3
    audit(store)


def test_a_database_that_is_gone_is_waited_for(store: Store) -> None:
    made, _, desk = lossy(store, "after", unreachable=3)
    told = threading.Event()
    desk.writer.submit(note, "last", lambda result: told.set())
    desk.writer.start()
    assert told.wait(20)
    desk.writer.stop()
    assert made.unreachable == 0
    assert all(isinstance(result, Accepted) for _, result in desk.results)
    audit(store)


def test_who_must_end_does_not_wait_for_it(store: Store) -> None:
    _, _, desk = lossy(store, "after", unreachable=1_000_000)
    assert all(isinstance(result, psycopg.OperationalError) for result in desk.finish())


def test_a_commit_that_comes_through_late_is_waited_for(postgres_url: str) -> None:
    store = Store.open(postgres_url)
    made, _, desk = lossy(store, "late")
    assert all(isinstance(result, Accepted) for result in desk.finish())
    made.timers[0].join()
    assert len(recipients(store)) == 3
    audit(store)
    store.close()


def with_one_key(store: Store, *faults: str) -> Lossy:
    """Three messages with the same key, of which the first is told that it was accepted, and the others its id."""
    block = funded(store, 1)
    made = Lossy(store, *faults)
    desk, submissions = Desk(made), [replace(submission(), key=b"order 17") for _ in range(3)]
    for one in submissions:
        desk.submit(accept_all, one)
    desk.finish()
    told = {item.id: result for item, result in desk.results}
    first = submissions[0].id
    assert [told[one.id] for one in submissions] == [Accepted((block,)), Duplicate(first), Duplicate(first)]
    return made


@pytest.mark.parametrize("faults", [["after"], ["before"], ["before", "after", "after"]])
def test_messages_with_one_key_are_told_what_is_so(store: Store, faults: list[str]) -> None:
    with_one_key(store, *faults)
    assert len(recipients(store)) == 1
    audit(store)


def test_messages_with_one_key_wait_for_a_commit_that_comes_through_late(postgres_url: str) -> None:
    store = Store.open(postgres_url)
    made = with_one_key(store, "late")
    made.timers[0].join()
    assert len(recipients(store)) == 1
    audit(store)
    store.close()


def test_a_message_that_took_the_last_mail_is_not_told_that_none_is_left(postgres_url: str) -> None:
    store = Store.open(postgres_url)
    block = funded(store, 1)
    made = Lossy(store, "late")
    desk = Desk(made)
    desk.submit(accept_all, submission())
    assert desk.finish() == [Accepted((block,))]
    made.timers[0].join()
    audit(store)
    store.close()


@pytest.mark.parametrize("fault", ["after", "before"])
def test_an_outcome_is_recorded_once_though_its_answer_was_lost(store: Store, fault: str) -> None:
    funded(store)
    worker = add_worker(store)
    accept(store, submission(3))
    [one] = lease(store, worker)
    desk = Desk(Lossy(store, fault))
    for recipient in one.recipients:
        desk.submit(settle, outcome(one, recipient, worker, DELIVERED))
    assert desk.finish() == [fault == "before"] * 3  # False: not ours any more, since it is recorded
    assert [r.attempts for r in recipients(store)] == [1, 1, 1]
    audit(store)


@pytest.mark.parametrize("fault", ["after", "before"])
def test_no_lease_is_forgotten_though_its_answer_was_lost(store: Store, fault: str) -> None:
    funded(store)
    worker, picking = add_worker(store), Picking()
    accept(store, submission(4))
    desk = Desk(Lossy(store, fault))
    desk.submit(picking, wish(worker, NOW, 2))
    [pick] = desk.finish()
    [leased] = pick.leases
    assert len(leased.recipients) == 2
    assert sum(r.lease_owner == worker for r in recipients(store)) == 2


def killing(change: Callable[..., Any], url: str) -> Callable[..., Any]:
    """A change after which the server ends the connection, once."""
    left = [1]

    def killed(session: Session, items: Sequence[Any]) -> Any:
        results = change(session, items)
        if left:
            left.pop()
            pid = session.scalar(text("SELECT pg_backend_pid()"))
            other = Store.open(url)
            with other.read() as killer:
                killer.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})
            other.close()
        return results

    return killed


def test_a_connection_that_ends_at_the_commit_loses_nothing(postgres_url: str) -> None:
    store = Store.open(postgres_url)
    funded(store)
    desk = Desk(store)
    change = killing(accept_all, postgres_url)
    for _ in range(3):
        desk.submit(change, submission())
    assert all(isinstance(result, Accepted) for result in desk.finish())
    assert len(recipients(store)) == 3
    audit(store)
    store.close()


def test_a_connection_that_ends_before_the_commit_is_an_error_for_all(postgres_url: str) -> None:
    store = Store.open(postgres_url)
    funded(store)
    desk = Desk(store)

    def cut(session: Session, items: Sequence[Any]) -> Any:
        killing(accept_all, postgres_url)(session, items)
        return accept_all(session, items)

    for _ in range(3):
        desk.submit(cut, submission())
    desk.submit(accept_all, submission())
    *failed, good = desk.finish()
    assert all(connection_lost(result) for result in failed)
    assert isinstance(good, Accepted)
    assert len(recipients(store)) == 1
    store.close()
