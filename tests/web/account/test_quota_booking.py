"""Blocks are booked once and only once, after all is said; their renewal is cancelled and resumed."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask

from postmeter import Tariff
from postmeter.store.tables import Account
from postmeter.store.terms import set_terms
from support.panel import OPERATOR, OTHER, OWNER, Browser, House
from support.postage import at_once
from support.shopping import (
    BOOK,
    CONFIRM,
    DAY,
    KEY,
    LIST,
    QUOTA,
    TARIFF,
    Prices,
    agreed,
    blocks,
    booked,
    changes,
    confirmed,
    order,
    visit,
    words,
)


def test_the_page_before_the_booking_has_all_facts_and_books_nothing(house: House) -> None:
    agreed(house)
    page = words(visit(house).get(confirmed()).text)
    assert "A block of 50,000 mails" in page
    assert "€47.50 (€0.00095 for each mail)" in page
    assert "€9.03 (19.0%), so €56.53 in all" in page
    assert "of 1 Dec 2026, by the price list of that day" in page
    assert "from the booking on, until 24 Dec 2026, 06:00 UTC" in page
    assert "and so on until you cancel the renewal" in page
    assert blocks(house) == []


def test_a_larger_block_has_its_own_price(house: House) -> None:
    agreed(house)
    assert "€90.00 (€0.00090 for each mail)" in words(visit(house).get(confirmed(100_000)).text)


def test_a_block_is_booked_and_in_the_audit_log(house: House) -> None:
    agreed(house)
    browser = visit(house)
    answer = browser.post(BOOK, confirmed(), **order())
    assert answer.headers["Location"] == QUOTA
    assert blocks(house) == [(50_000, True)]
    assert "Block 3 is booked" in words(browser.get(QUOTA).text)
    assert changes(house) == [("quota.book", "3", {"size": 50_000, "renews": True})]


def test_a_block_that_is_not_to_be_renewed_is_not(house: House) -> None:
    agreed(house)
    fields = {name: value for name, value in order().items() if name != "renews"}
    visit(house).post(BOOK, confirmed(), **fields)
    assert blocks(house) == [(50_000, False)]


def test_reload_and_back_button_never_book_twice(house: House) -> None:
    agreed(house)
    browser = visit(house)
    page = f"{QUOTA}"
    assert browser.post(BOOK, confirmed(), **order()).status_code == 302
    assert browser.post(BOOK, page, **order()).headers["Location"] == QUOTA
    assert "it was not booked a second time" in words(browser.get(QUOTA).text)
    assert browser.get(confirmed()).headers["Location"] == QUOTA
    assert browser.get(confirmed(75_000)).headers["Location"] == QUOTA
    assert blocks(house) == [(50_000, True)]
    assert len(changes(house)) == 1


def test_a_double_click_books_once(house: House) -> None:
    agreed(house)
    app = house.app(prices=Prices())
    browsers = [Browser(app, f"192.0.2.{n}") for n in range(4)]
    for browser in browsers:
        browser.log_in(OWNER)
    answers: list[int] = []
    at_once(lambda n: answers.append(browsers[n].post(BOOK, QUOTA, **order()).status_code), 4)
    assert answers == [302] * 4
    assert blocks(house) == [(50_000, True)]
    assert [action for action, _, _ in changes(house)] == ["quota.book"]


def test_the_same_key_of_another_account_is_another_booking(house: House, app: Flask) -> None:
    agreed(house)
    with house.store.write() as session:
        set_terms(session, house.ids["forum"], house.now, agreement=True)
    for name, email in (("shop", OWNER), ("forum", OTHER)):
        browser = Browser(app)
        browser.log_in(email)
        browser.post(f"/accounts/{name}/quota/book", f"/accounts/{name}/quota/", **order())
        assert blocks(house, name) == [(50_000, True)]


@pytest.mark.parametrize("size", ["", "0", "-25000", "24999", "30000", "many", "9" * 40])
def test_a_size_that_is_not_sold_is_explained_and_books_nothing(house: House, size: str) -> None:
    agreed(house)
    browser = visit(house)
    for answer in (
        browser.get(f"{CONFIRM}?size={size}&request={KEY}"),
        browser.post(BOOK, QUOTA, **order() | {"size": size}),
    ):
        assert answer.status_code == 400
        assert "A block has at least 25,000 mails and a multiple of 25,000." in words(answer.text)
    assert blocks(house) == []


@pytest.mark.parametrize("key", ["", "short", "x" * 65, "with blanks and more", "null%00null%00null%00"])
def test_an_order_without_the_forms_key_does_not_exist(house: House, key: str) -> None:
    agreed(house)
    browser = visit(house)
    assert browser.get(f"{CONFIRM}?size=25000&request={key}").status_code == 404
    assert browser.post(BOOK, QUOTA, **order(request=key)).status_code == 404
    assert blocks(house) == []


@pytest.mark.parametrize(
    ("tariff", "agreement", "blocked", "said"),
    [
        (TARIFF, False, "", "This account has no billing agreement yet, so blocks are booked by the operator."),
        (TARIFF, True, "unpaid", "This account is blocked (unpaid). Please ask the operator."),
        (Tariff(LIST, "EUR", 0, TARIFF.billed, "dashboard.show", False), True, "", "it must be known whom invoices"),
    ],
)
def test_who_cannot_book_is_told_why_and_the_operator_can(
    house: House, tariff: Tariff, agreement: bool, blocked: str, said: str
) -> None:
    agreed(house, agreement=agreement)
    with house.store.write() as session:
        session.get_one(Account, house.ids["shop"]).blocked = blocked
    browser = visit(house, tariff=tariff)
    assert said in words(browser.get(QUOTA).text)
    assert said in words(browser.get(BOOK).text)
    assert browser.get(confirmed()).status_code == 400
    assert said in words(browser.post(BOOK, QUOTA, **order()).text)
    assert blocks(house) == []
    operator = visit(house, OPERATOR, tariff).view("shop")
    assert operator.post(BOOK, confirmed(), **order()).status_code == 302
    assert blocks(house) == [(50_000, True)]


@pytest.mark.parametrize("tariff", [None, RuntimeError("no prices"), "cheap"])
def test_without_prices_the_pages_are_there_all_the_same(
    house: House, tariff: Any, caplog: pytest.LogCaptureFixture
) -> None:
    agreed(house)
    browser = visit(house, tariff=tariff)
    assert "€" not in browser.get(QUOTA).text
    assert "The price is what you have agreed on with the operator." in words(browser.get(confirmed()).text)
    assert browser.post(BOOK, confirmed(), **order()).status_code == 302
    assert ("the plugin prices tells no prices" in caplog.text) == isinstance(tariff, Exception)


# Renewal


def test_a_renewal_is_cancelled_and_resumed(house: House) -> None:
    agreed(house)
    block = booked(house)
    browser = visit(house)
    page = words(browser.get(QUOTA).text)
    assert "The block then ends on 24 Dec 2026, 06:00 UTC. What is left of it at that moment is lost" in page
    browser.post(f"{QUOTA}blocks/{block}/renewal", QUOTA)
    assert blocks(house) == [(25_000, False)]
    page = words(browser.get(QUOTA).text)
    assert "By today's prices it costs €23.75 without VAT each time." in page
    browser.post(f"{QUOTA}blocks/{block}/renewal", QUOTA, renews="1")
    assert blocks(house) == [(25_000, True)]
    assert changes(house) == [
        ("quota.renewal", str(block), {"renews": True}),
        ("quota.renewal", str(block), {"renews": False}),
    ]


def test_without_an_agreement_a_renewal_can_be_cancelled_but_not_resumed(house: House, owner: Browser) -> None:
    block = booked(house)
    owner.post(f"{QUOTA}blocks/{block}/renewal", QUOTA)
    owner.post(f"{QUOTA}blocks/{block}/renewal", QUOTA, renews="1")
    assert blocks(house) == [(25_000, False)]
    assert "no billing agreement" in words(owner.get(QUOTA).text)


def test_a_block_that_has_ended_meanwhile_is_not_renewed(house: House) -> None:
    agreed(house)
    block = booked(house, renews=False)
    house.now += 30 * DAY
    browser = visit(house)
    browser.post(f"{QUOTA}blocks/{block}/renewal", QUOTA, renews="1")
    assert f"the account has no paid block {block} that could be renewed" in words(browser.get(QUOTA).text)


@pytest.mark.parametrize("block", [1, 99, 10**30])
def test_a_foreign_block_does_not_exist(house: House, block: int) -> None:
    agreed(house)
    own, foreign = booked(house), visit(house, OTHER)
    number = own if block == 1 else block
    assert foreign.post(f"/accounts/forum/quota/blocks/{number}/renewal", "/accounts/forum/quota/").status_code == 404
    assert foreign.post(f"{QUOTA}blocks/{number}/renewal", "/accounts/forum/quota/").status_code == 404
    assert blocks(house) == [(25_000, True)]
