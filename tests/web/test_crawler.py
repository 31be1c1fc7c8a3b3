"""Nobody sees a byte of another's: every route and method as two tenants, as every role, and as nobody."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from postmeter.store.secrets import NewPassword
from postmeter_web import access
from support.furnished import Furniture
from support.lived_in import MARKS, LivedIn
from support.panel import OPERATOR, OTHER, OWNER, Browser, House
from support.routes import Door, doors, path

MARK, OWN_MARK = MARKS["forum"], MARKS["shop"]
HUGE = 1 << 64
STRANGE = ("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND")
OWN = {"name", "kind", "verb"}  # parameters that name nothing of anybody's
PLACES = (access.ACCOUNT, access.OPERATOR, access.PERSON)

VIEWERS_CHANGE = {"messages.export", "suppressions.export", "quota.export_ledger"}  # nothing: files of what is seen
BILLING_CHANGES = {
    "quota.export_ledger",
    "quota.book",
    "quota.set_renewal",
    "quota.set_threshold",
    "invoices.enter",
}
NAMELESS = {"notices", "settings", "quota"}  # what these show has no names in which a mark could be
OWNERS_CHANGE = {"settings.rename"}  # and nobody below


@pytest.fixture
def house(lived_in: LivedIn) -> House:
    """Shop and forum have as much each."""
    return lived_in.house


@pytest.fixture
def app(lived_in: LivedIn) -> Flask:
    """With the pages of all plugins."""
    return lived_in.app


@pytest.fixture
def things(lived_in: LivedIn) -> Furniture:
    """What the account forum has."""
    return lived_in.foreign


def send(browser: Browser, door: Door, address: str, page: str = "/me/") -> TestResponse:
    """Ask for a page, or send an empty form with the token of ``page``."""
    return browser.get(address) if door.method == "GET" else browser.post(address, page)


def said(answer: TestResponse) -> str:
    """Head and body."""
    return f"{answer.headers}{answer.data.decode('latin-1')}"


def shows_nothing(answer: TestResponse, address: str) -> bool:
    """Whether nothing foreign is in it: the address that was asked for, to go on to after the log-in, is not."""
    told = said(answer)
    return MARK not in told.replace(address, "").replace(quote(address), "")


def test_a_foreign_account_answers_like_one_that_does_not_exist(app: Flask, owner: Browser, things: Furniture) -> None:
    missing = owner.get("/accounts/nothing/").text
    checked = 0
    for door in doors(app, access.ACCOUNT):
        answer = send(owner, door, path(door, "forum", things))
        assert (answer.status_code, answer.text) == (404, missing), door
        checked += 1
    assert checked >= 80


def test_a_foreign_thing_in_an_own_account_does_not_exist(app: Flask, owner: Browser, things: Furniture) -> None:
    missing, named = owner.get("/accounts/nothing/").text, set()
    for door in doors(app, access.ACCOUNT):
        answer = send(owner, door, path(door, "shop", things))
        assert MARK not in said(answer), door
        if door.rule.arguments - OWN:
            assert (answer.status_code, answer.text) == (404, missing), door
            named |= door.rule.arguments
    assert named >= {"domain", "selector", "connection", "message_id", "block", "user", "ticket", "number"}


def test_a_number_that_no_row_can_have_leads_nowhere(
    app: Flask, owner: Browser, operator: Browser, things: Furniture
) -> None:
    numbered = [door for door in doors(app, *PLACES) if "<int:" in door.rule.rule]
    assert len(numbered) >= 30
    for door in numbered:
        browser = operator if door.rule.rule.startswith("/operator") else owner
        assert send(browser, door, path(door, "shop", things, HUGE)).status_code in (404, 405), door


@pytest.mark.parametrize("number", [HUGE, -HUGE])
def test_nor_does_one_that_a_list_is_to_begin_with(owner: Browser, operator: Browser, number: int) -> None:
    for address in ("/accounts/shop/team/log", "/accounts/shop/quota/ledger"):
        assert owner.get(f"{address}?before={number}").status_code == 200
    assert operator.get(f"/operator/audit/?before={number}").status_code == 200


def test_both_tenants_see_as_little_of_each_other(app: Flask, things: Furniture) -> None:
    other = Browser(app)
    other.log_in(OTHER)
    for door in doors(app, access.ACCOUNT):
        answer = send(other, door, path(door, "shop", things))
        assert answer.status_code == 404, door
        assert OWN_MARK not in answer.text, door


def test_a_customer_sees_nothing_of_the_operator(app: Flask, owner: Browser, things: Furniture) -> None:
    for door in doors(app, access.OPERATOR):
        answer = send(owner, door, path(door, "forum", things))
        assert answer.status_code == 404, door
        assert MARK not in answer.text, door


def test_own_pages_show_nothing_of_others(app: Flask, owner: Browser, things: Furniture) -> None:
    for door in doors(app, access.PERSON, access.OPEN):
        if door.rule.endpoint == "login.log_out":
            continue
        answer = send(owner, door, path(door, "forum", things))
        assert MARK not in said(answer), door


def test_the_login_of_another_cannot_be_ended(owner: Browser, things: Furniture) -> None:
    assert owner.post(f"/me/logins/{things.login}/end", "/me/").status_code == 404


def test_nobody_sees_anything(app: Flask, browser: Browser, things: Furniture) -> None:
    for door in doors(app, *PLACES):
        address = path(door, "forum", things)
        answer = send(browser, door, address, "/login")
        assert answer.status_code == (302 if door.method == "GET" else 403), door
        assert shows_nothing(answer, address), door


def test_an_operator_sees_an_account_only_once_it_is_noted(app: Flask, operator: Browser, things: Furniture) -> None:
    for door in doors(app, access.ACCOUNT):
        answer = send(operator, door, path(door, "forum", things))
        assert answer.status_code == (302 if door.method == "GET" else 404), door
        assert MARK not in said(answer), door
    operator.view("shop")
    for door in doors(app, access.ACCOUNT):
        answer = send(operator, door, path(door, "forum", things))
        assert answer.status_code == (302 if door.method == "GET" else 404), door
        assert MARK not in said(answer), door


def changed_by(role: str, app: Flask) -> set[str]:
    """The endpoints that somebody in this role may change something by, as the table above says."""
    every = {door.rule.endpoint for door in doors(app, access.ACCOUNT) if door.method == "POST"}
    return {
        "viewer": VIEWERS_CHANGE,
        "billing": BILLING_CHANGES,
        "admin": every - OWNERS_CHANGE,
        "owner": every,
    }[role]


@pytest.mark.parametrize("role", ["viewer", "billing", "admin", "owner"])
def test_a_role_changes_what_the_table_says(
    app: Flask, house: House, things: Furniture, password: NewPassword, role: str
) -> None:
    browser = Browser(app)
    browser.log_in(house.member("forum", f"{role}@roles.example", role, password))
    assert changed_by(role, app) <= changed_by("owner", app)
    for door in doors(app, access.ACCOUNT):
        answer = send(browser, door, path(door, "forum", things))
        if door.method == "POST":
            assert (answer.status_code != 403) == (door.rule.endpoint in changed_by(role, app)), door
        assert answer.status_code < 500, door


READ_BY_BILLING = {"quota", "invoices"}
READ_BY_MANAGERS = {"connect", "stores", "webhooks"}
PAGES_OF_MANAGERS = {"connections.renew", "domains.add", "team.member", "team.log"}
PAGES_OF_BILLING = {"quota.order", "quota.confirm"}


def read_by(role: str, door: Door) -> bool:
    """Whether somebody in this role may see that page."""
    if role == "billing":
        return door.place in READ_BY_BILLING
    if role == "viewer":
        managers = door.place in READ_BY_MANAGERS or door.rule.endpoint in PAGES_OF_MANAGERS
        return not managers and door.place != "invoices" and door.rule.endpoint not in PAGES_OF_BILLING
    return True


@pytest.mark.parametrize("role", ["viewer", "billing", "admin", "owner"])
def test_a_role_sees_what_the_table_says(
    app: Flask, house: House, things: Furniture, password: NewPassword, role: str
) -> None:
    browser = Browser(app)
    browser.log_in(house.member("forum", f"{role}@roles.example", role, password))
    for door in doors(app, access.ACCOUNT):
        if door.method == "GET":
            answer = browser.get(path(door, "forum", things))
            assert (answer.status_code != 403) == read_by(role, door), door
            assert answer.status_code < 500, door


def test_head_says_no_more_than_get(app: Flask, owner: Browser, browser: Browser, things: Furniture) -> None:
    for door in doors(app, *PLACES):
        if door.method != "GET":
            continue
        address = path(door, "forum", things)
        answer = owner.client.head(address, headers=owner.headers)
        assert answer.data == b"", door
        assert MARK not in str(answer.headers), door
        assert (answer.status_code == 404) == (owner.get(address).status_code == 404), door


@pytest.mark.parametrize("who", [OWNER, OPERATOR, ""])
def test_methods_that_no_page_has_show_nothing(app: Flask, things: Furniture, who: str) -> None:
    browser = Browser(app)
    if who:
        browser.log_in(who)
    for door in doors(app, *PLACES, access.OPEN):
        for method in STRANGE:
            address = path(door, "forum", things)
            answer = browser.client.open(address, method=method, headers=browser.headers)
            assert answer.status_code in (302, 400, 403, 404, 405) or method == "OPTIONS", (door, method)
            assert shows_nothing(answer, address), (door, method)


def test_nothing_is_changed_without_the_token(app: Flask, owner: Browser, operator: Browser, things: Furniture) -> None:
    for browser, door in changes(app, owner, operator):
        answer = browser.client.open(path(door, "shop", things), method=door.method, headers=browser.headers)
        assert answer.status_code == 400, door


def changes(app: Flask, owner: Browser, operator: Browser) -> Iterator[tuple[Browser, Door]]:
    """All doors by which something is changed, with who may go through."""
    for browser, places in ((owner, (access.ACCOUNT, access.PERSON, access.OPEN)), (operator, (access.OPERATOR,))):
        yield from ((browser, door) for door in doors(app, *places) if door.method != "GET")


def test_the_owner_of_the_things_sees_them(app: Flask, things: Furniture) -> None:
    browser = Browser(app)
    browser.log_in(OTHER)
    gets = [door for door in doors(app, access.ACCOUNT) if door.method == "GET"]
    seen = {door.place for door in gets if MARK in said(browser.get(path(door, "forum", things)))}
    assert seen == {door.place for door in gets} - NAMELESS, "else the tests above prove nothing"
