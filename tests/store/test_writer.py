"""Group commit: few commits for many, one bad item harms no other, and nobody is told what is not so."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from sqlalchemy import event, text
from sqlalchemy.orm import Session

from postmeter.store import writer as writing
from postmeter.store.accept import Accepted, Submission
from postmeter.store.engine import Store
from postmeter.store.errors import connection_lost
from postmeter.store.queue import Picking, Wish
from postmeter.store.settle import settle
from postmeter.store.tables import DELIVERED, Account
from postmeter.store.writer import Outcomes, Writer
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
    recipients,
    rows,
    submission,
)
from support.tenants import NOW


class Desk:
    """A writer, and what it brought home, in order."""

    def __init__(self, store: Any) -> None:
        self.results: list[Any] = []
        self.posts = 0
        self.writer = Writer(store, self._post)

    def _post(self, outcomes: Outcomes) -> None:
        self.posts += 1
        for done, result in outcomes:
            done(result)

    def submit(self, change: Any, item: Any) -> None:
        self.writer.submit(change, item, lambda result: self.results.append((item, result)))

    def finish(self) -> list[Any]:
        """What came of all, after the end."""
        self.writer.start()
        self.writer.stop()
        return [result for _, result in self.results]


def note(session: Session, names: Sequence[str]) -> list[str]:
    """A change: accounts of these names; ``bad`` is refused."""
    for name in names:
        if name == "bad":
            raise ValueError(name)
        session.add(Account(name=name, created_at=NOW))
    session.flush()
    return [name.upper() for name in names]


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
        funded(store, 1000, account=account, agreement=True)
        with store.write() as session:
            add_block(session, account, 50, NOW + 100)  # pays first, though it has the higher number
    waiting = [[submission(2, account=1 + n % 2) for n in range(60)] for _ in range(2)]
    accept(store, *waiting[0], *waiting[1])
    workers = [add_worker(store), add_worker(store)]
    outcomes = [
        [outcome(one, r, worker, DELIVERED) for one in lease(store, worker, limit=120) for r in one.recipients]
        for worker in workers
    ]

    def work(n: int) -> None:
        own = Store.open(store_url)
        desk = Desk(own)
        for number, settlement in enumerate(outcomes[n][:: 1 - 2 * n]):
            desk.submit(settle, settlement)
            desk.submit(accept_all, submission(account=1 + (n + number) % 2))
        results = desk.finish()
        own.close()
        assert all(result is True or isinstance(result, Accepted) for result in results)

    at_once(work, 2)
    assert "failed" not in caplog.text
    audit(store)


# Lost answers


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
    desk.submit(picking, Wish(worker, NOW, 2))
    [[leased]] = desk.finish()
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
