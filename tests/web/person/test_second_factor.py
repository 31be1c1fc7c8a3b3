"""The second factor: set up, asked for, replaced by paper, turned off, and demanded."""

from __future__ import annotations

import attrs
import pytest
from flask import Flask

from postmeter.config import Web
from postmeter.store import accounts, audit
from postmeter.store.second_factors import STEP
from postmeter.store.secrets import NewPassword
from postmeter_web.person.guard import WRONG_CODE
from support.panel import NOW, OPERATOR, OWNER, PASSWORD, Browser, House
from support.people import SET_UP, code, mails, set_up

CODE = "/login/code"


def actions(house: House) -> list[str]:
    """What the audit log tells of, the oldest first."""
    with house.store.read() as session:
        return [entry.action for entry in reversed(audit.entries(session))]


def offered(page: str) -> str:
    """The secret that a page shows."""
    return page.partition("<code>")[2].partition("</code>")[0].replace(" ", "")


def demanding(house: House, whom: str) -> Flask:
    """A panel that demands a second factor."""
    house.settings = attrs.evolve(house.settings, web=Web(second_factor=whom))
    return house.app()


def test_a_picture_and_a_secret_are_shown_and_a_code_turns_it_on(owner: Browser, house: House) -> None:
    page = owner.get(SET_UP).text
    assert 'src="data:image/svg+xml' in page
    assert offered(page) == offered(owner.get(SET_UP).text)  # until it is used
    _, codes = set_up(owner, house)
    assert len(codes) == 10
    assert "It is on" in owner.get(SET_UP).text
    assert actions(house)[-1] == "user.second_factor"
    (mail,) = mails(house)
    assert (mail["To"], mail["Subject"]) == (OWNER, "Your log-in was changed")


@pytest.mark.parametrize(("shown", "typed"), [("000000", PASSWORD), ("", "wrong"), ("", "")])
def test_a_wrong_code_or_password_sets_nothing_up(owner: Browser, house: House, shown: str, typed: str) -> None:
    secret = offered(owner.get(SET_UP).text)
    answer = owner.post(SET_UP, SET_UP, code=shown or code(secret, NOW), password=typed)
    assert answer.status_code in (400, 403)
    assert secret in answer.text.replace(" ", "")
    assert "user.second_factor" not in actions(house)


def test_the_secret_is_not_readable_in_the_cookie(owner: Browser) -> None:
    secret = offered(owner.get(SET_UP).text)
    with owner.client.session_transaction() as session:
        assert secret not in str(dict(session))


def test_between_password_and_code_nobody_is_logged_in(app: Flask, owner: Browser, house: House) -> None:
    secret, _ = set_up(owner, house)
    other = Browser(app, "192.0.2.2")
    answer = other.log_in(OWNER, page="/login?next=/accounts/shop/")
    assert (answer.status_code, answer.headers["Location"]) == (302, CODE)
    for path in ("/", "/me/", "/accounts/shop/", SET_UP):
        assert other.get(path).headers["Location"].startswith("/login?next=")
    page = other.get(CODE)
    assert page.status_code == 200
    assert OWNER not in page.text
    assert "shop" not in page.text
    done = other.post(CODE, CODE, code=code(secret, house.now))
    assert (done.status_code, done.headers["Location"]) == (302, "/accounts/shop/")
    assert other.get("/accounts/shop/").status_code == 200


def test_a_code_is_good_for_one_log_in(app: Flask, owner: Browser, house: House) -> None:
    secret, _ = set_up(owner, house)
    shown = code(secret, house.now)
    first, second = Browser(app, "192.0.2.2"), Browser(app, "192.0.2.3")
    for browser, status in ((first, 302), (second, 403)):
        browser.log_in(OWNER)
        answer = browser.post(CODE, CODE, code=shown)
        assert answer.status_code == status
    assert str(WRONG_CODE).replace("'", "&#39;") in answer.text


def test_a_recovery_code_is_good_once_and_says_how_many_are_left(app: Flask, owner: Browser, house: House) -> None:
    _, codes = set_up(owner, house)
    for n, status in ((2, 302), (3, 403)):
        browser = Browser(app, f"192.0.2.{n}")
        browser.log_in(OWNER)
        assert browser.post(CODE, CODE, code=codes[0].upper()).status_code == status
        assert ("You have 9 recovery codes left" in browser.get("/me/").text) == (status == 302)


def test_codes_cannot_be_guessed_at_will(app: Flask, owner: Browser, house: House) -> None:
    secret, _ = set_up(owner, house)
    for n in range(5):
        browser = Browser(app, f"192.0.2.{10 + n}")
        browser.log_in(OWNER)
        assert browser.post(CODE, CODE, code="000000").status_code == 403
    browser = Browser(app, "192.0.2.99")
    browser.log_in(OWNER)
    assert browser.post(CODE, CODE, code=code(secret, house.now)).status_code == 429
    house.now += 900
    browser.log_in(OWNER)
    assert browser.post(CODE, CODE, code=code(secret, house.now)).status_code == 302


def test_the_code_may_not_take_for_ever(app: Flask, owner: Browser, house: House) -> None:
    set_up(owner, house)
    browser = Browser(app, "192.0.2.2")
    browser.log_in(OWNER)
    house.now += 601
    assert browser.get(CODE).headers["Location"] == "/login"
    assert "log in again" in browser.get("/login").text
    assert Browser(app, "192.0.2.3").get(CODE).headers["Location"] == "/login"


def test_a_new_password_makes_the_first_half_of_a_log_in_worthless(
    app: Flask, owner: Browser, house: House, password: NewPassword
) -> None:
    set_up(owner, house)
    browser = Browser(app, "192.0.2.2")
    browser.log_in(OWNER)
    with house.store.write() as session:
        accounts.set_password(session, OWNER, password)
    assert browser.get(CODE).headers["Location"] == "/login"
    assert browser.get("/me/").status_code == 302


def test_turning_it_on_or_off_ends_all_other_sessions(app: Flask, owner: Browser, house: House) -> None:
    other = Browser(app, "192.0.2.2")
    other.log_in(OWNER)
    secret, _ = set_up(owner, house)
    assert other.get("/me/").status_code == 302
    assert owner.get("/me/").status_code == 200
    house.now += STEP
    off = f"{SET_UP}off"
    assert owner.post(off, SET_UP, code=code(secret, house.now), password="wrong").status_code == 403
    assert owner.post(off, SET_UP, code="000000", password=PASSWORD).status_code == 403
    assert owner.post(off, SET_UP, code=code(secret, house.now), password=PASSWORD).status_code == 302
    assert "Set it up" in owner.get("/me/").text
    assert Browser(app, "192.0.2.3").log_in(OWNER).headers["Location"] == "/"


def test_new_recovery_codes_need_the_password(owner: Browser, house: House) -> None:
    _, codes = set_up(owner, house)
    assert owner.post(f"{SET_UP}codes", SET_UP, password="wrong").status_code == 403
    answer = owner.post(f"{SET_UP}codes", SET_UP, password=PASSWORD)
    assert answer.status_code == 200
    assert "shown only now" in answer.text
    assert codes[0] not in answer.text


@pytest.mark.parametrize("verb", ["codes", "off"])
def test_who_has_none_can_change_nothing_about_it(owner: Browser, verb: str) -> None:
    assert owner.post(f"{SET_UP}{verb}", SET_UP, password=PASSWORD, code="000000").status_code == 404


def test_who_has_one_is_not_offered_another(owner: Browser, house: House) -> None:
    set_up(owner, house)
    assert owner.post(SET_UP, SET_UP, password=PASSWORD, code="000000").headers["Location"] == SET_UP
    assert "data:image" not in owner.get(SET_UP).text


@pytest.mark.parametrize(
    ("whom", "email", "must"),
    [
        ("operators", OPERATOR, True),
        ("operators", OWNER, False),
        ("everybody", OWNER, True),
        ("nobody", OPERATOR, False),
    ],
)
def test_whom_it_is_demanded_of_can_go_nowhere_else_before(house: House, whom: str, email: str, must: bool) -> None:
    browser = Browser(demanding(house, whom))
    assert browser.log_in(email).status_code == 302
    for path in ("/", "/me/", "/accounts/shop/", "/operator/accounts/", "/nowhere"):
        answer = browser.get(path)
        assert (answer.headers.get("Location") == SET_UP) == must, path
    page = browser.get(SET_UP)
    assert page.status_code == 200
    assert ("Set it up to go on" in page.text) == must
    if must:
        assert browser.post("/me/", SET_UP, language="de", timezone="").status_code == 403
        assert browser.post("/accounts/shop/team/", SET_UP).status_code == 403
        set_up(browser, house)
    assert browser.get("/me/").status_code == 200


def test_where_it_is_demanded_it_cannot_be_turned_off(house: House) -> None:
    browser = Browser(demanding(house, "everybody"))
    browser.log_in(OWNER)
    secret, _ = set_up(browser, house)
    assert "cannot turn it off" in browser.get(SET_UP).text
    answer = browser.post(f"{SET_UP}off", SET_UP, password=PASSWORD, code=code(secret, house.now))
    assert answer.status_code == 404


def test_who_has_not_set_it_up_can_log_out(house: House) -> None:
    browser = Browser(demanding(house, "everybody"))
    browser.log_in(OWNER)
    assert browser.post("/logout", SET_UP).status_code == 302
    assert browser.get(SET_UP).headers["Location"].startswith("/login")
