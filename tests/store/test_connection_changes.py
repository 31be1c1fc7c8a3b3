"""What people change about a connection: set up step by step, renewed with overlap, renamed, given up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from postmeter.config import Overdraft
from postmeter.errors import UsageError
from postmeter.store import connection_changes, connections
from postmeter.store.accept import Acceptance, Accepted
from postmeter.store.connection_changes import SHOWN, SecretRequest, issue, mark
from postmeter.store.connections import Access, ConnectionFacts, add_connection
from postmeter.store.domain_checks import record_check
from postmeter.store.engine import Store
from postmeter.store.tables import Account, Connection
from support.postage import submission
from support.tenants import NOW, SECRETS, make_account, make_domain

DAY = 86_400.0


@pytest.fixture
def number(store: Store) -> int:
    """A connection of account 1 with the domain shop.example; its secret is known."""
    with store.write() as session:
        account = make_account(session)
        make_domain(session, account)
        return add_connection(session, SECRETS, account, "web shop", ["shop.example"], NOW).connection_id


@pytest.fixture
def drafted(store: Store) -> int:
    """A connection of account 1 that is being set up."""
    with store.write() as session:
        account = make_account(session)
        make_domain(session, account, trust=False)
        return connection_changes.draft(session, SECRETS, account, "web shop", "shopware", NOW).id


def change(store: Store, number: int, function: Callable[..., Any], *arguments: Any) -> Any:
    with store.write() as session:
        found = connections.connection_by_id(session, 1, number, lock=True)
        assert found is not None
        return function(session, found, *arguments)


def facts(store: Store, number: int) -> ConnectionFacts:
    return change(store, number, connections.facts_of)  # type: ignore[no-any-return]


def secret(store: Store, number: int, request: SecretRequest, now: float) -> str:
    with store.write() as session:
        found = connections.connection_by_id(session, 1, number, lock=True)
        assert found is not None
        return issue(session, SECRETS, found, request, now)


def seen(store: Store, number: int) -> str:
    return change(store, number, lambda _session, found: mark(found))  # type: ignore[no-any-return]


def opened(store: Store, number: int, password: str, now: float) -> Access | None:
    username = facts(store, number).username
    with store.read() as session:
        found = connections.access(session, username, now)
    assert found is not None
    return found.opened_by(SECRETS.hash_token(password))


def test_a_new_system_is_connected_step_by_step(store: Store, drafted: int) -> None:
    assert (facts(store, drafted).state, facts(store, drafted).system) == ("draft", "shopware")
    with store.write() as session:
        account = session.get_one(Account, 1)
        connection_changes.set_domains(session, account, session.get_one(Connection, drafted), ["Shop.example"])
    assert (facts(store, drafted).state, facts(store, drafted).unverified) == ("pending", ("shop.example",))
    with pytest.raises(UsageError, match="shown when the DNS records are there"):
        secret(store, drafted, SecretRequest(seen(store, drafted), "key"), NOW)
    with store.write() as session:
        record_check(session, 1, "shop.example", (), NOW)
    assert (facts(store, drafted).state, facts(store, drafted).active) == ("draft", True)
    password = secret(store, drafted, SecretRequest(seen(store, drafted), "key", keep=DAY), NOW)
    shown = facts(store, drafted)
    assert (shown.state, shown.revealed_at) == ("active", NOW)
    assert shown.previous_ends_at is None, "nobody knew the first secret"
    assert opened(store, drafted, password, NOW) is not None


def test_without_a_domain_there_is_nothing_to_show(store: Store, drafted: int) -> None:
    with pytest.raises(UsageError, match="shown when the DNS records are there"):
        secret(store, drafted, SecretRequest(seen(store, drafted), "key"), NOW)


def test_the_old_secret_is_good_until_its_time_is_over(store: Store, number: int) -> None:
    first = secret(store, number, SecretRequest(seen(store, number), "1"), NOW + 1)
    second = secret(store, number, SecretRequest(seen(store, number), "2", keep=DAY), NOW + 2)
    new, old = opened(store, number, second, NOW + 3), opened(store, number, first, NOW + 3)
    assert new is not None
    assert old is not None
    assert (new.aged, old.aged) == (False, True)
    assert opened(store, number, first, NOW + 2 + DAY) is None
    assert opened(store, number, second, NOW + 2 + DAY) is not None


def test_without_overlap_the_old_secret_ends_at_once(store: Store, number: int) -> None:
    first = secret(store, number, SecretRequest(seen(store, number), "1"), NOW + 1)
    secret(store, number, SecretRequest(seen(store, number), "2"), NOW + 2)
    assert opened(store, number, first, NOW + 2) is None


def test_an_overlap_is_ended_by_hand(store: Store, number: int) -> None:
    first = secret(store, number, SecretRequest(seen(store, number), "1"), NOW + 1)
    second = secret(store, number, SecretRequest(seen(store, number), "2", keep=DAY), NOW + 2)
    change(store, number, connection_changes.end_previous)
    assert opened(store, number, first, NOW + 3) is None
    assert opened(store, number, second, NOW + 3) is not None
    assert facts(store, number).previous_ends_at is None


def test_of_two_renewals_the_older_secrets_end(store: Store, number: int) -> None:
    passwords = [
        secret(store, number, SecretRequest(seen(store, number), str(n), keep=DAY), NOW + n) for n in range(1, 4)
    ]
    assert [opened(store, number, one, NOW + 5) is not None for one in passwords] == [False, True, True]


def test_a_request_that_is_sent_twice_renews_once(store: Store, number: int) -> None:
    first = secret(store, number, SecretRequest(seen(store, number), "1"), NOW + 1)
    request = SecretRequest(seen(store, number), "2", keep=DAY)
    second = secret(store, number, request, NOW + 2)
    assert secret(store, number, request, NOW + 2 + SHOWN) == second
    assert opened(store, number, first, NOW + 3) is not None, "the overlap is that of the first time"
    with pytest.raises(UsageError, match="has been shown since you opened the page"):
        secret(store, number, request, NOW + 3 + SHOWN)


def test_who_renews_what_another_has_just_renewed_is_told(store: Store, number: int) -> None:
    page = seen(store, number)
    shown = secret(store, number, SecretRequest(page, "mine"), NOW + 1)
    with pytest.raises(UsageError, match="has been shown since you opened the page"):
        secret(store, number, SecretRequest(page, "yours"), NOW + 2)
    assert opened(store, number, shown, NOW + 3) is not None


def test_a_secret_cannot_overlap_for_ever(store: Store, number: int) -> None:
    with pytest.raises(UsageError, match="at most 30 days"):
        secret(store, number, SecretRequest(seen(store, number), "1", keep=31 * DAY), NOW)


def test_it_is_known_when_the_old_secret_was_used_last(store: Store, number: int) -> None:
    with store.write() as session:
        session.get_one(Account, 1).paid_since = NOW
    take = Acceptance(Overdraft("always"))
    mail = replace(submission(), account_id=1, connection_id=number)
    for at, aged in ((NOW + 1, False), (NOW + 100, True), (NOW + 200, False)):
        with store.write() as session:
            assert isinstance(take(session, [replace(mail, id=f"{at:026}", accepted_at=at, aged=aged)])[0], Accepted)
    assert (facts(store, number).previous_used_at, facts(store, number).last_used_at) == (NOW + 100, NOW + 200)
    secret(store, number, SecretRequest(seen(store, number), "1", keep=DAY), NOW + 300)
    assert facts(store, number).previous_used_at is None


def test_a_name_is_changed_and_may_be_in_use(store: Store, number: int) -> None:
    username = facts(store, number).username
    change(store, number, connection_changes.rename, "  the shop ")
    assert (facts(store, number).name, facts(store, number).username) == ("the shop", username)
    change(store, number, connection_changes.rename, "the shop")
    with store.write() as session:
        add_connection(session, SECRETS, session.get_one(Account, 1), "forum", [], NOW)
    with pytest.raises(UsageError, match="this account has a connection 'forum' already"):
        change(store, number, connection_changes.rename, "forum")


def test_domains_are_changed_to_others_of_the_account(store: Store, number: int) -> None:
    with store.write() as session:
        account, row = session.get_one(Account, 1), session.get_one(Connection, number)
        make_domain(session, account, "other.example")
        connection_changes.set_domains(session, account, row, ["other.example", "shop.example"])
    assert facts(store, number).domains == ("other.example", "shop.example")
    for wrong, text in (([], "needs a sending domain"), (["nobody.example"], "has no domain nobody.example")):
        with store.write() as session, pytest.raises(UsageError, match=text):
            row = session.get_one(Connection, number)
            connection_changes.set_domains(session, session.get_one(Account, 1), row, wrong)


def test_a_connection_that_was_given_up_is_gone_but_its_user_name_is_not_free(store: Store, number: int) -> None:
    username = facts(store, number).username
    change(store, number, connection_changes.retire, NOW + 1)
    with store.read() as session:
        assert connections.connections_of(session, 1) == []
        assert connections.connection_by_id(session, 1, number) is None
        found = connections.access(session, username, NOW + 2)
    assert found is not None
    assert found.reason == "This connection was given up."
    with store.write() as session:
        again = add_connection(session, SECRETS, session.get_one(Account, 1), "web shop", [], NOW + 3)
    assert again.username != username
    with store.write() as session, pytest.raises(UsageError, match="has a connection 'web shop' already"):
        add_connection(session, SECRETS, session.get_one(Account, 1), "web shop", [], NOW + 3)


def test_another_accounts_connection_is_not_found(store: Store, number: int) -> None:
    with store.read() as session:
        assert connections.connection_by_id(session, 2, number) is None


def test_no_repr_shows_what_makes_a_secret() -> None:
    assert "the-key" not in repr(SecretRequest("seen", "the-key"))
