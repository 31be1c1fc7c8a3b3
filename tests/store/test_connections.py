"""Connections, and who may log in and send from what."""

from __future__ import annotations

import hmac
import re
from dataclasses import replace

import pytest

from postmeter.config import Overdraft
from postmeter.errors import UsageError
from postmeter.store.accept import Acceptance, Accepted
from postmeter.store.connections import AllowedDomain, access, add_connection, connections_of, follow
from postmeter.store.engine import Store
from postmeter.store.last_use import EVERY
from postmeter.store.tables import Connection
from support.postage import submission
from support.tenants import NOW, SECRETS, make_account, make_domain


def test_a_connection_can_log_in_and_send_from_its_domains(store: Store) -> None:
    with store.write() as session:
        account = make_account(session)
        for name in ("shop.example", "b.example", "unused.example"):
            make_domain(session, account, name)
        added = add_connection(session, SECRETS, account, "My Shop!", ["shop.example", "B.example"], NOW)
    assert re.fullmatch(r"my-shop-[0-9a-z]{8}", added.username)
    assert len(added.password) >= 32
    with store.read() as session:
        granted = access(session, added.username)
    assert granted is not None
    assert hmac.compare_digest(granted.secret, SECRETS.hash_token(added.password))
    assert (granted.connection_id, granted.account_id, granted.reason) == (added.connection_id, account.id, "")
    help_page = "<https://shop.example/help>"
    assert granted.domains == (AllowedDomain("b.example", help_page), AllowedDomain("shop.example", help_page))


@pytest.mark.parametrize("username", ["nobody", "", "nul\0", "ü", "\udcff", "a" * 10_000, "' OR 1=1 --"])
def test_an_unknown_user_name_has_no_access(store: Store, username: str) -> None:
    with store.write() as session:
        account = make_account(session)
        make_domain(session, account)
        add_connection(session, SECRETS, account, "shop", ["shop.example"], NOW)
        assert access(session, username) is None


def test_log_in_is_refused_until_the_dkim_record_is_verified(store: Store) -> None:
    with store.write() as session:
        account = make_account(session)
        make_domain(session, account, trust=False)
        added = add_connection(session, SECRETS, account, "shop", ["shop.example"], NOW)
        granted = access(session, added.username)
    assert granted is not None
    assert granted.reason == "The DKIM record of shop.example has not been verified yet."
    assert granted.domains == ()


def test_every_domain_must_be_verified_before_a_connection_is_active(store: Store) -> None:
    with store.write() as session:
        account = make_account(session)
        make_domain(session, account, "new.example", trust=False)
        make_domain(session, account)
        added = add_connection(session, SECRETS, account, "shop", ["shop.example", "new.example"], NOW)
        granted = access(session, added.username)
    assert granted is not None
    assert granted.reason == "The DKIM record of new.example has not been verified yet."
    assert [domain.name for domain in granted.domains] == ["shop.example"]


def test_a_blocked_account_and_a_paused_connection_say_why(store: Store) -> None:
    with store.write() as session:
        account = make_account(session)
        make_domain(session, account)
        added = add_connection(session, SECRETS, account, "shop", ["shop.example"], NOW)
        session.get_one(Connection, added.connection_id).paused = "moved"
        paused = access(session, added.username)
        account.blocked = "unpaid"
        blocked = access(session, added.username)
    assert paused is not None
    assert paused.reason == "This connection is paused: moved"
    assert blocked is not None
    assert blocked.reason == "This account is blocked: unpaid"


def test_a_connection_without_domains_may_not_log_in(store: Store) -> None:
    with store.write() as session:
        added = add_connection(session, SECRETS, make_account(session), "shop", [], NOW)
        granted = access(session, added.username)
    assert granted is not None
    assert granted.reason == "This connection has no sending domain."


def test_names_are_unique_in_an_account_only(store: Store) -> None:
    with store.write() as session:
        one, two = make_account(session, "one"), make_account(session, "two")
        add_connection(session, SECRETS, one, "shop", [], NOW)
        add_connection(session, SECRETS, two, "shop", [], NOW)
    with pytest.raises(UsageError, match="the account 'one' has a connection 'shop' already"), store.write() as session:
        add_connection(session, SECRETS, session.merge(one), "shop", [], NOW)


def test_the_domain_of_another_account_cannot_be_used(store: Store) -> None:
    with store.write() as session:
        make_domain(session, make_account(session, "other"))
    with pytest.raises(UsageError, match=r"'acme' has no domain shop\.example"), store.write() as session:
        add_connection(session, SECRETS, make_account(session), "shop", ["shop.example"], NOW)
    with store.read() as session:
        assert connections_of(session, None) == []


def test_connections_are_listed_with_their_state(store: Store) -> None:
    with store.write() as session:
        one, two = make_account(session, "one"), make_account(session, "two")
        make_domain(session, one)
        make_domain(session, two, trust=False)
        add_connection(session, SECRETS, one, "b", ["shop.example"], NOW)
        add_connection(session, SECRETS, one, "a", [], NOW)
        add_connection(session, SECRETS, two, "c", ["shop.example"], NOW)
        assert [(f.account, f.name, f.active, f.domains) for f in connections_of(session, None)] == [
            ("one", "a", False, ()),
            ("one", "b", True, ("shop.example",)),
            ("two", "c", False, ("shop.example",)),
        ]
        assert [f.name for f in connections_of(session, two.id)] == ["c"]


@pytest.mark.parametrize("name", ["Ölmühle 24", "!!!", "x" * 100])
def test_a_user_name_is_plain_whatever_the_name(store: Store, name: str) -> None:
    with store.write() as session:
        added = add_connection(session, SECRETS, make_account(session), name, [], NOW)
    assert re.fullmatch(r"[a-z0-9][a-z0-9-]{0,23}-[0-9a-z]{8}", added.username)


def test_passwords_do_not_show_in_logs(store: Store) -> None:
    with store.write() as session:
        added = add_connection(session, SECRETS, make_account(session), "shop", [], NOW)
    assert added.password not in repr(added)


def test_an_accepted_message_shows_when_the_connection_was_last_used(store: Store) -> None:
    with store.write() as session:
        account = make_account(session)
        make_domain(session, account)
        used = add_connection(session, SECRETS, account, "shop", ["shop.example"], NOW).connection_id
        idle = add_connection(session, SECRETS, account, "idle", ["shop.example"], NOW).connection_id
        account_id = account.id
    take = Acceptance(Overdraft("always"))
    for at, shown in ((NOW, NOW), (NOW + EVERY - 1, NOW), (NOW + EVERY, NOW + EVERY)):
        message = replace(submission(), account_id=account_id, connection_id=used, accepted_at=at)
        with store.write() as session:
            assert isinstance(take(session, [message])[0], Accepted)
        with store.read() as session:
            facts = {one.id: one.last_used_at for one in connections_of(session, account_id)}
        assert facts == {used: shown, idle: None}


def test_a_plugin_follows_connections(store: Store) -> None:
    with store.write() as session:
        account = make_account(session)
        made = add_connection(session, SECRETS, account, "shop", [], NOW)
        follow(session, made.connection_id, "stores", True)
        follow(session, made.connection_id, "stores", True)
        follow(session, made.connection_id, "other", True)
    asked = []
    for plugin in ("none", "stores", "other"):
        with store.write() as session:
            follow(session, made.connection_id, plugin, False)
            found = access(session, made.username)
        asked.append(found is not None and found.followed)
    assert asked == [True, True, False]
