"""Sessions: a log-in in each browser, seen and ended, over after twelve hours."""

from __future__ import annotations

import re

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from postmeter.store import logins
from postmeter.store.panel_tables import Login
from support.panel import NOW, OTHER, OWNER, Browser, House

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"


def at(app: Flask, email: str, address: str) -> Browser:
    """Somebody who is logged in at an address."""
    browser = Browser(app, address)
    assert browser.log_in(email).status_code == 302
    return browser


def row(house: House) -> Login:
    with house.store.read() as session:
        return session.scalars(select(Login)).one()


def test_a_session_is_over_after_twelve_hours_by_the_relay_s_clock(owner: Browser, house: House) -> None:
    house.now = NOW + 43_199
    assert owner.get("/me/").status_code == 200
    house.now = NOW + 43_200
    assert owner.get("/me/").headers["Location"].startswith("/login")


def test_a_log_in_knows_browser_and_address(app: Flask, house: House) -> None:
    browser = Browser(app, "192.0.2.7")
    browser.headers["User-Agent"] = FIREFOX
    browser.log_in(OWNER)
    assert (row(house).address, row(house).agent) == ("192.0.2.7", FIREFOX)
    page = browser.get("/me/").text
    assert "Firefox, Linux" in page
    assert "192.0.2.7" in page
    assert "This one" in page


def test_the_cookie_holds_no_more_than_a_secret_that_the_database_does_not_know(owner: Browser, house: House) -> None:
    with owner.client.session_transaction() as session:
        token = session["_user_id"].rpartition(".")[2]
    assert len(token) == 40
    assert row(house).token == house.secrets.hash_token(token) != token.encode()


def test_when_somebody_was_seen_is_noted_once_a_minute(owner: Browser, house: House) -> None:
    house.now = NOW + 59
    owner.get("/me/")
    assert row(house).seen_at == NOW
    house.now = NOW + 60
    owner.get("/me/")
    assert row(house).seen_at == NOW + 60


def test_a_page_is_answered_though_it_cannot_be_noted_when_somebody_was_seen(
    owner: Browser, house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise OperationalError("UPDATE", {}, Exception("database is locked"))

    monkeypatch.setattr(logins, "seen", fail)
    house.now = NOW + 60
    assert owner.get("/me/").status_code == 200
    assert "was seen could not be noted" in caplog.text


def test_another_browser_is_logged_out_from_here(app: Flask, owner: Browser) -> None:
    other = at(app, OWNER, "192.0.2.2")
    found = re.search(r"/me/logins/(\d+)/end", owner.get("/me/").text)
    assert found
    assert owner.post(found[0], "/me/").status_code == 302
    assert other.get("/me/").status_code == 302
    assert owner.get("/me/").status_code == 200
    assert owner.post(found[0], "/me/").status_code == 404


def test_somebody_else_s_log_in_is_not_there(app: Flask, owner: Browser, house: House) -> None:
    other = at(app, OTHER, "192.0.2.2")
    with house.store.read() as session:
        theirs = session.scalars(select(Login.id).where(Login.address == "192.0.2.2")).one()
    assert owner.post(f"/me/logins/{theirs}/end", "/me/").status_code == 404
    assert other.get("/me/").status_code == 200


def test_all_others_are_logged_out_at_once(app: Flask, owner: Browser) -> None:
    browsers = [at(app, OWNER, f"192.0.2.{n}") for n in (2, 3)]
    stranger = at(app, OTHER, "192.0.2.4")
    assert owner.post("/me/logins/end", "/me/").status_code == 302
    assert [browser.get("/me/").status_code for browser in browsers] == [302, 302]
    assert owner.get("/me/").status_code == stranger.get("/me/").status_code == 200


def test_a_cookie_of_before_the_log_out_is_worth_nothing(owner: Browser) -> None:
    cookie = owner.client.get_cookie("postmeter")
    assert cookie
    owner.post("/logout", "/me/")
    owner.client.set_cookie("postmeter", cookie.value)
    assert owner.get("/me/").headers["Location"].startswith("/login")


def test_a_log_in_as_another_leaves_nothing_of_the_first(app: Flask, house: House) -> None:
    browser = at(app, OWNER, "192.0.2.2")
    browser.post("/logout", "/me/")
    browser.log_in(OTHER)
    assert OTHER in browser.get("/me/").text
    assert row(house).address == "192.0.2.2"
