"""Requests for access: one per address, decided once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from postmeter.config import Settings
from postmeter.errors import UsageError
from postmeter.store import access_requests, accounts, tickets
from postmeter.store.access_requests import APPROVED, NewRequest
from postmeter.store.engine import Store
from support.tenants import NOW, PASSWORD, SECRETS, make_account

ASKED = NewRequest("Lindenhof", "Ann@Lindenhof.example", "https://lindenhof.example", "Orders", "de", "192.0.2.1")
OPERATOR = 7


def asked(store: Store, what: NewRequest = ASKED) -> int:
    """The number of a new request."""
    with store.write() as session:
        assert access_requests.add(session, what, NOW)
        return access_requests.open_requests(session)[-1].id


def approve(store: Store, number: int, name: str = "") -> access_requests.Approved:
    with store.write() as session:
        return access_requests.approve(session, SECRETS, Settings(), number, OPERATOR, PASSWORD, NOW + 1, name)


def test_an_address_has_one_open_request(store: Store) -> None:
    number = asked(store)
    with store.write() as session:
        assert not access_requests.add(session, replace(ASKED, name="Another", email="ann@lindenhof.example"), NOW)
        (one,) = access_requests.open_requests(session)
    assert (one.id, one.name, one.email, one.created_at) == (number, "Lindenhof", "ann@lindenhof.example", NOW)


@pytest.mark.parametrize("wrong", [{"email": "nobody"}, {"name": "\n"}])
def test_what_could_not_be_approved_is_not_kept(store: Store, wrong: dict[str, str]) -> None:
    with pytest.raises(UsageError), store.write() as session:
        access_requests.add(session, replace(ASKED, **wrong), NOW)


def test_requests_that_wait_are_bounded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_requests, "MOST_OPEN", 1)
    asked(store)
    with pytest.raises(UsageError, match="too many"):
        asked(store, replace(ASKED, email="bob@lindenhof.example"))


def test_approval_makes_the_account_and_a_link_for_its_owner(store: Store) -> None:
    number = asked(store)
    done = approve(store, number)
    assert (done.account, done.email, done.language) == ("Lindenhof", "ann@lindenhof.example", "de")
    with store.read() as session:
        assert accounts.account_facts(session, "Lindenhof").admins == ("ann@lindenhof.example",)
        assert access_requests.open_requests(session) == []
        decided = access_requests.request_of(session, number)
        assert (decided.state, decided.decided_by, decided.decided_at) == (APPROVED, OPERATOR, NOW + 1)
        ticket = tickets.find(session, SECRETS, tickets.PASSWORD, done.token or "", NOW + 6 * 86_400)
        assert ticket is not None
        assert ticket.email == "ann@lindenhof.example"


def test_who_has_a_login_needs_no_link(store: Store) -> None:
    with store.write() as session:
        make_account(session)
    assert approve(store, asked(store, replace(ASKED, email="owner@acme.example"))).token is None


def test_a_name_in_use_leaves_the_request_open_for_another(store: Store) -> None:
    with store.write() as session:
        make_account(session)
    number = asked(store, replace(ASKED, name="acme"))
    with pytest.raises(UsageError, match="already"):
        approve(store, number)
    assert approve(store, number, "Acme of Lindenhof").account == "Acme of Lindenhof"


def test_a_request_is_decided_once_and_may_be_made_again(store: Store) -> None:
    number = asked(store)
    with store.write() as session:
        assert access_requests.decline(session, number, OPERATOR, NOW).name == "Lindenhof"
    with pytest.raises(UsageError, match="already"):
        approve(store, number)
    with pytest.raises(UsageError, match="no request"):
        approve(store, 4711)
    assert asked(store) != number
