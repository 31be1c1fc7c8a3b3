"""The open page for who wants an account, and what is written to whom."""

from __future__ import annotations

import time

import attrs
import pytest
from flask import Flask

from postmeter.config import Web
from postmeter.store import access_requests, accounts
from postmeter.store.access_requests import Approved, Request
from postmeter.store.secrets import NewPassword
from postmeter_web.person import letters
from support.panel import OPERATOR, OWNER, Browser, House
from support.people import link, mails, text

REQUEST = "/request"
FIELDS = {
    "name": "Lindenhof",
    "email": "ann@lindenhof.example",
    "website": "lindenhof.example",
    "text": "Orders, to guests,\nabout 500 a month.",
}


def ask(browser: Browser, **other: str) -> int:
    return browser.post(REQUEST, REQUEST, **FIELDS | other).status_code


def open_requests(house: House) -> list[Request]:
    with house.store.read() as session:
        return access_requests.open_requests(session)


def test_a_request_is_kept_and_every_operator_is_told(browser: Browser, house: House) -> None:
    browser.client.set_cookie("language", "de")
    assert ask(browser) == 302
    assert browser.get("/request/thanks").status_code == 200
    (one,) = open_requests(house)
    assert (one.name, one.email, one.website, one.language) == (*list(FIELDS.values())[:3], "de")
    assert one.address == "192.0.2.1"
    (mail,) = mails(house)
    assert mail["To"] == OPERATOR
    assert "Orders, to guests, about 500 a month." in text(mail)


def test_the_log_in_page_leads_there_unless_nobody_may_ask(browser: Browser, house: House) -> None:
    assert "Ask for access" in browser.get("/login").text
    house.settings = attrs.evolve(house.settings, web=Web(requests=False))
    closed = Browser(house.app())
    assert "Ask for access" not in closed.get("/login").text
    assert closed.get(REQUEST).status_code == closed.get("/request/thanks").status_code == 404


def test_who_has_asked_gets_the_same_answer_again(app: Flask, house: House) -> None:
    assert [ask(Browser(app, f"192.0.2.{n}")) for n in (1, 2)] == [302, 302]
    assert len(open_requests(house)) == len(mails(house)) == 1


def test_an_address_may_ask_three_times_an_hour(browser: Browser, house: House) -> None:
    answers = [ask(browser, email=f"ann{n}@lindenhof.example") for n in range(4)]
    assert answers == [302, 302, 302, 429]
    house.now += 3600
    assert ask(browser, email="ann4@lindenhof.example") == 302


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"name": "x" * 101},
        {"name": "a\x07b"},
        {"email": "nobody"},
        {"email": "a..b@lindenhof.example"},
        {"email": "=?utf-8?q?a=0Ann?=@lindenhof.example"},
        {"website": "javascript:alert(1)"},
        {"website": "lindenhof"},
        {"text": ""},
        {"text": "x" * 2001},
    ],
)
def test_what_is_wrong_is_said_and_not_kept(browser: Browser, house: House, wrong: dict[str, str]) -> None:
    assert ask(browser, **wrong) == 400
    assert open_requests(house) == []


def test_a_website_of_any_length_is_judged_at_once(browser: Browser) -> None:
    before = time.thread_time()
    assert ask(browser, website="a." * 100_000 + "@") == 400
    assert time.thread_time() - before < 2


@pytest.mark.parametrize(
    "website", [" lindenhof.example ", "https://www.lindenhof.example./shop?a=1", "bücher.example"]
)
def test_a_website_is_written_in_many_ways(browser: Browser, website: str) -> None:
    assert ask(browser, website=website) == 302


def test_what_strangers_write_is_text_in_the_operator_s_mail(browser: Browser, house: House) -> None:
    assert ask(browser, name="=?utf-8?q?x=0AEvil:_1?=", text="<script>\r\nBcc: eve@evil.example") == 302
    (mail,) = mails(house)
    assert mail["Bcc"] is None
    assert mail.get_content_type() == "text/plain"
    assert "<script> Bcc: eve@evil.example" in text(mail)


def test_who_is_approved_chooses_a_password_and_is_in(
    app: Flask, browser: Browser, house: House, password: NewPassword
) -> None:
    ask(browser)
    with app.test_request_context(), house.store.write() as session:
        house.now += 1
        number = access_requests.open_requests(session)[0].id
        operator = accounts.known_user(session, OPERATOR).id
        done = access_requests.approve(
            session, house.secrets, house.settings, number, operator, NewPassword.generate(), house.now
        )
        letters.approved(session, done)
    mail = mails(house)[-1]
    assert (mail["To"], mail["Subject"]) == ("ann@lindenhof.example", "Your account Lindenhof is ready")
    path = link(mail)
    assert browser.post(path, path, password="tannengruen und blau").status_code == 302
    assert browser.log_in("ann@lindenhof.example", "tannengruen und blau").status_code == 302
    assert browser.get("/accounts/Lindenhof/").status_code == 200


def test_who_has_a_login_or_is_declined_is_told_so(app: Flask, browser: Browser, house: House) -> None:
    ask(browser)
    (asked,), (_told,) = open_requests(house), mails(house)
    with app.test_request_context(), house.store.write() as session:
        letters.approved(session, Approved(1, "shop", OWNER, "de", None))
    assert "Melden Sie sich mit Ihrem bisherigen Passwort an" in text(mails(house)[-1])
    with app.test_request_context(), house.store.write() as session:
        letters.declined(session, asked, "We send no such mail.\n\nTry elsewhere.")
    assert "We send no such mail. Try elsewhere." in text(mails(house)[-1])
