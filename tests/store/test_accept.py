"""The commit behind a 250: all of a message or nothing of it, paid by the right block, exactly."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from functools import partialmethod
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postmeter.quota.level import EXHAUSTED, LOW, OVERDRAFT
from postmeter.smtp.replies import QUOTA_EXHAUSTED
from postmeter.smtp.reply import Reply
from postmeter.store import queue
from postmeter.store.accept import Acceptance, Accepted
from postmeter.store.contents import CHUNK, chunks
from postmeter.store.engine import Store
from postmeter.store.quota_tables import Block, Ledger
from postmeter.store.statement import Statement
from postmeter.store.tables import (
    DELIVERED,
    LEASED,
    QUEUED,
    Account,
    Content,
    Counter,
    Event,
    Message,
)
from support.postage import (
    CONTENT,
    accept,
    add_account,
    add_block,
    add_worker,
    at_once,
    audit,
    funded,
    lease,
    recipients,
    rows,
    settle_all,
    submission,
    told_quota,
)
from support.tenants import NOW


def left(store: Store) -> list[int]:
    return [block.left for block in rows(store, Block)]


def test_all_rows_of_a_message_are_there(store: Store) -> None:
    block, worker = funded(store, 10), add_worker(store)
    one = submission(3, worker=worker)
    assert accept(store, one) == [Accepted((block, block, block))]
    [message] = rows(store, Message)
    assert (message.id, message.account_id, message.size) == (one.id, 1, len(CONTENT))
    assert (message.body, message.smtputf8, message.sha256) == ("8BITMIME", False, hashlib.sha256(CONTENT).digest())
    assert [(r.n, r.forward_path, r.notify, r.state, r.lease_owner) for r in recipients(store)] == [
        (n, f"r{n}@example.net", "NEVER", LEASED, worker) for n in range(3)
    ]
    assert [(e.kind, e.message_id, e.recipient, e.facts) for e in rows(store, Event)] == [
        ("accepted", one.id, None, {"size": len(CONTENT)})
    ]
    [counter] = rows(store, Counter)
    assert (counter.connection_id, counter.bucket, counter.arrived) == (7, int(NOW) // 900 * 900, 3)
    assert [(e.kind, e.units) for e in rows(store, Ledger)] == [("book", 10), ("reserve", -3)]
    [row] = rows(store, Block)
    assert (row.left, row.reserved, row.charged) == (7, 3, 0)
    audit(store)


def test_a_message_without_a_worker_waits_in_the_queue(store: Store) -> None:
    funded(store)
    accept(store, submission())
    [recipient] = recipients(store)
    assert (recipient.state, recipient.lease_owner, recipient.next_attempt_at) == (QUEUED, None, NOW)


def odd_blocks(content: bytes) -> Iterator[bytes]:
    choose, at = random.Random(1), 0
    while at < len(content):
        size = choose.choice([1, 77, 4096, 65_537, CHUNK + 1])
        yield content[at : at + size]
        at += size


def test_a_large_content_is_kept_inchunks(store: Store) -> None:
    funded(store)
    content = random.Random(2).randbytes(3_500_000)
    large, small = submission(blocks=odd_blocks(content)), submission()
    accept(store, small, large, submission())
    chunks = [row for row in rows(store, Content) if row.message_id == large.id]
    assert [row.n for row in chunks] == [0, 1, 2, 3]
    assert {len(row.data) for row in chunks[:3]} == {CHUNK}
    assert b"".join(row.data for row in chunks) == content
    digests = {message.id: message.sha256 for message in rows(store, Message)}
    assert digests[large.id] == hashlib.sha256(content).digest()
    with store.read() as session:
        assert queue.content(session, 1, large.id) == content
        assert queue.content(session, 1, small.id) == CONTENT
    audit(store)


@settings(max_examples=50)
@given(st.lists(st.integers(0, CHUNK + CHUNK // 2), max_size=4))
def test_chunks_do_not_depend_on_blocks(sizes: list[int]) -> None:
    blocks = [bytes([n]) * size for n, size in enumerate(sizes)]
    made = list(chunks(blocks))
    assert b"".join(made) == b"".join(blocks)
    assert all(len(chunk) == CHUNK for chunk in made[:-1])
    assert len(made[-1]) <= CHUNK


def test_an_empty_content_is_kept_too(store: Store) -> None:
    funded(store)
    one = submission(blocks=())
    accept(store, one)
    with store.read() as session:
        assert queue.content(session, 1, one.id) == b""


def test_a_group_may_be_of_several_accounts(store: Store) -> None:
    funded(store, 2, account=1)
    funded(store, 0, account=2)
    funded(store, 5, account=3, agreement=True)
    answers = accept(store, *(submission(2, account=n) for n in (1, 2, 3, 1)))
    assert [isinstance(answer, Accepted) for answer in answers] == [True, False, True, False]
    assert left(store) == [0, 0, 3]
    audit(store)


def test_an_account_without_quota_is_refused_and_nothing_is_stored(store: Store) -> None:
    with store.write() as session:
        add_account(session)
    assert accept(store, submission()) == [QUOTA_EXHAUSTED]
    assert [rows(store, t) for t in (Message, Content, Event, Counter, Ledger)] == [[]] * 5
    assert recipients(store) == []


def test_all_recipients_of_a_message_are_paid_or_none(store: Store) -> None:
    funded(store, 2)
    answers = accept(store, submission(3), submission(2), submission(1))
    assert [isinstance(answer, Accepted) for answer in answers] == [False, True, False]
    audit(store)


def test_a_blocked_account_is_refused(store: Store) -> None:
    funded(store, 5, blocked="unpaid", agreement=True)
    [answer] = accept(store, submission())
    assert isinstance(answer, Reply)
    assert not answer.positive
    assert "unpaid" in answer.text
    assert left(store) == [5]


@pytest.mark.parametrize(
    ("policy", "agreement", "goes_on"),
    [
        ("agreement", True, True),
        ("agreement", False, False),
        ("always", False, True),
        ("never", True, False),
    ],
)
def test_beyond_all_blocks_the_policy_decides(store: Store, policy: str, agreement: bool, goes_on: bool) -> None:
    block = funded(store, 2, agreement=agreement)
    [answer] = accept(store, submission(3), policy=policy)
    assert answer == (Accepted((block, block, None)) if goes_on else QUOTA_EXHAUSTED)
    assert [account.overdraft for account in rows(store, Account)] == [1 if goes_on else 0]
    audit(store)


def test_the_soonest_expiry_pays_first_then_the_oldest(store: Store) -> None:
    with store.write() as session:
        add_account(session)
        late = add_block(session, 1, 2, NOW + 300, NOW - 9)
        young = add_block(session, 1, 2, NOW + 200, NOW - 1)
        old = add_block(session, 1, 2, NOW + 200, NOW - 2)
        soon = add_block(session, 1, 2, NOW + 100, NOW)
    answers = accept(store, submission(3), submission(5))
    assert answers == [Accepted((soon, soon, old)), Accepted((old, young, young, late, late))]
    audit(store)


def test_an_expired_block_never_pays(store: Store) -> None:
    with store.write() as session:
        add_account(session)
        add_block(session, 1, 5, NOW)
        add_block(session, 1, 5, NOW - 1)
    assert isinstance(accept(store, submission(at=NOW - 0.5))[0], Accepted)
    assert accept(store, submission()) == [QUOTA_EXHAUSTED]
    assert left(store) == [0, 0]
    audit(store)


def test_an_account_that_is_gone_is_an_error(store: Store) -> None:
    with pytest.raises(IndexError):
        accept(store, submission(account=9))
    assert recipients(store) == []


# At the same time


def test_eight_processes_accept_exactly_as_many_as_are_paid_for(store: Store, store_url: str) -> None:
    with store.write() as session:
        add_account(session, threshold=10)
        for size in (5, 25, 10):
            add_block(session, 1, size, NOW + 1000 - size)
    accepted: list[int] = []

    def work(n: int) -> None:
        own = Store.open(store_url)
        try:
            for _ in range(10):
                accepted.extend(isinstance(answer, Accepted) for answer in accept(own, submission()))
        finally:
            own.close()

    at_once(work, 8)
    assert (len(accepted), sum(accepted)) == (80, 40)
    assert len(recipients(store)) == 40
    assert told_quota(store) == [
        (LOW, {"left": 9, "threshold": 10}),
        (EXHAUSTED, {"left": 0, "threshold": 10}),
    ]
    audit(store)


def test_two_overdraw_at_once_and_it_is_told_once(store: Store, store_url: str) -> None:
    funded(store, 0, agreement=True)

    def work(n: int) -> None:
        own = Store.open(store_url)
        try:
            for _ in range(5):
                accept(own, submission())
        finally:
            own.close()

    at_once(work, 4)
    assert told_quota(store) == [(OVERDRAFT, {"overdraft": 1})]
    audit(store)


# Failures


class Injected(Exception):
    """Raised by a statement on purpose."""


def test_a_failure_at_any_statement_leaves_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    funded(store, 10, threshold=9, agreement=True)
    run, calls = Statement.run, count()
    for nth in range(1, 20):
        monkeypatch.setattr(Statement, "run", partialmethod(_failing, run, calls := count(1), nth))
        one = submission(11)
        try:
            accept(store, one)
        except Injected:
            assert [rows(store, t) for t in (Message, Content, Event, Counter)] == [[]] * 4
            assert recipients(store) == []
            assert left(store) == [10]
            assert [entry.kind for entry in rows(store, Ledger)] == ["book"]
        else:
            break
    assert next(calls) == 11  # block, overdraft, ledger, notice, content, message, recipients, event, use, counter
    audit(store)


def _failing(self: Statement, run: Any, calls: Iterator[int], nth: int, *args: Any) -> int:
    if next(calls) == nth:
        raise Injected
    touched: int = run(self, *args)
    return touched


# Lost answers


def test_what_is_stored_is_known_after_the_answer_was_lost(store: Store) -> None:
    block = funded(store, 3, agreement=True)
    known, unknown = submission(4), submission(1)
    accept(store, known)
    with store.read() as session:
        assert Acceptance().confirm(session, [unknown, known]) == [None, Accepted((block, block, block, None))]


def test_it_is_known_even_when_it_was_delivered_meanwhile(store: Store) -> None:
    block, worker = funded(store, 3), add_worker(store)
    known = submission(1)
    accept(store, known)
    settle_all(store, lease(store, worker), worker, DELIVERED)
    with store.read() as session:
        assert Acceptance().confirm(session, [known]) == [Accepted((block,))]
