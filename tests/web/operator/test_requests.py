"""Requests for access: approved they become accounts, declined they get an answer; either way once."""

from __future__ import annotations

import pytest

from postmeter.store import access_requests, accounts, audit
from postmeter.store.access_requests import NewRequest
from postmeter.store.tables import Content
from support.panel import NOW, Browser, House

PAGE = "/operator/requests/"


@pytest.fixture(autouse=True)
def asked(house: House) -> None:
    """Somebody asks for an account."""
    asked = NewRequest("Bakery", "eve@bakery.example", "bakery.example", "Orders <b>only</b>", "de", "192.0.2.50")
    with house.store.write() as session:
        access_requests.add(session, asked, NOW)


def mails(house: House) -> str:
    with house.store.read() as session:
        return "".join(one.data.decode() for one in session.query(Content))


def test_what_waits_is_shown_and_counted(operator: Browser) -> None:
    page = operator.get(PAGE).text
    assert "Orders &lt;b&gt;only&lt;/b&gt;" in page
    assert "192.0.2.50" in page
    assert '<span class="badge warn">1</span>' in operator.get("/operator/accounts/").text


def test_an_approved_request_is_an_account(house: House, operator: Browser) -> None:
    answer = operator.post(f"{PAGE}1/approve", PAGE, name="Eve's bakery")
    assert answer.headers["Location"] == "/operator/accounts/Eve's%20bakery/"
    with house.store.read() as session:
        assert accounts.account_facts(session, "Eve's bakery").admins == ("eve@bakery.example",)
        entry, *_ = audit.entries(session)
    assert (entry.action, entry.account, entry.facts["email"]) == (
        "request.approve",
        "Eve's bakery",
        "eve@bakery.example",
    )
    assert "To: eve@bakery.example" in mails(house)
    assert "Nobody waits" in operator.get(PAGE).text


def test_a_declined_one_is_told_why(house: House, operator: Browser) -> None:
    assert operator.post(f"{PAGE}1/decline", PAGE, reason="").status_code == 302
    assert "Say why" in operator.get(PAGE).text
    operator.post(f"{PAGE}1/decline", PAGE, reason="We take no bakeries.")
    assert "We take no bakeries." in mails(house)
    assert "Nobody waits" in operator.get(PAGE).text


def test_it_is_decided_once(house: House, operator: Browser) -> None:
    operator.post(f"{PAGE}1/decline", PAGE, reason="No.")
    operator.post(f"{PAGE}1/approve", "/operator/accounts/new", name="")
    assert "this request has been decided already" in operator.get(PAGE).text
    assert operator.post(f"{PAGE}77/approve", "/operator/accounts/new").status_code == 404
