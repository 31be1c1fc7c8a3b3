"""Accounts, users, roles and passwords."""

from __future__ import annotations

import pytest
from argon2 import PasswordHasher
from sqlalchemy import select

from postmeter.config import Demo, Settings
from postmeter.errors import UsageError
from postmeter.store import accounts
from postmeter.store.engine import Store
from postmeter.store.quota import quota_of
from postmeter.store.quota_tables import Block, Ledger
from postmeter.store.secrets import NewPassword
from support.tenants import NOW, PASSWORD, make_account


def test_a_new_account_has_an_owner_and_its_demo_quota(store: Store) -> None:
    with store.write() as session:
        added = accounts.add_account(session, " Acme Ltd ", "Ann@Acme.example", True, Settings(), PASSWORD, NOW)
    assert (added.account, added.owner, added.password) == ("Acme Ltd", "ann@acme.example", "initial")
    with store.read() as session:
        account = accounts.account_by_name(session, "Acme Ltd")
        assert (account.id, account.agreement, account.created_at) == (added.account_id, True, NOW)
        assert quota_of(session, account.id, NOW).left == 1000
        assert [(e.kind, e.units) for e in session.scalars(select(Ledger))] == [("book", 1000)]


def test_the_demo_quota_can_be_switched_off(store: Store) -> None:
    with store.write() as session:
        accounts.add_account(session, "acme", "a@acme.example", False, Settings(demo=Demo(size=0)), PASSWORD, NOW)
    with store.read() as session:
        assert session.scalars(select(Block)).all() == []


def test_an_owner_of_two_accounts_keeps_the_first_password(store: Store) -> None:
    with store.write() as session:
        accounts.add_account(session, "one", "ann@acme.example", False, Settings(), PASSWORD, NOW)
        second = accounts.add_account(session, "two", "ANN@acme.example", False, Settings(), PASSWORD, NOW)
    assert second.password is None
    with store.read() as session:
        user = accounts.user_facts(session, 1)
    assert user is not None
    assert [(name, role) for _, name, role in user.accounts] == [("one", "owner"), ("two", "owner")]


def test_a_name_can_be_used_once(store: Store) -> None:
    with store.write() as session:
        make_account(session)
    with pytest.raises(UsageError, match="an account 'acme' already"), store.write() as session:
        make_account(session)
    with store.read() as session:
        assert len(session.scalars(select(Block)).all()) == 1


@pytest.mark.parametrize("name", ["", "   ", "a\nb", "x" * 101, "nul\0"])
def test_a_name_must_be_printable(store: Store, name: str) -> None:
    with pytest.raises(UsageError, match="printable"), store.write() as session:
        accounts.add_account(session, name, "a@acme.example", False, Settings(), PASSWORD, NOW)


@pytest.mark.parametrize("email", ["", "ann", "ann@", "@acme.example", "ann@acme", "a b@acme.example", "a@b.c, d@e.f"])
def test_an_owner_must_have_an_address(store: Store, email: str) -> None:
    with pytest.raises(UsageError, match="not an e-mail address"), store.write() as session:
        accounts.add_account(session, "acme", email, False, Settings(), PASSWORD, NOW)


def test_an_unknown_account_is_named(store: Store) -> None:
    with pytest.raises(UsageError, match="no account 'nobody'"), store.read() as session:
        accounts.account_by_name(session, "nobody")


def test_the_first_operator_is_made_once(store: Store) -> None:
    with store.write() as session:
        password = accounts.add_operator(session, "op@relay.example", NOW)
        assert password is not None
        assert accounts.add_operator(session, "other@relay.example", NOW) is None
    with store.read() as session:
        user = accounts.authenticate(session, "OP@relay.example ", password)
    assert user is not None
    assert (user.email, user.operator, user.accounts) == ("op@relay.example", True, ())


def test_only_the_right_password_lets_in(store: Store) -> None:
    with store.write() as session:
        accounts.add_user(session, "ann@acme.example", False, NewPassword.of("correct horse"), NOW)
    with store.read() as session:
        assert accounts.authenticate(session, "ann@acme.example", "correct horse") is not None
        assert accounts.authenticate(session, "ann@acme.example", "wrong") is None
        assert accounts.authenticate(session, "bob@acme.example", "correct horse") is None


def test_a_new_password_ends_the_sessions(store: Store) -> None:
    with store.write() as session:
        user_id = accounts.add_user(session, "ann@acme.example", False, PASSWORD, NOW)
        accounts.set_password(session, "ann@acme.example", NewPassword.of("new password"))
    with store.read() as session:
        user = accounts.authenticate(session, "ann@acme.example", "new password")
    assert user is not None
    assert (user.id, user.epoch) == (user_id, 1)


def test_a_hash_made_otherwise_is_worth_replacing_unless_the_password_was_changed(store: Store) -> None:
    with store.write() as session:
        old = NewPassword(
            "correct horse", PasswordHasher(time_cost=2, memory_cost=16, parallelism=1).hash("correct horse")
        )
        ann = accounts.add_user(session, "ann@acme.example", False, old, NOW)
        assert accounts.old_hash(session, ann) == old.hashed
        accounts.replace_hash(session, ann, "another hash", PASSWORD)
        assert accounts.old_hash(session, ann) == old.hashed
        accounts.replace_hash(session, ann, old.hashed, NewPassword.of("correct horse"))
    with store.read() as session:
        assert accounts.old_hash(session, ann) is None
        user = accounts.authenticate(session, "ann@acme.example", "correct horse")
    assert user is not None
    assert user.epoch == 0  # nobody is logged out by it


def test_what_a_user_prefers_is_kept(store: Store) -> None:
    with store.write() as session:
        ann = accounts.add_user(session, "ann@acme.example", True, PASSWORD, NOW)
        accounts.add_user(session, "bob@acme.example", False, PASSWORD, NOW)
        accounts.set_preferences(session, ann, language="de", timezone="Europe/Berlin")
    with store.read() as session:
        user = accounts.user_by_email(session, " Ann@acme.example")
        assert user is not None
        assert (user.language, user.timezone) == ("de", "Europe/Berlin")
        assert accounts.operators(session) == [user]
        assert accounts.user_by_email(session, "nobody") is None


@pytest.mark.parametrize("email", ["a..b@acme.example", "=?utf-8?q?a=0Ab?=@acme.example", "a" * 65 + "@acme.example"])
def test_nobody_has_an_address_that_mail_cannot_reach(store: Store, email: str) -> None:
    with pytest.raises(UsageError, match="not an e-mail address"), store.write() as session:
        accounts.add_user(session, email, False, PASSWORD, NOW)


def test_a_user_can_be_made_once(store: Store) -> None:
    with store.write() as session:
        accounts.add_user(session, "ann@acme.example", False, PASSWORD, NOW)
    with pytest.raises(UsageError, match=r"a user ann@acme\.example already"), store.write() as session:
        accounts.add_user(session, "Ann@acme.example", False, PASSWORD, NOW)


def test_a_role_can_be_given_and_changed(store: Store) -> None:
    with store.write() as session:
        account_id = make_account(session).id
        user_id = accounts.add_user(session, "bob@acme.example", False, PASSWORD, NOW)
        accounts.set_role(session, account_id, "bob@acme.example", "viewer")
        accounts.set_role(session, account_id, "bob@acme.example", "admin")
        user = accounts.user_facts(session, user_id)
        assert user is not None
        assert user.accounts == ((account_id, "acme", "admin"),)
        with pytest.raises(UsageError, match="no role 'king'"):
            accounts.set_role(session, account_id, "bob@acme.example", "king")
        with pytest.raises(UsageError, match=r"no user eve@acme\.example"):
            accounts.set_role(session, account_id, "eve@acme.example", "viewer")


def test_nothing_is_known_of_a_user_who_is_gone(store: Store) -> None:
    with store.read() as session:
        assert accounts.user_facts(session, 4711) is None
