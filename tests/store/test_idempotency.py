"""Messages with the same key: the first is accepted, whoever comes when, and the key is free again after a day."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import text

from postmeter.smtp.replies import QUOTA_EXHAUSTED
from postmeter.store import idempotency, quota_tables, recipient_tables, tables
from postmeter.store import rows as deleting
from postmeter.store.accept import Accepted, Duplicate, Submission
from postmeter.store.engine import Store
from postmeter.store.idempotency import KEPT
from support.desk import Desk
from support.postage import (
    accept,
    accept_all,
    add_account,
    add_block,
    at_once,
    audit,
    funded,
    recipients,
    rows,
    submission,
)
from support.tenants import NOW

TABLES = (
    tables.Message,
    tables.Content,
    tables.Recipient,
    tables.Event,
    quota_tables.Ledger,
    tables.Counter,
    quota_tables.Block,
)


def keyed(key: bytes = b"order 17", recipients: int = 1, *, connection: int = 7, **more: Any) -> Submission:
    """A message with a key."""
    return replace(submission(recipients, **more), key=key, connection_id=connection)


def state(store: Store) -> dict[str, list[dict[str, Any]]]:
    """All rows that a message makes."""
    return {
        entity.__tablename__: [{k: v for k, v in vars(row).items() if k[0] != "_"} for row in rows(store, entity)]
        for entity in TABLES
    }


def keys(store: Store) -> list[str]:
    """The messages that keys stand for."""
    return [row.message_id for row in rows(store, recipient_tables.Idempotency)]


def test_the_second_message_with_a_key_is_the_first_and_leaves_nothing(store: Store) -> None:
    block = funded(store)
    first = keyed(recipients=2)
    assert accept(store, first) == [Accepted((block, block))]
    before = state(store)
    assert accept(store, keyed(recipients=2)) == [Duplicate(first.id)]
    assert accept(store, keyed(recipients=2), turned(keyed(recipients=2))) == [Duplicate(first.id)] * 2
    assert state(store) == before
    audit(store)


def turned(submission: Submission) -> Submission:
    """The same with its recipients in the other order."""
    envelope = submission.envelope
    return replace(submission, envelope=replace(envelope, recipients=envelope.recipients[::-1]))


def test_the_same_mail_to_others_is_another_message(store: Store) -> None:
    block = funded(store)
    assert accept(store, keyed(), keyed(recipients=2)) == [Accepted((block,)), Accepted((block, block))]
    assert len(recipients(store)) == 3
    assert len(keys(store)) == 2
    audit(store)


def test_messages_of_one_group_may_have_the_same_key(store: Store) -> None:
    block = funded(store)
    one, other, plain = keyed(b"b"), keyed(b"a"), submission()
    answers = accept(store, one, plain, other, keyed(b"b"), submission(), keyed(b"a"))
    once = Accepted((block,))
    assert answers == [once, once, once, Duplicate(one.id), once, Duplicate(other.id)]
    assert len(recipients(store)) == 4
    audit(store)


def test_the_key_belongs_to_one_connection_of_one_account(store: Store) -> None:
    funded(store)
    funded(store, account=2)
    answers = accept(store, keyed(), keyed(connection=8), keyed(account=2), keyed(b"order 18"), keyed(b"order 17 "))
    assert all(isinstance(answer, Accepted) for answer in answers)
    assert len(recipients(store)) == len(keys(store)) == 5


def test_without_a_key_no_key_is_asked_for(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    funded(store)
    monkeypatch.setattr(idempotency, "_CLAIM", None)
    assert all(isinstance(answer, Accepted) for answer in accept(store, submission(), submission()))


def test_a_key_is_free_again_after_a_day(store: Store) -> None:
    funded(store)
    first, second = keyed(), keyed(at=NOW + KEPT)
    accept(store, first)
    assert accept(store, keyed(at=NOW + KEPT - 1)) == [Duplicate(first.id)]
    assert isinstance(accept(store, second)[0], Accepted)
    assert accept(store, keyed(at=NOW + KEPT + 1)) == [Duplicate(second.id)]
    assert accept(store, keyed(at=NOW + 2 * KEPT - 1)) == [Duplicate(second.id)]
    assert keys(store) == [second.id]
    audit(store)


# What is refused


def test_a_duplicate_is_answered_though_nothing_is_left_or_allowed(store: Store) -> None:
    funded(store, 1)
    first = keyed()
    accept(store, first)
    assert accept(store, submission(), keyed()) == [QUOTA_EXHAUSTED, Duplicate(first.id)]
    with store.write() as session:
        session.get_one(tables.Account, 1).blocked = "unpaid"
    assert accept(store, keyed()) == [Duplicate(first.id)]
    audit(store)


def test_a_message_that_is_refused_does_not_keep_its_key(store: Store) -> None:
    with store.write() as session:
        add_account(session)
    assert accept(store, keyed()) == [QUOTA_EXHAUSTED]
    assert keys(store) == []
    with store.write() as session:
        block = add_block(session, 1, 5)
    assert accept(store, keyed()) == [Accepted((block,))]
    audit(store)


def test_in_a_group_the_first_that_can_be_paid_has_the_key(store: Store) -> None:
    block = funded(store, 2)
    large, small = keyed(recipients=3), keyed()
    assert accept(store, large, small, keyed(), keyed(recipients=3)) == [
        QUOTA_EXHAUSTED,
        Accepted((block,)),
        Duplicate(small.id),
        QUOTA_EXHAUSTED,
    ]
    assert keys(store) == [small.id]
    audit(store)


def test_a_refusal_does_not_bring_an_old_key_back(store: Store) -> None:
    funded(store, 1)
    accept(store, keyed())
    assert accept(store, keyed(at=NOW + KEPT)) == [QUOTA_EXHAUSTED]
    assert keys(store) == []


def test_a_failed_commit_takes_the_key_with_it(store: Store) -> None:
    funded(store)

    def broken() -> Iterator[bytes]:
        yield b"x"
        raise OSError("the spool is gone")

    with pytest.raises(OSError, match="spool"):
        accept(store, replace(keyed(), content=broken))
    assert keys(store) == []
    assert isinstance(accept(store, keyed())[0], Accepted)
    audit(store)


# At the same time


@contextmanager
def own(store_url: str) -> Iterator[Store]:
    """A store as another process has it."""
    opened = Store.open(store_url)
    try:
        yield opened
    finally:
        opened.close()


def settled(answers: list[tuple[Submission, Any]]) -> dict[bytes, str]:
    """The message of each key, when exactly one was accepted and all others are told its id."""
    first = {one.key: one.id for one, answer in answers if isinstance(answer, Accepted)}
    assert sum(isinstance(answer, Accepted) for _, answer in answers) == len(first)
    for one, answer in answers:
        assert isinstance(answer, Accepted) or answer == Duplicate(first[one.key])
    return first


@pytest.mark.parametrize("paid", [True, False], ids=["paid", "overdraft"])
def test_two_writers_with_the_same_key_accept_it_once(store: Store, store_url: str, paid: bool) -> None:
    funded(store, 1000 if paid else 0, agreement=True)
    answers: list[tuple[Submission, Any]] = []

    def work(n: int) -> None:
        with own(store_url) as mine:
            desk = Desk(mine)
            for number in range(20):
                desk.submit(accept_all, keyed(b"%d" % number, 1 + number % 3))
            desk.finish()
            answers.extend(desk.results)

    at_once(work, 2)
    first = settled(answers)
    assert len(answers) == 2 * len(first) == 40
    assert {message.id for message in rows(store, tables.Message)} == set(first.values()) == set(keys(store))
    audit(store)


def test_many_with_the_same_key_at_the_same_moment(store: Store, store_url: str) -> None:
    with store.write() as session:
        add_account(session, agreement=True)  # without a block, whose lock would make them queue up before
    answers: list[tuple[Submission, Any]] = []

    def work(n: int) -> None:
        with own(store_url) as mine:
            for number in range(10):
                one = keyed(b"%d" % number)
                answers.append((one, accept(mine, one)[0]))

    at_once(work, 6)
    assert len(settled(answers)) == len(recipients(store)) == 10
    audit(store)


def test_groups_with_the_same_keys_in_another_order_do_not_deadlock(store: Store, store_url: str) -> None:
    with store.write() as session:
        for account in (1, 2):
            add_account(session, account, agreement=True)
    answers: list[tuple[Submission, Any]] = []

    def work(n: int) -> None:
        choose = random.Random(n)
        with own(store_url) as mine:
            for turn in range(8):
                group = [keyed(b"%d %d" % (turn, k), account=a) for k in range(6) for a in (1, 2)]
                choose.shuffle(group)
                answers.extend(zip(group, accept(mine, *group), strict=True))
                with mine.write() as session:
                    idempotency.forget(session, NOW + turn)

    at_once(work, 4)
    by_account = [[(one, answer) for one, answer in answers if one.account_id == a] for a in (1, 2)]
    assert [len(settled(some)) for some in by_account] == [48, 48]
    assert len(recipients(store)) == 96
    audit(store)


class Injected(Exception):
    """Ends a transaction."""


def test_who_comes_second_waits_and_has_the_key_when_the_first_one_fails(postgres_url: str) -> None:
    answers: list[Any] = []
    with own(postgres_url) as one, own(postgres_url) as two:
        with one.write() as session:
            add_account(session, agreement=True)
        second = threading.Thread(target=lambda: answers.extend(accept(two, keyed())))
        with pytest.raises(Injected), one.write() as session:
            accept_all(session, [keyed()])
            second.start()
            wait_for_somebody_to_wait(one)
            raise Injected
        second.join(20)
        assert answers == [Accepted((None,))]
        assert len(recipients(one)) == 1
        audit(one)


def wait_for_somebody_to_wait(store: Store) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with store.read() as session:
            if session.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")):
                return
        time.sleep(0.01)
    pytest.fail("nobody waits")


# Lost answers


def test_after_a_lost_answer_it_is_known_what_a_key_stands_for(store: Store) -> None:
    block = funded(store, 2)
    first, double, plain, free = keyed(), keyed(), submission(), keyed(b"other")
    accept(store, first)
    with store.read() as session:
        found = accept_all.confirm(session, [double, first, plain, free, keyed(at=NOW + KEPT)])
    assert found == [Duplicate(first.id), Accepted((block,)), None, None, None]


# What is over


def test_old_keys_are_deleted_some_at_a_time(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deleting, "BATCH", 3)
    funded(store)
    accept(store, *(keyed(b"%d" % n, at=NOW - n) for n in range(8)))
    gone = []
    for _ in range(4):
        with store.write() as session:
            gone.append(idempotency.forget(session, NOW + KEPT - 2))
    assert gone == [3, 3, 0, 0]
    assert len(keys(store)) == 2


def test_a_key_that_is_taken_anew_is_passed_over(postgres_url: str) -> None:
    with own(postgres_url) as one, own(postgres_url) as two:
        funded(one)
        accept(one, keyed(), keyed(b"other"))
        with one.write() as session:
            accept_all(session, [keyed(at=NOW + KEPT)])
            with two.write() as other:
                assert idempotency.forget(other, NOW + KEPT) == 1
        assert len(keys(one)) == 1
