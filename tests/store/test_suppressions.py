"""Suppressions: which addresses are the same, for whom they hold, and until when."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postmeter.errors import UsageError
from postmeter.smtp.address import Mailbox
from postmeter.store import rows as deleting
from postmeter.store import suppressions
from postmeter.store.connections import access, add_connection
from postmeter.store.engine import Store
from postmeter.store.suppressions import (
    BOUNCE,
    EVERY_ACCOUNT,
    MANUAL,
    MAX_DETAIL,
    Suppression,
    comparable,
    find,
    lift,
    suppress,
    suppress_all,
    suppressions_of,
)
from support.postage import at_once
from support.tenants import NOW, SECRETS, make_account, make_domain

JOE = "joe@example.org"


def found(store: Store, account: int, address: str = JOE, now: float = NOW) -> Suppression | None:
    """What keeps the account's mail from the address."""
    with store.read() as session:
        return find(session, account, address, now)


def put(store: Store, account: int, address: str = JOE, **more: Any) -> Suppression:
    """Suppress the address."""
    with store.write() as session:
        return suppress(session, account, address, more.pop("reason", MANUAL), more.pop("now", NOW), **more)


def test_an_address_is_suppressed_for_its_account_until_it_is_lifted(store: Store) -> None:
    message = "01M845D52EFTKSJPV36DHCW3RR"
    put(store, 1, reason=BOUNCE, detail="550 5.1.1 No such user", message_id=message)
    assert found(store, 1) == Suppression(1, JOE, "bounce", "550 5.1.1 No such user", message, NOW, None)
    assert found(store, 2) is None
    assert found(store, 1, "ann@example.org") is None
    with store.write() as session:
        assert not lift(session, 2, JOE)
        assert lift(session, 1, "Joe@EXAMPLE.org")
        assert not lift(session, 1, JOE)
    assert found(store, 1) is None


def test_the_operators_hold_for_every_account_and_come_first(store: Store) -> None:
    put(store, 1)
    put(store, EVERY_ACCOUNT, detail="by law")
    for account in (1, 2):
        one = found(store, account)
        assert one is not None
        assert (one.account_id, one.detail) == (EVERY_ACCOUNT, "by law")


def test_what_was_said_last_counts(store: Store) -> None:
    put(store, 1, reason=BOUNCE, detail="550 no", message_id="01M845D52EFTKSJPV36DHCW3RR", expires_at=NOW + 9)
    put(store, 1, "JOE@example.org", now=NOW + 1, detail="asked for it")
    assert found(store, 1, now=NOW + 10) == Suppression(1, JOE, "manual", "asked for it", None, NOW + 1, None)


def test_it_ends_at_its_time(store: Store) -> None:
    put(store, 1, expires_at=NOW + 60)
    assert found(store, 1, now=NOW + 59) is not None
    assert found(store, 1, now=NOW + 60) is None


def test_two_who_suppress_the_same_at_once_do_not_collide(store: Store, store_url: str) -> None:
    def work(n: int) -> None:
        own = Store.open(store_url)
        try:
            for turn in range(10):
                put(own, 1, detail=f"{n} {turn}")
        finally:
            own.close()

    at_once(work, 3)
    assert found(store, 1) is not None


def test_two_who_suppress_many_in_different_orders_do_not_deadlock(store: Store, store_url: str) -> None:
    made = [Suppression(1, f"joe{n:03}@example.org", MANUAL, "", None, NOW, None) for n in range(300)]

    def work(n: int) -> None:
        own = Store.open(store_url)
        try:
            for _ in range(5):
                with own.write() as session:
                    suppress_all(session, made[:: -1 if n else 1])
        finally:
            own.close()

    at_once(work, 2)
    assert found(store, 1, "joe299@example.org") is not None


def test_those_in_force_are_listed_by_address(store: Store) -> None:
    for address in ("b@example.org", "a@example.org", "A@Example.org"):
        put(store, 1, address)
    put(store, 1, "over@example.org", expires_at=NOW - 1)
    put(store, EVERY_ACCOUNT, "all@example.org")
    with store.read() as session:
        assert [one.address for one in suppressions_of(session, 1, NOW)] == ["a@example.org", "b@example.org"]
        assert [one.address for one in suppressions_of(session, EVERY_ACCOUNT, NOW)] == ["all@example.org"]


def test_those_that_are_over_are_deleted_some_at_a_time(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deleting, "BATCH", 2)
    for number in range(3):
        put(store, 1, f"old{number}@example.org", expires_at=NOW - number)
    put(store, 1, "young@example.org", expires_at=NOW + 1)
    put(store, 1, "lasting@example.org")
    with store.write() as session:
        assert [suppressions.forget(session, NOW) for _ in range(3)] == [2, 1, 0]
        assert [one.address for one in suppressions_of(session, 1, 0.0)] == ["lasting@example.org", "young@example.org"]


def test_a_detail_is_kept_without_control_characters_and_not_for_ever(store: Store) -> None:
    assert put(store, 1, detail="550 no\r\n\x1b[2Juser\0").detail == "550 no   [2Juser "
    assert len(put(store, 1, detail="x" * 9999).detail) == MAX_DETAIL


# Which addresses are the same


@pytest.mark.parametrize(
    ("kept", "received"),
    [
        ("joe@example.org", "JOE@Example.ORG"),
        ("joe@example.org", '"joe"@example.org'),
        ("joe.doe@example.org", '"Joe\\.D\\oe"@example.org'),
        ('"joe doe"@example.org', '"JOE\\ doe"@example.org'),
        ('"a\\"b"@example.org', '"A\\"b"@example.org'),
        ('"a@b"@example.org', '"A\\@b"@example.org'),
        ("jürgen@example.org", "JÜRGEN@example.org"),
        ("joe@xn--bcher-kva.example", "joe@Bücher.example"),
        ("joe@bücher.example", "joe@XN--BCHER-KVA.example"),
        ("joe@xn--strae-oqa.example", "joe@straße.example"),
        ("joe@example.org", "joe@ｅxample。org"),
    ],
)
def test_the_same_address_in_another_form_is_found(store: Store, kept: str, received: str) -> None:
    put(store, 1, kept)
    assert found(store, 1, received) is not None


@pytest.mark.parametrize(
    "other",
    ["joe@example.com", "joe@mail.example.org", "jo@example.org", '"joe "@example.org', '"joe@example.org"@x.example'],
)
def test_another_address_is_not(store: Store, other: str) -> None:
    put(store, 1)
    assert found(store, 1, other) is None


@given(st.text('ab."\\@ ()', min_size=1, max_size=8))
def test_quotes_do_not_matter_and_the_form_of_an_address_is_an_address(local: str) -> None:
    sparing = "".join([f"\\{c}" if c in '"\\' else c for c in local])
    lavish = "".join([f"\\{c}" for c in local])
    once = comparable(f'"{sparing}"@bücher.example')
    assert comparable(f'"{lavish}"@bücher.example') == comparable(once) == once
    assert str(Mailbox.parse(once)) == once


@pytest.mark.parametrize(
    "text",
    [
        "", "joe", "joe@", "@example.org", "joe@example", "<joe@example.org>", "joe@[192.0.2.1]", "a b@example.org",
        "postmaster", "joe@example.org>", "joe@example.org> X", "joe\n@example.org", "@a.example:joe@example.org",
    ],
)  # fmt: skip
def test_what_no_mail_could_be_sent_to_is_no_address(store: Store, text: str) -> None:
    with pytest.raises(UsageError, match=r"is not an address such as joe@example\.org"):
        put(store, 1, text)


# Who has to look


def test_an_access_knows_whether_anything_is_suppressed(store: Store) -> None:
    with store.write() as session:
        account, other = make_account(session), make_account(session, "other")
        make_domain(session, account)
        make_domain(session, account, "b.example")
        username = add_connection(session, SECRETS, account, "shop", ["shop.example", "b.example"], NOW).username

    def known(now: float = NOW) -> bool:
        with store.read() as session:
            granted = access(session, username, now)
            assert granted is not None
            assert len(granted.domains) == 2
            return granted.suppressions

    put(store, other.id)
    assert known() is False
    put(store, account.id, expires_at=NOW + 60)
    assert (known(), known(NOW + 60), known(0.0)) == (True, False, True)
    put(store, EVERY_ACCOUNT)
    assert known(NOW + 60) is True
