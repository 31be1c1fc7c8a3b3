"""Who comes in, who does not, and what a session is worth."""

from __future__ import annotations

import time

import pytest
from argon2 import PasswordHasher
from flask import Flask

from postmeter.store import accounts, audit
from postmeter.store.secrets import NewPassword
from postmeter_web.person.guard import WRONG
from postmeter_web.person.login import safe_path
from support.panel import NOW, OPERATOR, OWNER, Browser, House


@pytest.mark.parametrize("path", ["/", "/live", "/accounts/shop/", "/accounts/shop/live", "/nowhere"])
def test_without_a_log_in_every_page_leads_to_the_form(browser: Browser, path: str) -> None:
    answer = browser.get(path)
    assert answer.status_code == 302
    assert answer.headers["Location"].startswith("/login?next=")


def test_the_right_password_leads_on_to_the_page_that_was_asked_for(browser: Browser) -> None:
    answer = browser.log_in(OWNER, page="/login?next=/accounts/shop/")
    assert (answer.status_code, answer.headers["Location"]) == (302, "/accounts/shop/")
    assert browser.get("/accounts/shop/").status_code == 200


def test_an_address_is_the_same_in_capitals(browser: Browser) -> None:
    assert browser.log_in(OWNER.upper()).status_code == 302


@pytest.mark.parametrize("email", [OWNER, "nobody@shop.example"])
def test_a_wrong_password_and_an_unknown_user_get_the_same_answer(browser: Browser, email: str) -> None:
    answer = browser.log_in(email, "wrong")
    assert answer.status_code == 403
    assert str(WRONG) in answer.text


def test_an_unknown_user_costs_a_hash_as_well(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[str] = []
    monkeypatch.setattr(accounts, "hash_password", hashed.append)
    browser.log_in("nobody@shop.example", "wrong")
    assert hashed == ["wrong"]


@pytest.fixture
def cheap_guesses(monkeypatch: pytest.MonkeyPatch) -> None:
    """No password is right, and finding out takes no time."""
    monkeypatch.setattr(accounts, "authenticate", lambda *_: None)


@pytest.mark.usefixtures("cheap_guesses")
def test_after_five_failures_a_user_has_to_wait_whatever_the_address(
    app: Flask, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(5):
        assert Browser(app, f"192.0.2.{n}").log_in(OWNER, "wrong").status_code == 403
    answer = Browser(app, "198.51.100.1").log_in(OWNER)
    assert answer.status_code == 429
    assert "Please try again in 15 minutes." in answer.text
    monkeypatch.undo()
    house.now = NOW + 900
    assert Browser(app, "198.51.100.1").log_in(OWNER).status_code == 302


@pytest.mark.usefixtures("cheap_guesses")
def test_after_five_failures_an_address_has_to_wait_whatever_the_user(app: Flask) -> None:
    for n in range(5):
        Browser(app, "2001:db8::1").log_in(f"user{n}@shop.example", "wrong")
    assert Browser(app, "2001:db8::2").log_in(OWNER).status_code == 429
    assert Browser(app, "2001:db8:1::1").log_in(OWNER).status_code == 403


def test_right_passwords_are_not_counted(app: Flask, monkeypatch: pytest.MonkeyPatch, house: House) -> None:
    with house.store.read() as session:
        user = accounts.authenticate(session, OWNER, "correct horse")
    monkeypatch.setattr(accounts, "authenticate", lambda *_: user)
    for _ in range(7):
        assert Browser(app).log_in(OWNER).status_code == 302


@pytest.mark.parametrize("form", ["/login", "/logout"])
def test_a_form_without_its_token_is_refused(owner: Browser, form: str) -> None:
    answer = owner.client.post(form, data={"email": OWNER, "password": "x"})
    assert answer.status_code == 400
    assert "reload the page" in answer.text


def test_logging_out_ends_the_session(owner: Browser) -> None:
    assert owner.post("/logout", "/accounts/shop/").status_code == 302
    assert owner.get("/accounts/shop/").status_code == 302


@pytest.mark.parametrize(("target", "where"), [("/request", "/request"), ("//evil.example", "/"), ("", "/login")])
def test_logging_out_leads_to_an_own_page(owner: Browser, target: str, where: str) -> None:
    assert owner.post("/logout", "/me/", next=target).headers["Location"] == where


def test_a_hash_made_with_other_parameters_is_replaced_at_the_log_in(
    browser: Browser, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    hasher = PasswordHasher(time_cost=2, memory_cost=8, parallelism=1)
    monkeypatch.setattr("postmeter.store.secrets._hasher", hasher)
    assert browser.log_in(OWNER).status_code == 302
    with house.store.read() as session:
        assert accounts.old_hash(session, accounts.known_user(session, OWNER).id) is None
    assert browser.get("/me/").status_code == 200


def test_log_ins_are_in_the_audit_log_and_failures_are_not(browser: Browser, house: House) -> None:
    browser.log_in(OWNER, "wrong")
    browser.log_in(OWNER)
    browser.post("/logout", "/me/")
    with house.store.read() as session:
        found = [(entry.action, entry.actor, entry.address) for entry in audit.entries(session)]
    assert found == [("user.logout", OWNER, "192.0.2.1"), ("user.login", OWNER, "192.0.2.1")]


def test_a_new_password_ends_every_session(owner: Browser, house: House, password: NewPassword) -> None:
    with house.store.write() as session:
        accounts.set_password(session, OWNER, password)
    assert owner.get("/accounts/shop/").headers["Location"].startswith("/login")


def test_a_session_ends_after_twelve_hours_however_often_it_is_used(
    owner: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "Set-Cookie" not in owner.get("/accounts/shop/live").headers
    later = int(time.time()) + 12 * 3600 + 1
    monkeypatch.setattr("itsdangerous.TimestampSigner.get_timestamp", lambda _: later)
    assert owner.get("/accounts/shop/live").status_code == 302


def test_logging_in_begins_a_new_session(browser: Browser) -> None:
    browser.get("/login")
    before = browser.client.get_cookie("postmeter")
    browser.log_in(OPERATOR)
    after = browser.client.get_cookie("postmeter")
    assert before
    assert after
    with browser.client.session_transaction() as session:
        assert "csrf_token" not in session


@pytest.mark.parametrize(
    "target",
    ["//evil.example", "/\\evil.example", "https://evil.example", "/\t/evil.example", "evil", "/a\r\nX: y", "", None],
)
def test_only_own_paths_are_gone_on_to(app: Flask, target: str | None) -> None:
    with app.test_request_context():
        assert safe_path(target) == "/"


def test_an_own_path_is_gone_on_to() -> None:
    assert safe_path("/accounts/a%2Fb/?page=2") == "/accounts/a%2Fb/?page=2"
