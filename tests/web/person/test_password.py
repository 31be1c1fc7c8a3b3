"""A forgotten password: the same answer for everybody, a link that works once, and the end of all sessions."""

from __future__ import annotations

import attrs
import pytest
from flask import Flask
from sqlalchemy import select

from postmeter.config import Web
from postmeter.message.handling import URGENT
from postmeter.store import accounts, audit, tickets
from postmeter.store.own_mail import OPERATOR
from postmeter.store.secrets import NewPassword
from postmeter.store.tables import Message
from postmeter_web.person.password import PasswordForm
from support.panel import NOW, OTHER, OWNER, PASSWORD, Browser, House
from support.people import link, mails, set_up, text

FORGOTTEN, NEW = "/forgotten", "tannengruen und blau"


def asked(browser: Browser, house: House, email: str = OWNER) -> str:
    """Ask for a link and follow the mail."""
    assert browser.post(FORGOTTEN, FORGOTTEN, email=email).headers["Location"] == "/forgotten/sent"
    return link(mails(house)[-1])


def choose(browser: Browser, path: str, password: str = NEW) -> int:
    return browser.post(path, path, password=password).status_code


def test_the_answer_is_the_same_whether_the_address_is_known(app: Flask, house: House) -> None:
    answers = []
    for n, email in enumerate((OWNER, "nobody@shop.example")):
        browser = Browser(app, f"192.0.2.{n}")
        answer = browser.post(FORGOTTEN, FORGOTTEN, email=email)
        answers.append(
            (
                answer.status_code,
                answer.headers["Location"],
                browser.get("/forgotten/sent").text.partition("<footer")[0],
            )
        )
    assert answers[0] == answers[1]
    assert [mail["To"] for mail in mails(house)] == [OWNER]


def test_the_mail_has_a_link_by_which_a_password_is_chosen(browser: Browser, house: House) -> None:
    path = asked(browser, house)
    (mail,) = mails(house)
    assert mail["Subject"] == "A new password"
    assert f"http://127.0.0.1:8025{path}" in text(mail)
    assert choose(browser, path) == 302
    assert "The new password is strong. Log in with it now." in browser.get("/login").text
    assert browser.log_in(OWNER).status_code == 403
    assert browser.log_in(OWNER, NEW).status_code == 302


def test_the_mail_passes_all_that_the_relay_writes_by_itself(browser: Browser, house: House) -> None:
    asked(browser, house)
    with house.store.read() as session:
        assert session.scalars(select(Message.priority).where(Message.account_id == OPERATOR)).all() == [URGENT]


def test_links_lead_where_the_settings_say_whatever_the_request_calls_us(house: House) -> None:
    house.settings = attrs.evolve(house.settings, web=Web(url="https://panel.example.net/"))
    browser = Browser(house.app())
    browser.headers["Host"] = "evil.example"
    browser.post(FORGOTTEN, FORGOTTEN, email=OWNER)
    (mail,) = mails(house)
    assert "https://panel.example.net/password/" in text(mail)
    assert "evil" not in text(mail)


def test_a_link_works_once_and_for_an_hour(browser: Browser, house: House) -> None:
    first = asked(browser, house)
    second = asked(browser, house)
    assert browser.get(first).headers["Location"] == FORGOTTEN
    assert choose(browser, second) == 302
    assert browser.get(second).headers["Location"] == FORGOTTEN
    assert "its time is over" in browser.get(FORGOTTEN).text
    third = asked(browser, house)
    house.now += tickets.HOUR
    assert browser.get(third).headers["Location"] == FORGOTTEN
    assert browser.get("/password/nonsense").headers["Location"] == FORGOTTEN


def test_of_two_who_use_a_link_at_once_one_is_late(
    browser: Browser, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = asked(browser, house)
    monkeypatch.setattr(tickets, "use", lambda *_: None)
    assert choose(browser, path) == 302
    assert browser.log_in(OWNER, NEW).status_code == 403


def test_all_sessions_end_and_other_links_with_them(app: Flask, owner: Browser, house: House) -> None:
    browser = Browser(app, "192.0.2.2")
    path = asked(browser, house)
    assert choose(browser, path, "short") == 400
    assert owner.get("/me/").status_code == 200
    assert choose(browser, path) == 302
    assert owner.get("/me/").status_code == 302


def test_the_second_factor_is_asked_for_all_the_same(app: Flask, owner: Browser, house: House) -> None:
    set_up(owner, house)
    browser = Browser(app, "192.0.2.2")
    assert choose(browser, asked(browser, house)) == 302
    assert browser.log_in(OWNER, NEW).headers["Location"] == "/login/code"


def test_nobody_fills_somebody_s_mailbox(app: Flask, house: House) -> None:
    for n in range(3):
        assert Browser(app, f"192.0.2.{n}").post(FORGOTTEN, FORGOTTEN, email=OWNER).status_code == 302
    assert Browser(app, "192.0.2.9").post(FORGOTTEN, FORGOTTEN, email=OWNER).status_code == 429
    assert len(mails(house)) == 3
    house.now = NOW + 3600
    assert Browser(app, "192.0.2.9").post(FORGOTTEN, FORGOTTEN, email=OWNER).status_code == 302


def test_nobody_asks_for_many(browser: Browser) -> None:
    answers = [browser.post(FORGOTTEN, FORGOTTEN, email=f"user{n}@shop.example").status_code for n in range(4)]
    assert answers == [302, 302, 302, 429]


@pytest.mark.parametrize("email", ["", "nobody", "a" * 255])
def test_what_is_no_address_is_said_at_once(browser: Browser, email: str) -> None:
    assert browser.post(FORGOTTEN, FORGOTTEN, email=email).status_code == 400


def test_a_password_is_changed_by_who_knows_the_old_one(app: Flask, owner: Browser, house: House) -> None:
    page, other = "/me/password", Browser(app, "192.0.2.2")
    other.log_in(OWNER)
    lost = asked(Browser(app, "192.0.2.3"), house)
    assert owner.post(page, page, old="wrong", password=NEW).status_code == 403
    assert owner.post(page, page, old=PASSWORD, password="password123").status_code == 400
    assert owner.post(page, page, old="", password=NEW).status_code == 400
    assert owner.post(page, page, old=PASSWORD, password=NEW).headers["Location"] == "/me/"
    assert "You are logged out everywhere else." in owner.get("/me/").text
    assert other.get("/me/").status_code == 302
    assert other.get(lost).headers["Location"] == FORGOTTEN
    assert other.log_in(OWNER, NEW).status_code == 302
    assert mails(house)[-1]["Subject"] == "Your log-in was changed"


def test_the_old_password_cannot_be_guessed_at_will(owner: Browser) -> None:
    page = "/me/password"
    for _ in range(5):
        assert owner.post(page, page, old="wrong", password=NEW).status_code == 403
    answer = owner.post(page, page, old=PASSWORD, password=NEW)
    assert answer.status_code == 429
    assert "in 15 minutes" in answer.text


def test_mails_are_in_the_language_of_their_reader(browser: Browser, house: House) -> None:
    with house.store.write() as session:
        accounts.set_preferences(session, accounts.known_user(session, OTHER).id, language="de", timezone="")
    asked(browser, house, OTHER)
    (mail,) = mails(house)
    assert mail["Subject"] == "Ein neues Passwort"
    assert text(mail).startswith("Guten Tag,")


def test_a_link_that_is_used_twice_at_once_changes_the_password_once(
    browser: Browser, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, choosing = asked(browser, house), PasswordForm.chosen

    def overtaken(form: PasswordForm, email: str) -> NewPassword | None:
        with house.store.write() as session:
            assert tickets.use(session, house.secrets, tickets.PASSWORD, path.rpartition("/")[2], house.now)
        return choosing(form, email)

    monkeypatch.setattr(PasswordForm, "chosen", overtaken)
    assert browser.post(path, path, password=NEW).headers["Location"] == FORGOTTEN
    assert "used already" in browser.get(FORGOTTEN).text
    with house.store.read() as session:
        assert "user.password" not in [one.action for one in audit.entries(session)]
    assert browser.log_in(OWNER).status_code == 302


def test_what_fails_is_logged_without_the_link_s_secret(
    browser: Browser, house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = asked(browser, house)
    monkeypatch.setattr(tickets, "find", lambda *_: 1 // 0)
    assert browser.get(path).status_code == 500
    assert "GET /password/<token> failed" in caplog.text
    assert path.rpartition("/")[2] not in caplog.text
