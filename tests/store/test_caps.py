"""Caps of connections: exact by the clock's hour, day and month, also when many submit at once."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from postmeter.errors import UsageError
from postmeter.smtp.replies import cap_reached, over_cap
from postmeter.store.accept import Accepted, Submission
from postmeter.store.connections import Caps, access, add_connection, connection_by_name, connections_of, set_caps
from postmeter.store.engine import Store
from postmeter.store.tables import Account
from support.postage import accept, add_account, add_block, at_once, audit, recipients, submission
from support.tenants import NOW, SECRETS, make_account, make_domain

MIDNIGHT = datetime(2027, 1, 31, tzinfo=UTC).timestamp()  # the last day of a month


@pytest.fixture
def connection(store: Store) -> int:
    """A connection of account 1, which has blocks."""
    with store.write() as session:
        add_account(session)
        add_block(session, 1, 100_000, MIDNIGHT + 1e7)
        account = session.get_one(Account, 1)
        make_domain(session, account)
        return add_connection(session, SECRETS, account, "shop", ["shop.example"], NOW).connection_id


def cap(store: Store, **caps: int) -> None:
    with store.write() as session:
        set_caps(session, connection_by_name(session, session.get_one(Account, 1), "shop"), Caps(**caps))


def message(connection: int, number: int, at: float) -> Submission:
    return replace(submission(number, at=at), connection_id=connection, capped=True)


def taken(store: Store, *messages: Submission) -> list[bool]:
    return [isinstance(answer, Accepted) for answer in accept(store, *messages)]


def test_over_the_cap_of_an_hour_it_is_450_until_the_hour_ends(store: Store, connection: int) -> None:
    cap(store, per_hour=10)
    noon = MIDNIGHT + 12 * 3600
    group = [message(connection, n, noon + n) for n in (6, 5, 4)]
    assert taken(store, *group) == [True, False, True]
    answers = accept(store, message(connection, 1, noon + 3599))
    assert answers == [cap_reached(10, "hour", "2027-01-31T13:00:00Z")]
    assert (answers[0].code, answers[0].status) == (450, "4.7.1")
    assert len(recipients(store)) == 10
    assert taken(store, message(connection, 10, noon + 3600)) == [True]
    audit(store)


def test_each_cap_counts_for_itself(store: Store, connection: int) -> None:
    cap(store, per_hour=4, per_day=6, per_month=9)
    eve, day = MIDNIGHT - 3600, MIDNIGHT
    assert taken(store, message(connection, 3, eve)) == [True]
    assert taken(store, message(connection, 4, day)) == [True]
    assert accept(store, message(connection, 1, day + 60)) == [cap_reached(4, "hour", "2027-01-31T01:00:00Z")]
    assert accept(store, message(connection, 3, day + 3600)) == [cap_reached(6, "day", "2027-02-01T00:00:00Z")]
    assert taken(store, message(connection, 2, day + 3600)) == [True]
    assert accept(store, message(connection, 1, day + 7200)) == [cap_reached(6, "day", "2027-02-01T00:00:00Z")]
    cap(store, per_month=9)
    assert accept(store, message(connection, 1, day + 7200)) == [cap_reached(9, "month", "2027-02-01T00:00:00Z")]
    assert taken(store, message(connection, 9, day + 86_400)) == [True]
    audit(store)


def test_a_group_across_the_end_of_an_hour_counts_each_message_in_its_own(store: Store, connection: int) -> None:
    cap(store, per_hour=3, per_day=5)
    end = MIDNIGHT + 3600
    group = [message(connection, n, at) for n, at in ((3, end - 0.1), (1, end - 0.05), (2, end), (1, end + 0.1))]
    assert taken(store, *group) == [True, False, True, False]
    audit(store)


def test_a_message_that_no_hour_could_take_is_refused_for_good(store: Store, connection: int) -> None:
    cap(store, per_hour=10)
    assert accept(store, message(connection, 11, NOW)) == [over_cap(10, "hour")]
    assert over_cap(10, "hour").permanent


def test_what_was_submitted_before_the_cap_counts(store: Store, connection: int) -> None:
    assert taken(store, replace(message(connection, 8, NOW), capped=False)) == [True]
    cap(store, per_hour=10)
    assert taken(store, message(connection, 3, NOW + 1), message(connection, 2, NOW + 1)) == [False, True]


def test_a_refused_message_and_a_second_one_with_its_key_do_not_count(store: Store, connection: int) -> None:
    cap(store, per_hour=10)
    keyed = [replace(message(connection, 4, NOW), key=b"order 17") for _ in range(2)]
    accept(store, *keyed, replace(message(connection, 200_000, NOW), capped=False))
    assert taken(store, message(connection, 6, NOW)) == [True]


def test_the_cap_is_exact_when_many_submit_at_once(store: Store, store_url: str, connection: int) -> None:
    cap(store, per_hour=40)
    answers: list[Any] = []

    def work(n: int) -> None:
        own = Store.open(store_url)
        try:
            for _ in range(5):
                answers.extend(accept(own, message(connection, 3, NOW)))
        finally:
            own.close()

    at_once(work, 8)
    assert sum(isinstance(answer, Accepted) for answer in answers) == 13
    audit(store)


def test_an_access_says_whether_there_are_caps(store: Store) -> None:
    with store.write() as session:
        account = make_account(session)
        make_domain(session, account)
        added = add_connection(session, SECRETS, account, "shop", ["shop.example"], NOW)
        one = access(session, added.username)
        set_caps(session, connection_by_name(session, account, " shop "), Caps(per_month=5))
        session.expire_all()
        two = access(session, added.username)
        assert [facts.caps for facts in connections_of(session, None)] == [Caps(0, 0, 5)]
    assert one is not None
    assert two is not None
    assert (one.capped, two.capped) == (False, True)


def test_a_cap_that_cannot_be_is_refused(store: Store, connection: int) -> None:
    for most in (-1, 10**12 + 1):
        with pytest.raises(UsageError, match="a cap is between 0 and 1,000,000,000,000 mails"):
            cap(store, per_day=most)
    with store.read() as session, pytest.raises(UsageError, match="has no connection 'till'"):
        connection_by_name(session, session.get_one(Account, 1), "till")
