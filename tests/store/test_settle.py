"""What attempts come to: one final state, one charge, content as long as it is needed, and books that agree."""

from __future__ import annotations

import random
import threading

import pytest
from sqlalchemy import text

from postmeter.store import queue
from postmeter.store.engine import Store
from postmeter.store.events import Fact, Position, after
from postmeter.store.quota_tables import Block
from postmeter.store.settle import MAX_REPLY, LeaseLost, settle
from postmeter.store.tables import (
    BOUNCED,
    DEFERRED,
    DELIVERED,
    EXPIRED,
    FINAL,
    Account,
    Content,
    Counter,
)
from support.postage import (
    accept,
    add_block,
    add_worker,
    at_once,
    audit,
    funded,
    kinds,
    lease,
    leased,
    outcome,
    recipients,
    rows,
    settle_all,
    submission,
)
from support.tenants import NOW


@pytest.fixture
def worker(store: Store) -> int:
    """A worker, and an account with a block of 1,000."""
    funded(store)
    return add_worker(store)


def money(store: Store) -> tuple[int, int, int]:
    [block] = rows(store, Block)
    return (block.left, block.reserved, block.charged)


def counted(store: Store) -> dict[str, int]:
    names = ("arrived", "delivered", "bounced", "deferred")
    return {name: sum(getattr(row, name) for row in rows(store, Counter)) for name in names}


def told(store: Store) -> list[Fact]:
    with store.read() as session:
        return after(session, Position(0, 0), 100, [DELIVERED, BOUNCED, EXPIRED, DEFERRED])


def test_a_delivered_recipient_is_final_charged_counted_and_told(store: Store, worker: int) -> None:
    one = leased(store, worker)
    assert settle_all(store, [one], worker, DELIVERED, at=NOW + 5) == [True]
    [recipient] = recipients(store)
    assert (recipient.state, recipient.charge, recipient.attempts, recipient.final_at) == (
        DELIVERED,
        "charged",
        1,
        NOW + 5,
    )
    assert (recipient.lease_owner, recipient.reply, recipient.in_doubt) == (None, "250 ok", 0)
    assert money(store) == (999, 0, 1)
    assert counted(store) == {"arrived": 1, "delivered": 1, "bounced": 0, "deferred": 0}
    [fact] = told(store)
    assert (fact.kind, fact.recipient, fact.forward_path) == (DELIVERED, 0, "r0@example.net")
    assert fact.facts == {"reply": "250 ok", "attempt": 1, "remote": "mx.example.net"}
    assert rows(store, Content) == []
    audit(store)


@pytest.mark.parametrize(("transmitted", "expected"), [(True, (999, 0, 1)), (False, (1000, 0, 0))])
@pytest.mark.parametrize("state", [BOUNCED, EXPIRED])
def test_a_bounce_is_charged_if_a_server_was_given_it(
    store: Store, worker: int, state: str, transmitted: bool, expected: tuple[int, int, int]
) -> None:
    settle_all(store, [leased(store, worker)], worker, state, transmitted=transmitted)
    assert money(store) == expected
    assert counted(store)["bounced"] == 1
    audit(store)


def test_an_overdraft_is_given_back_when_nothing_was_sent(store: Store) -> None:
    funded(store, 0, agreement=True)
    worker = add_worker(store)
    settle_all(store, [leased(store, worker, 2)], worker, BOUNCED, transmitted=False)
    assert [account.overdraft for account in rows(store, Account)] == [0]
    audit(store)


def test_a_deferred_recipient_is_charged_once_and_leaves_the_gauge(store: Store, worker: int) -> None:
    settle_all(store, [leased(store, worker)], worker, DEFERRED, again=NOW + 60, reply="451 later")
    assert counted(store)["deferred"] == 1
    assert money(store) == (999, 0, 1)
    assert len(rows(store, Content)) == 1
    audit(store)
    again = lease(store, worker, NOW + 60)
    settle_all(store, again, worker, DEFERRED, at=NOW + 61, again=NOW + 90)
    assert counted(store)["deferred"] == 1
    audit(store)
    settle_all(store, lease(store, worker, NOW + 90), worker, DELIVERED, at=NOW + 2000)
    assert counted(store) == {"arrived": 1, "delivered": 1, "bounced": 0, "deferred": 0}
    assert money(store) == (999, 0, 1)
    assert kinds(store)[-3:] == [DEFERRED, DEFERRED, DELIVERED]
    assert [fact.facts["attempt"] for fact in told(store)] == [1, 2, 3]
    audit(store)


def places(store: Store) -> dict[tuple[str, str], tuple[int, ...]]:
    """What is counted by sending domain and receiving provider."""
    names = ("arrived", "delivered", "bounced", "deferred")
    found: dict[tuple[str, str], tuple[int, ...]] = {}
    for row in rows(store, Counter):
        figures, before = (getattr(row, name) for name in names), found.get((row.domain, row.provider), (0,) * 4)
        found[row.domain, row.provider] = tuple(map(sum, zip(figures, before, strict=True)))
    return found


def test_an_attempt_counts_at_the_provider_that_it_was_made_at(store: Store, worker: int) -> None:
    settle_all(store, [leased(store, worker)], worker, DELIVERED, provider="Google")
    settle_all(store, [leased(store, worker)], worker, BOUNCED, provider="other")
    assert places(store) == {
        ("shop.example", ""): (2, 0, 0, 0),
        ("shop.example", "Google"): (0, 1, 0, 0),
        ("shop.example", "other"): (0, 0, 1, 0),
    }
    assert [recipient.provider for recipient in recipients(store)] == ["Google", "other"]
    audit(store)


@pytest.mark.parametrize("final", [DELIVERED, BOUNCED, EXPIRED])
def test_a_recipient_is_deferred_at_the_provider_of_its_last_attempt_that_knew_one(
    store: Store, worker: int, final: str
) -> None:
    ways = iter([("", ""), ("Google", "Google"), ("", "Google"), ("Mimecast", "Mimecast"), ("Mimecast", "Mimecast")])
    at = NOW
    settle_all(store, [leased(store, worker)], worker, DEFERRED, again=at)
    for provider, known in ways:
        at += 1000
        settle_all(store, lease(store, worker, at), worker, DEFERRED, at=at, again=at, provider=provider)
        assert [recipient.provider for recipient in recipients(store)] == [known]
        audit(store)
    settle_all(store, lease(store, worker, at), worker, final, at=at + 1000, provider="Google")
    assert {place: figures[1:] for place, figures in places(store).items() if any(figures[1:])} == {
        ("shop.example", "Google"): (1, 0, 0) if final == DELIVERED else (0, 1, 0)
    }
    audit(store)


def test_a_unit_stays_reserved_until_a_server_is_given_the_mail(store: Store, worker: int) -> None:
    settle_all(store, [leased(store, worker)], worker, DEFERRED, transmitted=False, again=NOW + 1)
    assert money(store) == (999, 1, 0)
    settle_all(store, lease(store, worker, NOW + 1), worker, EXPIRED, transmitted=False)
    assert money(store) == (1000, 0, 0)
    audit(store)


def test_the_content_stays_until_the_last_recipient_is_final(store: Store, worker: int) -> None:
    one = leased(store, worker, 3)
    outcomes = [outcome(one, r, worker, state) for r, state in zip(one.recipients, FINAL[:3], strict=True)]
    for settlement in outcomes[:2]:
        with store.write() as session:
            settle(session, [settlement])
        assert len(rows(store, Content)) == 1
        audit(store)
    with store.write() as session:
        settle(session, outcomes[2:])
    assert rows(store, Content) == []
    audit(store)


def test_the_last_two_recipients_may_end_at_the_same_time(store: Store, store_url: str, worker: int) -> None:
    messages = [submission(2) for _ in range(10)]
    accept(store, *messages)
    by_number = [[], []]  # type: list[list[Any]]
    for one in lease(store, worker):
        for recipient in one.recipients:
            by_number[recipient.n].append(outcome(one, recipient, worker, DELIVERED))

    def work(n: int) -> None:
        own = Store.open(store_url)
        try:
            for settlement in by_number[n]:
                with own.write() as session:
                    settle(session, [settlement])
        finally:
            own.close()

    at_once(work, 2)
    assert rows(store, Content) == []
    audit(store)


def test_the_last_two_may_end_at_the_same_time_without_touching_the_same_rows(postgres_url: str) -> None:
    """Both are charged already and are counted in different quarters of an hour: only the message holds them up."""
    store = Store.open(postgres_url)
    funded(store)
    worker = add_worker(store)
    settle_all(store, [leased(store, worker, 2)], worker, DEFERRED)
    [one] = lease(store, worker)
    first, second = (outcome(one, r, worker, DELIVERED, NOW + 900 * r.n) for r in one.recipients)

    def end_second() -> None:
        with store.write() as session:
            settle(session, [second])

    thread = threading.Thread(target=end_second)
    with store.write() as session:
        settle(session, [first])
        thread.start()
        while thread.is_alive() and not somebody_waits(store):
            thread.join(0.01)
    thread.join()
    assert rows(store, Content) == []
    audit(store)
    store.close()


def somebody_waits(store: Store) -> bool:
    with store.read() as session:
        return bool(session.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")))


def test_who_pays_and_who_settles_lock_blocks_in_the_same_order(postgres_url: str) -> None:
    store = Store.open(postgres_url)
    funded(store)
    worker = add_worker(store)
    accept(store, *(submission() for _ in range(80)))
    with store.write() as session:
        add_block(session, 1, 1000, NOW + 100)  # pays first from now on, though it has the higher number
    accept(store, *(submission() for _ in range(80)))
    made = [outcome(one, one.recipients[0], worker, DELIVERED) for one in lease(store, worker)]
    made.sort(key=lambda settlement: settlement.recipient.block_id or 0)
    pairs = list(zip(made[:80], made[80:], strict=True))

    def work(n: int) -> None:
        for pair in pairs:
            if n:
                accept(store, submission())
            else:
                with store.write() as session:
                    settle(session, pair)

    at_once(work, 3)
    audit(store)
    store.close()


def test_an_outcome_is_recorded_once(store: Store, worker: int) -> None:
    one = leased(store, worker)
    assert settle_all(store, [one], worker, DELIVERED) == [True]
    assert settle_all(store, [one], worker, BOUNCED) == [False]
    assert [r.state for r in recipients(store)] == [DELIVERED]
    audit(store)


def test_a_group_with_a_lost_lease_records_nothing_at_all(store: Store, worker: int) -> None:
    accept(store, submission(), submission())
    both = lease(store, worker)
    settle_all(store, both[:1], worker, DELIVERED)
    with pytest.raises(LeaseLost):
        settle_all(store, both, worker, DELIVERED)
    assert sorted(r.state for r in recipients(store)) == [DELIVERED, "leased"]
    audit(store)


def test_an_attempt_in_doubt_is_counted_and_told(store: Store, worker: int) -> None:
    settle_all(store, [leased(store, worker)], worker, DEFERRED, in_doubt=True)
    [recipient] = recipients(store)
    assert recipient.in_doubt == 1
    assert told(store)[0].facts["possible_duplicate"] is True
    assert "in_doubt_before" not in told(store)[0].facts


def test_the_attempt_after_one_that_was_lost_with_its_worker_says_so(store: Store, worker: int) -> None:
    accept(store, submission())
    lease(store, worker)
    for lost in (1, 2):
        with store.write() as session:
            queue.take_over(session, NOW + 1e6 + 1)
        again = add_worker(store)
        taken = lease(store, again, NOW + 1e6 + 1_000 * lost)
        assert [one.in_doubt for one in taken[0].recipients] == [lost]
    settle_all(store, taken, again, DEFERRED, again=NOW + 2e6)
    settle_all(store, lease(store, again, NOW + 3e6), again, DELIVERED)
    assert [event.facts["in_doubt_before"] for event in told(store)] == [2, 2]


def test_a_group_may_be_of_several_blocks_and_accounts(store: Store, worker: int) -> None:
    funded(store, 1, account=2, agreement=True)
    with store.write() as session:
        add_block(session, 1, 5, NOW + 1)
    accept(store, submission(6), submission(3, account=2), submission(1))
    choose = random.Random(3)
    made = [
        outcome(one, recipient, worker, choose.choice([DELIVERED, BOUNCED, EXPIRED]), transmitted=choose.random() < 0.5)
        for one in lease(store, worker)
        for recipient in one.recipients
    ]
    with store.write() as session:
        assert settle(session, made) == [True] * 10
    audit(store)


@pytest.mark.parametrize("odd", ["nul \0 in it", "half a character \ud800", "é" * 5000])
def test_every_reply_can_be_stored(store: Store, worker: int, odd: str) -> None:
    settle_all(store, [leased(store, worker)], worker, DEFERRED, reply=odd)
    [recipient] = recipients(store)
    assert recipient.reply.encode()[:4] == odd.encode("utf-8", "replace")[:4]
    assert "\0" not in recipient.reply
    assert len(recipient.reply.encode()) <= MAX_REPLY
    assert told(store)[0].facts["reply"] == recipient.reply
