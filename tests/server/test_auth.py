"""Who may submit: the secret's comparison, the reasons, what is remembered, and that nothing shows a secret."""

from __future__ import annotations

from dataclasses import replace

import pytest
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import Interface

from postmeter.server import auth
from postmeter.server.auth import Directory, InactiveConnection, ISubmitter, Submitter, TokenCredentials, portal
from postmeter.store.connections import Access
from support.reception import ACCESS, hash_token


class Store:
    """A table of accesses that counts how often it is asked."""

    def __init__(self, *accesses: Access) -> None:
        self.accesses = {access.username: access for access in accesses}
        self.asked: list[str] = []

    def look_up(self, username: str) -> Deferred[Access | None]:
        """What the directory calls."""
        self.asked.append(username)
        return succeed(self.accesses.get(username))


def log_in(store: Store, username: str, token: str, clock: Clock | None = None) -> object:
    """The avatar, or the exception."""
    door = portal(Directory(store.look_up, (clock or Clock()).seconds), hash_token)
    results: list[object] = []
    d = door.login(TokenCredentials(username, token), None, ISubmitter)
    d.addCallbacks(lambda triple: results.append(triple[1]), lambda failure: results.append(failure.value))
    return results[0]


def test_the_right_secret_gives_the_connection() -> None:
    assert log_in(Store(ACCESS), "shop", "secret") == Submitter(ACCESS, ACCESS.secret)


def test_a_secret_that_was_renewed_opens_as_long_as_it_is_good() -> None:
    renewed = replace(ACCESS, secret=hash_token("new"), previous=ACCESS.secret)
    assert log_in(Store(renewed), "shop", "new") == Submitter(renewed, hash_token("new"))
    assert log_in(Store(renewed), "shop", "secret") == Submitter(replace(renewed, aged=True), ACCESS.secret)
    ended = replace(renewed, previous=b"")
    for wrong in ("secret", "", "other"):
        assert type(log_in(Store(ended), "shop", wrong)) is UnauthorizedLogin


@pytest.mark.parametrize(("username", "token"), [("shop", "wrong"), ("shop", ""), ("nobody", "secret"), ("nobody", "")])
def test_everything_else_is_refused_alike(username: str, token: str) -> None:
    refused = log_in(Store(ACCESS), username, token)
    assert type(refused) is UnauthorizedLogin
    assert str(refused) == ""


def test_a_reason_is_told_to_who_knows_the_secret_only() -> None:
    store = Store(replace(ACCESS, reason="This connection is paused."))
    refused = log_in(store, "shop", "secret")
    assert isinstance(refused, InactiveConnection)
    assert str(refused) == "This connection is paused."
    assert type(log_in(store, "shop", "wrong")) is UnauthorizedLogin


def test_an_access_is_remembered_for_a_second_whether_there_is_one_or_not() -> None:
    clock, store = Clock(), Store(ACCESS)
    directory = Directory(store.look_up, clock.seconds)
    for username in ("shop", "nobody") * 3:
        directory.get(username)
    assert store.asked == ["shop", "nobody"]
    clock.advance(auth.REMEMBERED)
    directory.get("shop")
    directory.get("nobody")
    assert store.asked == ["shop", "nobody"] * 2


def test_a_change_holds_after_a_second() -> None:
    clock, store = Clock(), Store(ACCESS)
    directory = Directory(store.look_up, clock.seconds)
    directory.get("shop")
    store.accesses["shop"] = replace(ACCESS, reason="paused")
    clock.advance(1)
    found: list[Access | None] = []
    directory.get("shop").addCallback(found.append)
    assert found == [store.accesses["shop"]]


def test_guessed_names_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "MOST_REMEMBERED", 10)
    directory = Directory(Store().look_up, Clock().seconds)
    for number in range(1000):
        directory.get(f"guess{number}")
    assert len(directory._known) <= 10


def test_a_failed_look_up_is_not_remembered() -> None:
    waiting: list[Deferred[Access | None]] = []

    def look_up(_username: str) -> Deferred[Access | None]:
        waiting.append(Deferred())
        return waiting[-1]

    directory = Directory(look_up, Clock().seconds)
    failures: list[Failure] = []
    directory.get("shop").addErrback(failures.append)
    waiting[0].errback(OSError("the database is gone"))
    directory.get("shop")
    assert len(failures) == 1
    assert len(waiting) == 2


def test_who_asks_during_a_look_up_waits_for_that_one() -> None:
    waiting: list[Deferred[Access | None]] = []

    def look_up(_username: str) -> Deferred[Access | None]:
        waiting.append(Deferred())
        return waiting[-1]

    clock = Clock()
    directory = Directory(look_up, clock.seconds)
    found: list[Access | None] = []
    for _ in range(3):
        directory.get("shop").addCallback(found.append)
    assert directory.at_hand("shop") is None
    [only] = waiting
    only.callback(ACCESS)
    assert found == [ACCESS] * 3
    assert directory.at_hand("shop") is ACCESS
    clock.advance(auth.REMEMBERED)
    assert directory.at_hand("shop") is None


def test_only_submitters_are_let_in() -> None:
    door = portal(Directory(Store(ACCESS).look_up, Clock().seconds), hash_token)
    failures: list[Failure] = []
    door.login(TokenCredentials("shop", "secret"), None, Interface).addErrback(failures.append)
    assert failures[0].check(NotImplementedError)


def test_no_repr_shows_a_secret() -> None:
    credentials = TokenCredentials("shop", "secret-token")
    shown = repr(credentials) + str(credentials) + repr(Submitter(replace(ACCESS, secret=b"the-hash"), b"the-hash"))
    try:
        raise UnauthorizedLogin(credentials)
    except UnauthorizedLogin:
        failure = Failure()
    shown += failure.getTraceback() + repr(failure)
    assert "shop" in shown
    assert "secret-token" not in shown
    assert "the-hash" not in shown
