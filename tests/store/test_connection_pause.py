"""A paused connection: refused with the reason, told once, and taken up again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select

from postmeter.errors import UsageError
from postmeter.store import orders
from postmeter.store.connection_changes import retire
from postmeter.store.connections import MAX_REASON, access, add_connection
from postmeter.store.engine import Store
from postmeter.store.pauses import Stopped, pause, resume, stop_one, stopped, what_waits
from postmeter.store.tables import DEFERRED, Account, Connection, Event
from support.postage import accept, add_worker, at_once, lease, settle_all, submission
from support.tenants import NOW, SECRETS, make_account, make_domain


@pytest.fixture
def username(store: Store) -> str:
    """The user name of the connection "web shop" of account 1."""
    with store.write() as session:
        account = make_account(session)
        make_domain(session, account)
        return add_connection(session, SECRETS, account, "web shop", ["shop.example"], NOW).username


def reason(store: Store, username: str) -> str:
    with store.read() as session:
        found = access(session, username)
    assert found is not None
    return found.reason


def change(store: Store, function: Any, *arguments: Any) -> Any:
    with store.write() as session:
        return function(session, session.get_one(Account, 1), *arguments)


def told(store: Store) -> list[tuple[str, float, dict[str, Any]]]:
    with store.read() as session:
        query = select(Event).where(Event.kind.like("connection_%")).order_by(Event.id)
        return [(event.kind, event.at - NOW, event.facts) for event in session.scalars(query)]


def test_a_connection_is_paused_with_a_reason_and_resumed(store: Store, username: str) -> None:
    facts = change(store, pause, "web shop", " unpaid since October ", NOW + 1)
    assert (facts.active, facts.reason) == (False, "This connection is paused: unpaid since October")
    assert reason(store, username) == "This connection is paused: unpaid since October"
    assert change(store, resume, "web shop", None, NOW + 2, "operator").active
    assert reason(store, username) == ""
    about = {"connection": "web shop", "reason": "unpaid since October"}
    assert told(store) == [("connection_paused", 1.0, about), ("connection_resumed", 2.0, about)]


def test_what_changes_nothing_is_not_told(store: Store, username: str) -> None:
    change(store, resume, "web shop", None, NOW, "operator")
    change(store, pause, "web shop", "one", NOW)
    change(store, pause, "web shop", "two", NOW)
    assert reason(store, username) == "This connection is paused: two"
    assert [kind for kind, _, _ in told(store)] == ["connection_paused"]


def test_several_operators_who_pause_at_once_tell_once(store: Store, username: str) -> None:
    at_once(lambda n: change(store, pause, "web shop", f"reason {n}", NOW), 8)
    assert [kind for kind, _, _ in told(store)] == ["connection_paused"]


@pytest.mark.parametrize("text", ["", "  ", "two\nlines", "nul\0", "a\u2028b", "\x1b[31m", "x" * (MAX_REASON + 1)])
def test_a_reason_is_one_plain_line(store: Store, username: str, text: str) -> None:
    with pytest.raises(UsageError, match="1 to 200 printable"):
        change(store, pause, "web shop", text, NOW)
    assert told(store) == []


@pytest.mark.parametrize("function", [lambda *a: pause(*a, "x", NOW), lambda *a: resume(*a, None, NOW, "operator")])
def test_only_the_accounts_own_connections_can_be_paused(store: Store, username: str, function: Any) -> None:
    with store.write() as session:
        make_account(session, "other")
    for number, name in ((1, "no such"), (2, "web shop")):
        with pytest.raises(UsageError, match="has no connection"), store.write() as session:
            function(session, session.get_one(Account, number), name)


def guarded(store: Store, username: str) -> int:
    """The guard pauses the connection; its number."""
    with store.write() as session:
        connection = session.scalars(select(Connection).where(Connection.username == username)).one()
        stop_one(session, connection, "10 % bounced", NOW, cause="bounces")
        return connection.id


def test_what_waits_of_a_connection_that_the_guard_has_paused_leaves_when_it_is_resumed(
    store: Store, username: str
) -> None:
    number, worker = guarded(store, username), add_worker(store)
    accept(store, replace(submission(2), connection_id=number), replace(submission(), connection_id=number + 1))
    settle_all(store, lease(store, worker), worker, DEFERRED, again=NOW + 3_600)
    with store.read() as session:
        assert stopped(session) == [Stopped(1, number, "10 % bounced")]
        waits = what_waits(session, session.get_one(Connection, number), NOW)
    assert waits is not None
    assert waits.count == 2
    assert not change(store, pause, "web shop", "unpaid as well", NOW).active
    with store.read() as session:
        assert [one.reason for one in stopped(session)] == ["unpaid as well"]
    assert change(store, resume, "web shop", waits, NOW + 10, "operator").active
    with store.read() as session:
        assert stopped(session) == []
        assert orders.next_batch(session, NOW + 10, before=NOW + 9) is None
        batch = orders.next_batch(session, NOW + 12, before=NOW + 10)
    assert batch is not None
    with store.write() as session:
        orders.carry_out(session, [(batch, NOW + 12)])
    assert [len(one.recipients) for one in lease(store, worker, NOW + 12)] == [2]


def test_the_guards_pause_ends_only_with_what_it_keeps_back(store: Store, username: str) -> None:
    number = guarded(store, username)
    with pytest.raises(UsageError, match="only the operator resumes it"):
        change(store, resume, "web shop", None, NOW, "admin")
    with pytest.raises(UsageError, match="cannot be given up"), store.write() as session:
        retire(session, session.get_one(Connection, number), NOW)
    with store.read() as session:
        assert [one.connection_id for one in stopped(session)] == [number]


def test_what_waits_of_a_connection_that_a_person_has_paused_leaves(store: Store, username: str) -> None:
    facts = change(store, pause, "web shop", "sold", NOW)
    with store.read() as session:
        assert stopped(session) == []
        assert what_waits(session, session.get_one(Connection, facts.id), NOW) is None
