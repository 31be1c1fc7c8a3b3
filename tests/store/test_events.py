"""Events: read in order, by kind, with what they are about, and none skipped that is committed late."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy.orm import Session

from postmeter.store import events
from postmeter.store.connections import follow
from postmeter.store.engine import Store
from postmeter.store.events import Fact, Position
from support.postage import accept, funded, submission
from support.tenants import NOW

START = Position(0, 0)


def write(session: Session, name: str, kind: str = "delivered") -> None:
    events.record(session, [events.about_account(1, kind, NOW, {"name": name})])


def read(store: Store, position: Position = START, limit: int = 100, *kinds: str) -> list[Fact]:
    with store.read() as session:
        return events.after(session, position, limit, kinds or ("delivered",))


def newest(store: Store) -> Position:
    with store.read() as session:
        return events.newest(session)


def names(facts: list[Fact]) -> list[str]:
    return [fact.facts["name"] for fact in facts]


def test_events_are_read_on_from_a_position_in_order(store: Store) -> None:
    for name in "abcde":
        with store.write() as session:
            write(session, name)
            write(session, name + name)
    first = read(store, limit=3)
    assert names(first) == ["a", "aa", "b"]
    assert names(read(store, Position(first[-1].tx, first[-1].id))) == ["bb", "c", "cc", "d", "dd", "e", "ee"]


def test_only_the_kinds_asked_for_are_read(store: Store) -> None:
    with store.write() as session:
        for kind in ("delivered", "bounced", "quota_low"):
            write(session, kind, kind)
    assert names(read(store, START, 100, "bounced", "quota_low")) == ["bounced", "quota_low"]


def test_what_happened_to_an_account_since_then_is_read_page_by_page(store: Store) -> None:
    with store.write() as session:
        for n in range(6):
            facts = {"name": str(n)}
            events.record(session, [events.about_account(account, "delivered", NOW + n, facts) for account in (1, 2)])
            events.record(session, [events.about_account(1, "bounced", NOW + n, facts)])

    def since(behind: int) -> list[Fact]:
        with store.read() as session:
            return events.since(session, 1, NOW + 2, ["delivered"], behind, 3)

    first = since(0)
    assert [(fact.account_id, fact.kind, fact.facts["name"]) for fact in first] == [
        (1, "delivered", n) for n in ("2", "3", "4")
    ]
    assert names(since(first[-1].id)) == ["5"]


def test_an_event_says_what_it_is_about(store: Store) -> None:
    funded(store)
    one = submission(2)
    accept(store, one)
    facts: dict[str, Any] = {"reply": '550 "no" <b> é \u2028 \\', "n": 1, "deep": {"list": [1, None, True]}}
    with store.write() as session:
        events.record(session, [events.about_recipient(1, one.id, 1, "bounced", NOW + 0.25, facts)])
    [fact] = read(store, START, 100, "bounced")
    assert (fact.account_id, fact.message_id, fact.recipient, fact.at) == (1, one.id, 1, NOW + 0.25)
    assert (fact.facts, fact.forward_path) == (facts, "r1@example.net")
    assert (fact.connection_id, fact.reference) == (7, "")
    [accepted] = read(store, START, 100, "accepted")
    assert (accepted.message_id, accepted.forward_path) == (one.id, None)


def test_a_follower_is_told_of_its_connections_messages_and_of_accounts(store: Store) -> None:
    funded(store)
    one, two = submission(), replace(submission(), connection_id=8)
    accept(store, one, two)
    with store.write() as session:
        follow(session, 8, "stores", True)
        follow(session, 7, "other", True)
        events.record(session, [events.about_account(1, "quota_low", NOW, {})])
    with store.read() as session:
        found = events.after(session, START, 100, ["accepted", "quota_low"], "stores")
    assert [(fact.kind, fact.message_id, fact.connection_id) for fact in found] == [
        ("accepted", two.id, 8),
        ("quota_low", None, None),
    ]


def test_an_event_is_not_seen_before_its_commit(store: Store) -> None:
    with pytest.raises(LookupError), store.write() as session:
        write(session, "never")
        raise LookupError
    assert read(store) == []


def test_behind_the_newest_position_is_only_what_comes(store: Store) -> None:
    with store.write() as session:
        write(session, "before")
    position = newest(store)
    assert read(store, position) == []
    with store.write() as session:
        write(session, "after")
    assert names(read(store, position)) == ["after"]


@pytest.fixture
def postgresql(postgres_url: str) -> Any:
    """A store in which transactions overlap."""
    store = Store.open(postgres_url)
    yield store
    store.close()


def test_an_event_that_is_committed_late_is_not_skipped(postgresql: Store) -> None:
    with postgresql.write() as slow:
        write(slow, "slow")
        slow.flush()
        with postgresql.write() as fast:
            write(fast, "fast")
        early = read(postgresql)
        position = Position(early[-1].tx, early[-1].id) if early else START
    assert names(early) == []  # it waits for who began before it
    assert names(read(postgresql, position)) == ["slow", "fast"]


def test_events_come_in_the_order_of_transactions_then_of_numbers(postgresql: Store) -> None:
    with postgresql.write() as first:
        write(first, "1a")
        with postgresql.write() as second:
            write(second, "2a")
            write(second, "2b")
        write(first, "1b")
    facts = read(postgresql)
    assert names(facts) == ["1a", "1b", "2a", "2b"]
    for n, fact in enumerate(facts):
        assert read(postgresql, Position(fact.tx, fact.id)) == facts[n + 1 :]


def test_the_newest_position_is_before_all_that_is_still_open(postgresql: Store) -> None:
    with postgresql.write() as session:
        write(session, "old")
    with postgresql.write() as slow:
        write(slow, "slow")
        with postgresql.write() as fast:
            write(fast, "fast")
        position = newest(postgresql)
    assert names(read(postgresql, position)) == ["slow", "fast"]
