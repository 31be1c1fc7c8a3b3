"""The quota's page: what is left and until when in words, notices, months, the ledger, and who may change it."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest
from attrs import evolve
from flask import Flask

from postmeter.store import ledger
from postmeter.store.secrets import NewPassword
from postmeter.store.tables import Account
from support.panel import NOW, OWNER, Browser, House
from support.shopping import BOOK, DAY, QUOTA, agreed, blocks, booked, changes, confirmed, order, visit, words


def test_the_page_says_what_is_left_and_when_it_ends(house: House, owner: Browser) -> None:
    booked(house, renews=False)
    page = words(owner.get(QUOTA).text)
    assert "26,000 mails" in page
    assert "25,000 of 25,000 left ends in 30 days, 24 Dec 2026, 06:00 UTC" in page
    assert "Demo quota" in page


def test_the_forecast_is_told_in_words(house: House, owner: Browser) -> None:
    house.count("shop", arrived=700)
    house.now += 7 * DAY - 1
    owner.log_in(OWNER)
    assert "nothing will be left in 9 days" in words(owner.get(QUOTA).text)


@pytest.mark.parametrize(
    ("terms", "said"),
    [
        (
            {"agreement": False},
            "When nothing is left, no further mail is taken: your systems are told to try again later",
        ),
        ({"overdraft_policy": "never"}, "no further mail is taken"),
        ({}, "When nothing is left, mail goes on. Each of these mails costs €0.00095 and is on the next invoice"),
        ({"agreement": False, "overdraft_policy": "always"}, "When nothing is left, mail goes on. Each"),
        ({"overdraft_cap": 5000}, "mail goes on until 5,000 mails are on no invoice yet; after that"),
    ],
)
def test_what_happens_at_zero_is_said_for_this_account(house: House, terms: dict[str, Any], said: str) -> None:
    agreed(house, **terms)
    assert said in words(visit(house).get(QUOTA).text)


def test_an_overdraft_is_shown_with_what_it_costs_so_far(house: House) -> None:
    agreed(house)
    with house.store.write() as session:
        session.get_one(Account, house.ids["shop"]).overdraft = 25_000
    page = words(visit(house).get(QUOTA).text)
    assert (
        "25,000 mails were sent beyond all blocks and are on no invoice yet. So far that costs €23.75 without VAT"
        in page
    )
    german = visit(house).get(QUOTA, **{"Accept-Language": "de"}).text
    assert "Bisher kostet das 23,75 € ohne Umsatzsteuer" in words(german)


@pytest.mark.parametrize(("excess", "said"), [("queue", "waits for its turn"), ("refuse", "(450 4.7.1)")])
def test_the_hourly_limit_is_explained_until_the_first_paid_block(house: House, excess: str, said: str) -> None:
    house.settings = evolve(house.settings, demo=evolve(house.settings.demo, on_excess=excess))
    limit = "sends to 25 recipients an hour"
    page = words(visit(house).get(QUOTA).text)
    assert limit in page
    assert said in page
    booked(house)
    assert limit not in words(visit(house).get(QUOTA).text)


def test_usage_is_told_by_the_month(house: House, owner: Browser) -> None:
    house.now = NOW - 30 * DAY
    house.count("shop", arrived=1200, delivered=1100, bounced=7)
    house.now = NOW
    booked(house)
    page = words(owner.get(QUOTA).text)
    assert "November 2026 0 0 0 25,000 October 2026 1,200 1,100 7 0" in page


# Notices


def test_the_threshold_is_changed_and_who_is_told_is_named(house: House, owner: Browser, password: NewPassword) -> None:
    house.member("shop", "admin@shop.example", "admin", password)
    house.member("shop", "viewer@shop.example", "viewer", password)
    page = owner.get(QUOTA).text
    assert "admin@shop.example, owner@shop.example" in page
    assert "viewer@shop.example" not in page
    assert owner.post(f"{QUOTA}threshold", QUOTA, threshold="5000").status_code == 302
    assert 'value="5000"' in owner.get(QUOTA).text
    assert changes(house) == [("quota.threshold", "", {"threshold": 5000})]


@pytest.mark.parametrize("threshold", ["", "-1", "a lot", "9" * 30])
def test_a_threshold_that_is_none_is_refused(house: House, owner: Browser, threshold: str) -> None:
    answer = owner.post(f"{QUOTA}threshold", QUOTA, threshold=threshold)
    assert answer.status_code == 400
    assert "is-invalid" in answer.text
    assert changes(house) == []


# The ledger


def test_the_ledger_tells_every_move_in_words_page_by_page(house: House, owner: Browser) -> None:
    block, account = booked(house), house.ids["shop"]
    with house.store.write() as session:
        for n in range(1, 31):
            ledger.move(session, "reserve", {(account, block): n}, NOW)
            ledger.move(session, "charge", {(account, block): n}, NOW)
        ledger.move(session, "reserve", {(account, None): 1234}, NOW)
        ledger.move(session, "release", {(account, None): 34}, NOW)
    first = owner.get(f"{QUOTA}ledger").text
    assert "Mail was accepted beyond all blocks. −1,234" in words(first)
    assert "Mail beyond all blocks was never sent; it costs nothing. +34" in words(first)
    assert f"Mail was accepted; block {block} pays for it. −30" in words(first)
    assert f"Mail was handed to mail servers, paid by block {block}. 30" in words(first)
    (older,) = re.findall(r'href="([^"]*)" rel="next"', first)
    second = owner.get(html.unescape(older)).text
    assert f"Block {block} was booked. +25,000" in words(second)
    assert first.count('<td class="when">') + second.count('<td class="when">') == 64
    only = words(owner.get(f"{QUOTA}ledger?kind=book").text)
    assert f"Block {block} was booked. +25,000" in only
    assert "beyond all blocks." not in only


@pytest.mark.parametrize("query", ["kind=nothing", "before=none", f"before={10**30}", "before=-1"])
def test_a_strange_question_to_the_ledger_has_a_page(owner: Browser, query: str) -> None:
    assert owner.get(f"{QUOTA}ledger?{query}").status_code == 200


def test_every_kind_of_entry_has_words(house: House, app: Flask) -> None:
    from postmeter_web.account.quota_words import KINDS, entry_words

    assert set(KINDS) == set(ledger.KINDS)
    with app.test_request_context():
        for kind in ledger.KINDS:
            blocks: tuple[int | None, ...] = {"charge": (1, None), "overdraft": (None,), "invoice": (None,)}.get(
                kind, (1,)
            )
            for block in blocks:
                assert entry_words(ledger.Entry(1, NOW, kind, block, -1)).endswith(".")


# Who may


@pytest.mark.parametrize(("role", "sees", "books"), [("admin", 200, 200), ("billing", 200, 200), ("viewer", 200, 403)])
def test_everybody_sees_the_quota_and_who_may_bill_changes_it(
    house: House, password: NewPassword, role: str, sees: int, books: int
) -> None:
    agreed(house)
    block = booked(house)
    browser = visit(house, house.member("shop", f"{role}@shop.example", role, password))
    page = browser.get(QUOTA)
    assert page.status_code == browser.get(f"{QUOTA}ledger").status_code == sees
    assert browser.get(BOOK).status_code == browser.get(confirmed()).status_code == books
    assert ("Cancel the renewal" in page.text) == ("Book a block" in page.text) == (books == 200)
    if books == 403:
        for path in ("book", "threshold", f"blocks/{block}/renewal"):
            assert browser.post(f"{QUOTA}{path}", "/me/", **order(), threshold="1").status_code == 403
        assert blocks(house) == [(25_000, True)]
