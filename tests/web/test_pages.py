"""Pages of plugins: below an account for those who may see it, for the operator alone, and never a danger to others."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator

import pytest
from flask import Blueprint, g, render_template_string

from postmeter import Core, Page, hookimpl
from postmeter.store.secrets import NewPassword
from postmeter_web import pages
from support.panel import OPERATOR, OTHER, OWNER, Browser, House

FRAMED = '{% extends "base.html" %}{% block content %}<p>{{ text }}</p>{% endblock %}'
INVOICES, PRICES = "/accounts/shop/billing/", "/operator/billing/"


class Billing:
    """Has pages in every account and one for the operator."""

    core: Core | None = None

    @hookimpl
    def on_start(self, core: Core) -> None:
        self.core = core

    @hookimpl
    def pages(self) -> list[Page]:
        invoices, prices = Blueprint("invoices", __name__), Blueprint("prices", __name__)
        invoices.add_url_rule("/", "all", self.show)
        invoices.add_url_rule("/<int:number>", "one", lambda name, number: f"Invoice {number} of {g.account.name}")
        invoices.add_url_rule("/pay", "pay", lambda name: "paid", methods=["POST"])
        invoices.add_url_rule("/address", "address", lambda name: render_template_string(FRAMED, text="Address"))
        prices.add_url_rule("/", "all", lambda: render_template_string(FRAMED, text="All prices"))
        return [
            Page("Invoices", "account", invoices, "all"),
            Page("Address", "account", invoices, "address"),
            Page("Prices", "operator", prices, "all"),
        ]

    def show(self, name: str) -> str:
        assert self.core is not None
        with self.core.read() as session:
            account = self.core.account(session, g.account.id)
        return render_template_string(FRAMED, text=f"Invoices of {account.name}, which is {name}")


class Broken:
    """Has pages that cannot be shown: ``page`` is given when asked, or raised."""

    def __init__(self, page: Page | BaseException) -> None:
        self.page = page

    @hookimpl
    def pages(self) -> list[Page]:
        if isinstance(self.page, BaseException):
            raise self.page
        return [self.page]


def page(name: str = "own", place: str = "account", endpoint: str = "show", rule: str = "/") -> Page:
    blueprint = Blueprint(name, __name__)
    blueprint.add_url_rule(rule, "show", lambda **_: "shown")
    return Page("Own", place, blueprint, endpoint)


def visit(house: House, email: str, **plugins: object) -> Browser:
    """Somebody who is logged in to a panel with these plugins."""
    browser = Browser(house.app(**plugins))
    assert browser.log_in(email).status_code == 302
    return browser


def menu(text: str) -> list[tuple[str, str, bool]]:
    """The entries of a page's menu: where they lead, their titles, and which is the page itself."""
    within = text.partition('class="menu"')[2].partition("</nav>")[0]
    found = re.findall(r'<a href="([^"]*)"( aria-current="page")?>([^<]*)</a>', within)
    return [(url, title, bool(current)) for url, current, title in found if title in TITLES]


OF_SHOP = ["Quota", "Invoices", "Address", "Settings"]
TITLES = ("Quota", "Invoices", "Address", "Settings", "Audit log", "Prices")


def test_a_member_sees_the_pages_of_the_account(house: House) -> None:
    owner = visit(house, OWNER, billing=Billing())
    answer = owner.get(INVOICES)
    assert answer.status_code == 200
    assert "<p>Invoices of shop, which is shop</p>" in answer.text
    assert owner.get(f"{INVOICES}7").text == "Invoice 7 of shop"


def test_others_are_answered_as_if_there_were_no_such_page(house: House) -> None:
    other = visit(house, OTHER, billing=Billing())
    missing = other.get("/nowhere").text
    for path in (INVOICES, f"{INVOICES}7", "/accounts/nobody/billing/", PRICES):
        answer = other.get(path)
        assert (answer.status_code, answer.text) == (404, missing)
    assert other.post(f"{INVOICES}pay", "/accounts/forum/").status_code == 404
    assert other.post("/accounts/forum/billing/pay", "/accounts/forum/").text == "paid"


def test_who_is_not_logged_in_is_led_to_the_form(house: House) -> None:
    nobody = Browser(house.app(billing=Billing()))
    for path in (INVOICES, PRICES):
        assert nobody.get(path).headers["Location"].startswith("/login?next=")
    assert nobody.post(f"{INVOICES}pay", "/login").status_code == 403


def test_the_operator_sees_all_of_them(house: House) -> None:
    operator = visit(house, OPERATOR, billing=Billing())
    assert operator.get("/accounts/forum/billing/7").headers["Location"] == "/operator/accounts/forum/"
    assert operator.view("forum").get("/accounts/forum/billing/7").text == "Invoice 7 of forum"
    assert "All prices" in operator.get(PRICES).text


def test_a_form_without_the_token_is_not_accepted(house: House) -> None:
    owner = visit(house, OWNER, billing=Billing())
    assert owner.client.post(f"{INVOICES}pay", headers=owner.headers).status_code == 400


def test_the_menu_leads_to_the_pages_of_the_account_or_of_the_operator(house: House) -> None:
    owner, operator = (visit(house, email, billing=Billing()) for email in (OWNER, OPERATOR))
    operator.view("shop")
    of_shop = [
        ("/accounts/shop/quota/", "Quota"),
        (INVOICES, "Invoices"),
        (f"{INVOICES}address", "Address"),
        ("/accounts/shop/settings/", "Settings"),
    ]
    for browser in (owner, operator):
        for path, current in (("/accounts/shop/", ""), (INVOICES, "Invoices")):
            assert menu(browser.get(path).text) == [(url, title, title == current) for url, title in of_shop]
    assert menu(operator.get(PRICES).text) == [("/operator/audit/", "Audit log", False), (PRICES, "Prices", True)]


def test_a_role_sees_the_pages_that_its_rights_allow(house: House, password: NewPassword) -> None:
    bill = page("bill")
    bill = Page("Bill", "account", bill.blueprint, "show", reads="bill", changes="bill")
    bill.blueprint.add_url_rule("/pay", "pay", lambda name: "paid", methods=["POST"])
    answers = {"owner": 200, "admin": 200, "billing": 200, "viewer": 403}
    for role, status in answers.items():
        email = house.member("shop", f"{role}-of@shop.example", role, password)
        browser = visit(house, email, own=Broken(bill))
        assert browser.get("/accounts/shop/own/").status_code == status
        assert browser.post("/accounts/shop/own/pay", "/me/").status_code == status
        assert ("Bill" in browser.get("/accounts/shop/quota/").text) == (status == 200)


@pytest.mark.parametrize(
    "broken",
    [
        RuntimeError("no pages"),
        SystemExit(3),
        page(place="nowhere"),
        page("dashboard", "operator"),
        Page("Own", "account", Blueprint("mine", __name__), "show", reads="everything"),
        page("invoices"),
        page(endpoint="another"),
        page(rule="/<int:number>"),
        Page("Own", "account", object(), "show"),
    ],
)
def test_pages_that_cannot_be_shown_are_left_out(
    house: House, broken: Page | BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    owner = visit(house, OWNER, broken=Broken(broken), billing=Billing())
    assert "pages of the plugin broken are left out" in caplog.text
    assert [title for _, title, _ in menu(owner.get("/accounts/shop/").text)] == OF_SHOP
    assert owner.get(INVOICES).status_code == 200


class Hanging:
    """Does not come back from its start or from the question for its pages (``where``) before the test is over."""

    def __init__(self, where: str, go_on: threading.Event) -> None:
        self.where = where
        self.go_on = go_on

    @hookimpl
    def on_start(self, core: Core) -> None:
        if self.where == "on_start":
            self.go_on.wait(60)

    @hookimpl
    def pages(self) -> list[Page]:
        if self.where == "pages":
            self.go_on.wait(60)
        return [page()]


@pytest.fixture
def go_on() -> Iterator[threading.Event]:
    """Lets what hangs go on."""
    made = threading.Event()
    yield made
    made.set()


@pytest.mark.parametrize("where", ["on_start", "pages"])
def test_a_plugin_that_hangs_costs_the_panel_its_pages_alone(
    house: House, where: str, go_on: threading.Event, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "PATIENCE", 0.5)
    owner = visit(house, OWNER, hanging=Hanging(where, go_on), billing=Billing())
    assert "pages of the plugin hanging are left out" in caplog.text
    assert "no answer within 0.5 s" in caplog.text
    assert [title for _, title, _ in menu(owner.get("/accounts/shop/").text)] == OF_SHOP
    assert owner.get("/accounts/shop/hanging/").status_code == 404


def test_what_a_broken_plugin_has_registered_is_checked_all_the_same(house: House) -> None:
    other = visit(house, OTHER, broken=Broken(page(endpoint="another")))
    assert other.get("/accounts/shop/broken/").status_code == 404
    assert other.get("/accounts/forum/broken/").text == "shown"


def test_a_view_that_fails_is_logged_and_not_shown(house: House, caplog: pytest.LogCaptureFixture) -> None:
    failing = page()
    failing.blueprint.add_url_rule("/fail", "fail", lambda name: 1 // 0)
    owner = visit(house, OWNER, failing=Broken(failing))
    answer = owner.get("/accounts/shop/failing/fail")
    assert answer.status_code == 500
    assert "ZeroDivisionError" not in answer.text
    assert "ZeroDivisionError" in caplog.text
