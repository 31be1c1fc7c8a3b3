"""Log-ins: found by their secret, ended one by one or all at once, forgotten when their time is over."""

from __future__ import annotations

from sqlalchemy import select

from postmeter.store import accounts, logins
from postmeter.store.engine import Store
from postmeter.store.logins import LIFE, MOST_AGENT
from postmeter.store.panel_tables import Login
from postmeter.store.tables import User
from support.tenants import NOW, PASSWORD, SECRETS

ANN = "ann@acme.example"


def user(store: Store, email: str = ANN) -> int:
    with store.write() as session:
        return accounts.add_user(session, email, False, PASSWORD, NOW)


def begin(store: Store, user_id: int, now: float = NOW) -> str:
    with store.write() as session:
        return logins.begin(session, SECRETS, user_id, "192.0.2.1", "x" * 1000, now)[0]


def known(store: Store, token: str, now: float = NOW) -> bool:
    with store.read() as session:
        return logins.find(session, SECRETS, token, now) is not None


def test_a_log_in_is_found_by_its_secret_for_twelve_hours(store: Store) -> None:
    ann = user(store)
    token = begin(store, ann)
    with store.read() as session:
        found = logins.find(session, SECRETS, token, NOW)
        assert found is not None
        assert (found.user_id, found.created_at, found.address, len(found.agent)) == (ann, NOW, "192.0.2.1", MOST_AGENT)
        assert session.scalars(select(Login.token)).one() == SECRETS.hash_token(token)
    assert known(store, token, NOW + LIFE - 1)
    assert not known(store, token, NOW + LIFE)
    assert not known(store, "another")


def test_the_next_log_in_forgets_those_whose_time_is_over(store: Store) -> None:
    ann = user(store)
    begin(store, ann)
    begin(store, ann, NOW + LIFE)
    with store.read() as session:
        assert session.scalars(select(Login.created_at)).all() == [NOW + LIFE]


def test_one_log_in_is_ended_by_its_user_only(store: Store) -> None:
    ann, bob = user(store), user(store, "bob@acme.example")
    token = begin(store, ann)
    with store.write() as session:
        (login,) = logins.logins_of(session, ann, NOW)
        assert not logins.end(session, bob, login.id)
        assert logins.find(session, SECRETS, token, NOW) is not None
        assert logins.end(session, ann, login.id)
    assert not known(store, token)


def test_all_others_are_ended_and_the_epoch_is_raised(store: Store) -> None:
    ann, bob = user(store), user(store, "bob@acme.example")
    mine, other, bobs = begin(store, ann), begin(store, ann), begin(store, bob)
    with store.write() as session:
        login = logins.find(session, SECRETS, mine, NOW)
        assert login is not None
        logins.end_all(session, ann, keep=login.id)
        assert session.get_one(User, ann).epoch == 1
    assert [known(store, one) for one in (mine, other, bobs)] == [True, False, True]
    with store.write() as session:
        accounts.set_password(session, ANN, PASSWORD)
        assert session.get_one(User, ann).epoch == 2
    assert [known(store, one) for one in (mine, bobs)] == [False, True]


def test_who_is_seen_comes_first(store: Store) -> None:
    ann = user(store)
    first, second = begin(store, ann), begin(store, ann)
    with store.write() as session:
        login = logins.find(session, SECRETS, first, NOW)
        assert login is not None
        logins.seen(session, login, NOW + 60)
        assert [one.seen_at for one in logins.logins_of(session, ann, NOW + 60)] == [NOW + 60, NOW]
        assert session.get_one(User, ann).seen_at == NOW + 60
    assert known(store, second)
