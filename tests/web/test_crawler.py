"""Nobody sees a byte of another's: every route and method as two tenants, as every role, and as nobody."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from flask import Flask
from werkzeug.routing import IntegerConverter
from werkzeug.test import TestResponse

from postmeter.store.secrets import NewPassword
from postmeter_web import access
from support.furnished import Furniture, furnish
from support.panel import NOW, OPERATOR, Browser, House
from support.routes import VALUES, Door, doors, path

MARK = "zzforeign"
HUGE = 1 << 64


@pytest.fixture
def things(house: House, password: NewPassword) -> Furniture:
    """What the account forum has; shop has as much of its own."""
    furnish(house, "shop", "ours", password)
    return furnish(house, "forum", MARK, password)


def send(browser: Browser, door: Door, address: str, page: str = "/me/") -> TestResponse:
    """Ask for a page, or send an empty form with the token of ``page``."""
    return browser.get(address) if door.method == "GET" else browser.post(address, page)


def test_a_foreign_account_answers_like_one_that_does_not_exist(app: Flask, owner: Browser, things: Furniture) -> None:
    missing = owner.get("/accounts/nothing/").text
    checked = 0
    for door in doors(app, access.ACCOUNT):
        answer = send(owner, door, path(door, "forum", things))
        assert (answer.status_code, answer.text) == (404, missing), door
        checked += 1
    assert checked >= 40


def test_a_foreign_thing_in_an_own_account_does_not_exist(app: Flask, owner: Browser, things: Furniture) -> None:
    for door in doors(app, access.ACCOUNT):
        answer = send(owner, door, path(door, "shop", things))
        assert MARK not in answer.text, door
        if door.rule.arguments - {"name"}:
            assert answer.status_code == 404, door


def test_a_number_that_no_row_can_have_leads_nowhere(
    app: Flask, owner: Browser, operator: Browser, things: Furniture
) -> None:
    doors_with_numbers = [
        door
        for door in doors(app, access.ACCOUNT, access.OPERATOR, access.PERSON)
        if any(isinstance(part, IntegerConverter) for part in door.rule._converters.values())
    ]
    assert len(doors_with_numbers) >= 20
    for door in doors_with_numbers:
        browser = operator if door.rule.rule.startswith("/operator") else owner
        address = path(door, "shop", replace(things, connection=HUGE, block=HUGE, member_id=HUGE, invitation=HUGE))
        for name in ("number", "login"):
            address = re.sub(rf"/{VALUES(things)[name]}(?=/|$)", f"/{HUGE}", address)
        assert send(browser, door, address).status_code in (404, 405), door


@pytest.mark.parametrize("number", [HUGE, -HUGE])
def test_nor_does_one_that_a_list_is_to_begin_with(owner: Browser, operator: Browser, number: int) -> None:
    for address in ("/accounts/shop/team/log", "/accounts/shop/quota/ledger"):
        assert owner.get(f"{address}?before={number}").status_code == 200
    assert operator.get(f"/operator/audit/?before={number}").status_code == 200


def test_a_customer_sees_nothing_of_the_operator(app: Flask, owner: Browser, things: Furniture) -> None:
    for door in doors(app, access.OPERATOR):
        assert send(owner, door, path(door, "forum", things)).status_code == 404, door


def test_own_pages_show_nothing_of_others(app: Flask, owner: Browser, things: Furniture) -> None:
    for door in doors(app, access.PERSON, access.OPEN):
        if door.rule.endpoint != "login.log_out" and not door.rule.arguments:
            assert MARK not in send(owner, door, door.rule.rule).text, door


def test_nobody_sees_anything(app: Flask, browser: Browser, things: Furniture) -> None:
    for door in doors(app, access.ACCOUNT, access.OPERATOR, access.PERSON):
        answer = send(browser, door, path(door, "forum", things), "/login")
        assert answer.status_code == (302 if door.method == "GET" else 403), door
        assert MARK not in answer.text


def test_an_operator_sees_an_account_only_once_it_is_noted(app: Flask, operator: Browser, things: Furniture) -> None:
    for door in doors(app, access.ACCOUNT):
        answer = send(operator, door, path(door, "forum", things))
        assert answer.status_code == (302 if door.method == "GET" else 404), door
        assert MARK not in answer.text


@pytest.mark.parametrize("role", ["viewer", "billing", "admin"])
def test_a_role_does_what_it_may(app: Flask, house: House, things: Furniture, password: NewPassword, role: str) -> None:
    browser = Browser(app)
    browser.log_in(house.member("forum", f"{role}@forum.example", role, password))
    for door in doors(app, access.ACCOUNT):
        place = access.place_of(app, door.place)
        assert place is not None
        usual = place.reads if door.method == "GET" else place.changes
        right = getattr(app.view_functions[door.rule.endpoint], "right", usual)
        answer = send(browser, door, path(door, "forum", things))
        assert (answer.status_code == 403) == (right not in access.RIGHTS[role]), (door, answer.status_code)
        if role == "viewer" and door.method != "GET":
            assert answer.status_code == 403 or door.rule.endpoint in VIEWERS_CHANGE, door
        if role == "billing" and door.method != "GET":
            assert answer.status_code == 403 or door.place in BILLING_CHANGES, door


VIEWERS_CHANGE: set[str] = set()  # what who only looks on may change
BILLING_CHANGES = {"quota", "invoices"}


def test_nothing_is_changed_without_the_token(app: Flask, owner: Browser, things: Furniture) -> None:
    for door in doors(app, access.ACCOUNT, access.PERSON, access.OPEN):
        if door.method != "GET":
            answer = owner.client.open(path(door, "shop", things), method=door.method, headers=owner.headers)
            assert answer.status_code == 400, door


def test_every_page_keeps_the_strict_policy(app: Flask, owner: Browser, house: House, things: Furniture) -> None:
    operator = Browser(app, "192.0.2.9")
    operator.log_in(OPERATOR)
    for door in doors(app, access.ACCOUNT, access.PERSON, access.OPERATOR, access.OPEN):
        if door.method != "GET" or door.is_part:
            continue
        browser = operator if door.rule.rule.startswith("/operator") else owner
        _check_page(browser.get(path(door, "shop", things)), door)
    assert house.now == NOW


def _check_page(answer: TestResponse, door: Door) -> None:
    headers = answer.headers
    assert headers["X-Content-Type-Options"] == "nosniff", door
    assert headers["Cache-Control"] == "no-store", door
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"], door
    if answer.status_code != 200 or not (answer.content_type or "").startswith("text/html"):
        return
    page = answer.text
    assert "<script>alert" not in page, door
    assert not re.search(r"<script(?![^>]*\bsrc=)|<[^>]+\s(?:style|on\w+)=|javascript:", page), door
    assert len(re.findall(r"<h1[\s>]", page)) == 1, door
    assert re.search(r"<title>[^<]*\S[^<]* · Postmeter</title>", page), door


def test_the_owner_of_the_things_sees_them(app: Flask, things: Furniture) -> None:
    browser = Browser(app)
    browser.log_in("owner@forum.example")
    seen = [door for door in doors(app, access.ACCOUNT) if MARK in send_get(browser, door, things)]
    assert len(seen) >= 8, "else the tests above prove nothing"


def send_get(browser: Browser, door: Door, things: Furniture) -> str:
    """What a page says to who may see it; nothing for what is no page."""
    return browser.get(path(door, "forum", things)).text if door.method == "GET" else ""
