"""Where an invitation leads: to membership, for whom it is for and once."""

from __future__ import annotations

import pytest
from flask import Flask

from postmeter.store import accounts, team
from postmeter.store.tickets import WEEK
from support.panel import OTHER, OWNER, Browser, House
from support.people import link, mails

NEW, TEAM, CHOSEN = "new@shop.example", "/accounts/shop/team/", "tannengruen und blau"


@pytest.fixture
def path(owner: Browser, house: House) -> str:
    """Where the invitation of somebody without a login leads."""
    return invited(owner, house, NEW)


def invited(owner: Browser, house: House, email: str, role: str = "viewer") -> str:
    assert owner.post(TEAM, TEAM, email=email, role=role).status_code == 302
    return link(mails(house)[-1])


def roles(house: House) -> dict[str, str]:
    with house.store.read() as session:
        return {one.email: one.role for one in team.members(session, house.ids["shop"])}


def test_who_has_no_login_chooses_a_password_and_is_in(app: Flask, path: str, house: House) -> None:
    browser = Browser(app, "192.0.2.2")
    page = browser.get(path).text
    assert "Invitation to the account shop" in page
    assert NEW in page
    assert OWNER in page
    assert browser.post(path, path, password="password123").status_code == 400
    assert browser.post(path, path, password=CHOSEN).headers["Location"] == "/"
    assert browser.get("/accounts/shop/").status_code == 200
    assert roles(house) == {OWNER: "owner", NEW: "viewer"}
    assert Browser(app, "192.0.2.3").log_in(NEW, CHOSEN).status_code == 302


def test_who_has_a_login_joins_after_logging_in_as_the_one_who_was_invited(
    app: Flask, owner: Browser, house: House
) -> None:
    path, browser = invited(owner, house, OTHER, "billing"), Browser(app, "192.0.2.2")
    page = browser.get(path).text
    assert "You have a login already" in page
    assert f"/login?next={path}" in page
    assert browser.post(path, path, password=CHOSEN).status_code == 400
    assert browser.log_in(OTHER, page=f"/login?next={path}").headers["Location"] == path
    assert browser.post(path, path).headers["Location"] == "/"
    assert roles(house)[OTHER] == "billing"
    assert browser.get("/accounts/shop/quota/").status_code == 200


def test_another_visitor_is_asked_to_log_out_first(path: str, owner: Browser, house: House) -> None:
    assert f"You are logged in as {OWNER}" in owner.get(path).text
    assert owner.post(path, path, password=CHOSEN).status_code == 400
    assert NEW not in roles(house)
    assert owner.post("/logout", path, next=path).headers["Location"] == path


def test_an_invitation_is_good_once_and_for_a_week(app: Flask, owner: Browser, path: str, house: House) -> None:
    Browser(app, "192.0.2.2").post(path, path, password=CHOSEN)
    assert Browser(app, "192.0.2.3").get(path).headers["Location"] == "/"
    other = invited(owner, house, "late@shop.example")
    house.now += WEEK
    late = Browser(app, "192.0.2.3")
    assert late.get(other).status_code == 302
    assert "its time is over" in late.get("/login").text
    assert late.get("/join/nonsense").status_code == 302


def test_of_two_who_accept_at_once_one_is_late_and_nothing_is_left(
    app: Flask, path: str, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(team, "accept", lambda *_: None)
    browser = Browser(app, "192.0.2.2")
    assert browser.post(path, path, password=CHOSEN).status_code == 302
    with house.store.read() as session:
        assert accounts.user_by_email(session, NEW) is None
    assert browser.get("/me/").status_code == 302


def test_a_role_without_a_dashboard_starts_where_it_may(app: Flask, owner: Browser, house: House) -> None:
    path, browser = invited(owner, house, NEW, "billing"), Browser(app, "192.0.2.2")
    browser.post(path, path, password=CHOSEN)
    assert browser.get("/").headers["Location"] == "/accounts/shop/quota/"
