"""The hourly limit of accounts that never had a paid block: the surplus waits or is refused, a block lifts it."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from postmeter.config import Block as BlockSettings
from postmeter.config import Demo
from postmeter.smtp.replies import QUOTA_EXHAUSTED, hourly_limit_reached, over_hourly_limit
from postmeter.store.accept import Acceptance, Accepted
from postmeter.store.engine import Store
from postmeter.store.quota import book_block
from postmeter.store.quota_tables import Throttle
from postmeter.store.tables import DEFERRED, DELIVERED, LEASED, QUEUED
from support.postage import (
    accept,
    add_worker,
    at_once,
    audit,
    funded,
    lease,
    outcome,
    recipients,
    rows,
    settle_all,
    submission,
)
from support.tenants import NOW

HOUR = 3600.0
REFUSE = Demo(on_excess="refuse")


def demo_account(store: Store, size: int = 1000) -> int:
    return funded(store, size, paid_since=None)


def leaving(store: Store) -> Counter[float]:
    """How many recipients leave when, in seconds from now."""
    return Counter(recipient.leaves_at - NOW for recipient in recipients(store))


def test_d41_of_60_mails_at_once_25_leave_in_each_rolling_hour_and_none_is_refused(store: Store) -> None:
    demo_account(store)
    worker = add_worker(store)
    answers = accept(store, *(submission(at=NOW) for _ in range(60)))
    assert all(isinstance(answer, Accepted) for answer in answers)
    left = []
    for now in (NOW, NOW + 1, NOW + HOUR - 1, NOW + HOUR, NOW + 2 * HOUR - 1, NOW + 2 * HOUR, NOW + 9 * HOUR):
        leases = lease(store, worker, now)
        left.append(len(leases))
        settle_all(store, leases, worker, DELIVERED, at=now)
    assert left == [25, 0, 0, 25, 0, 10, 0]
    audit(store)


def test_d41_where_the_surplus_is_refused_the_26th_mail_gets_450(store: Store) -> None:
    demo_account(store)
    answers = [accept(store, submission(), demo=REFUSE)[0] for _ in range(26)]
    assert all(isinstance(answer, Accepted) for answer in answers[:25])
    assert (answers[25].code, answers[25].status) == (450, "4.7.1")
    assert answers[25] == hourly_limit_reached(25)
    assert accept(store, submission(at=NOW + HOUR - 1), demo=REFUSE) == [hourly_limit_reached(25)]
    assert isinstance(accept(store, submission(at=NOW + HOUR), demo=REFUSE)[0], Accepted)
    audit(store)


def test_where_it_is_refused_all_recipients_of_a_message_fit_or_none(store: Store) -> None:
    demo_account(store)
    assert accept(store, submission(26), demo=REFUSE) == [over_hourly_limit(25)]
    answers = accept(store, submission(20), submission(6), submission(5), demo=REFUSE)
    assert [isinstance(answer, Accepted) for answer in answers] == [True, False, True]
    assert over_hourly_limit(25).permanent
    assert not hourly_limit_reached(25).permanent


@pytest.mark.parametrize("demo", [REFUSE, Demo()])
def test_who_commits_later_with_an_earlier_time_is_neither_refused_nor_made_to_wait(store: Store, demo: Demo) -> None:
    demo_account(store)
    for turn in range(25):
        [answer] = accept(store, submission(at=NOW - turn / 8), demo=demo)
        assert isinstance(answer, Accepted)
        assert answer.waits == ()
    [answer] = accept(store, submission(at=NOW - 25 / 8), demo=demo)
    assert answer == (hourly_limit_reached(25) if demo is REFUSE else Accepted((1,), (NOW - 3 + HOUR,)))
    audit(store)


def test_of_8_senders_at_once_nobody_is_refused_while_the_hour_has_room(store: Store, store_url: str) -> None:
    demo_account(store)
    answers: list[Any] = []

    def work(n: int) -> None:
        own = Store.open(store_url)
        try:
            for _ in range(4):  # each takes its time before it comes to the account's lock
                answers.extend(accept(own, submission(at=time.time()), demo=REFUSE))
        finally:
            own.close()

    at_once(work, 8)
    assert Counter(isinstance(answer, Accepted) for answer in answers) == {True: 25, False: 7}
    audit(store)


def test_the_first_recipients_of_a_message_are_leased_at_once_and_the_others_wait(store: Store) -> None:
    demo_account(store)
    worker = add_worker(store)
    answers = accept(store, submission(20, worker=worker), submission(20, worker=worker))
    assert [answer.at_once for answer in answers] == [20, 5]
    assert answers[1].waits == (NOW + HOUR,) * 15
    assert Counter((r.state, r.lease_owner) for r in recipients(store)) == {(LEASED, worker): 25, (QUEUED, None): 15}
    assert leaving(store) == {0: 25, HOUR: 15}
    audit(store)


def test_what_waits_is_known_after_the_answer_was_lost(store: Store) -> None:
    demo_account(store)
    sent = [submission(20, worker=add_worker(store)), submission(10, worker=add_worker(store)), submission(2)]
    answers = accept(store, *sent)
    assert [answer.at_once for answer in answers] == [20, 5, 0]
    with store.read() as session:
        assert Acceptance().confirm(session, sent) == answers


@pytest.mark.parametrize("after", [5, -1])
def test_what_a_block_lifts_before_the_answer_is_known_belongs_to_whoever_leases_it(store: Store, after: int) -> None:
    """Also when the booking's clock is behind: else delivery would send those that nobody has leased as well."""
    demo_account(store)
    worker = add_worker(store)
    one = submission(30, worker=worker)
    accept(store, one)
    with store.write() as session:
        book_block(session, 1, 25_000, BlockSettings(), NOW + after)
    with store.read() as session:
        [known] = Acceptance().confirm(session, [one])
    assert isinstance(known, Accepted)
    assert known.at_once == sum(recipient.lease_owner == worker for recipient in recipients(store)) == 25
    assert len(lease(store, add_worker(store), NOW + 5)[0].recipients) == 5


def test_d42_the_first_paid_block_lifts_the_limit_at_once(store: Store) -> None:
    demo_account(store)
    worker = add_worker(store)
    accept(store, *(submission() for _ in range(60)))
    settle_all(store, lease(store, worker), worker, DEFERRED, again=NOW + 300)
    with store.write() as session:
        book_block(session, 1, 25_000, BlockSettings(), NOW + 10)
    assert len(lease(store, worker, NOW + 10)) == 35  # all that waited for a slot only, and no retry before its time
    assert leaving(store) == {0: 25, 10: 35}
    assert rows(store, Throttle) == []
    answers = accept(store, submission(100, at=NOW + 11))
    assert answers[0].waits == ()
    audit(store)


def test_an_account_with_a_paid_block_has_no_limit_even_when_that_has_ended(store: Store) -> None:
    funded(store, 1000)
    answers = accept(store, submission(100))
    assert answers[0].waits == ()
    assert rows(store, Throttle) == []


def test_a_limit_of_0_is_none(store: Store) -> None:
    demo_account(store)
    assert accept(store, submission(100), demo=Demo(per_hour=0))[0].waits == ()


def test_a_retry_takes_no_slot(store: Store) -> None:
    demo_account(store)
    worker = add_worker(store)
    accept(store, submission(25))
    for now in (NOW, NOW + 60, NOW + 120):
        settle_all(store, lease(store, worker, now), worker, DEFERRED, at=now, again=now + 60)
    accept(store, submission(at=NOW + HOUR))
    assert leaving(store) == {0: 25, HOUR: 1}


def test_a_message_that_cannot_be_paid_takes_no_slot(store: Store) -> None:
    demo_account(store, 20)
    assert accept(store, submission(21)) == [QUOTA_EXHAUSTED]
    assert rows(store, Throttle) == []
    accept(store, submission(20))
    assert leaving(store) == {0: 20}


def test_the_same_message_again_takes_no_slot(store: Store) -> None:
    demo_account(store)
    one = replace(submission(20), key=b"order 17")
    accept(store, one, replace(submission(20), key=b"order 17"))
    accept(store, submission(5))
    assert leaving(store) == {0: 25}


def test_accounts_do_not_take_each_others_slots(store: Store) -> None:
    demo_account(store)
    funded(store, 1000, account=2, paid_since=None)
    accept(store, submission(25), submission(25, account=2))
    assert leaving(store) == {0: 50}


@pytest.mark.parametrize("each", [1, 3])
def test_no_rolling_hour_has_more_than_the_limit_when_many_send_at_once(
    store: Store, store_url: str, each: int
) -> None:
    demo_account(store)

    def work(n: int) -> None:
        own = Store.open(store_url)
        try:
            for turn in range(4):
                accept(own, submission(each, at=NOW + n + turn))
        finally:
            own.close()

    at_once(work, 16)
    slots = sorted(recipient.leaves_at for recipient in recipients(store))
    assert len(slots) == 64 * each
    assert all(later >= slot + HOUR for slot, later in zip(slots, slots[25:], strict=False))
    assert sum(slot < NOW + HOUR for slot in slots) == 25
    audit(store)


def test_what_a_lease_hands_over_says_since_when_it_may_leave(store: Store) -> None:
    demo_account(store)
    worker = add_worker(store)
    accept(store, submission(26))
    first, second = lease(store, worker), lease(store, worker, NOW + HOUR)
    assert {recipient.leaves_at for recipient in first[0].recipients} == {NOW}
    assert [recipient.leaves_at for recipient in second[0].recipients] == [NOW + HOUR]
    assert outcome(second[0], second[0].recipients[0], worker, DELIVERED).final
