"""The quota's pages: what is left and until when in words, booking once and only once, renewal, notices, the ledger."""

from __future__ import annotations

import html
import re
from datetime import date
from typing import Any

import pytest
from attrs import evolve
from flask import Flask

from postmeter import Tariff, hookimpl, prices
from postmeter.config import Block as BlockSettings
from postmeter.store import audit, ledger, quota
from postmeter.store.quota import book_block
from postmeter.store.secrets import NewPassword
from postmeter.store.tables import Account
from postmeter.store.terms import set_terms
from support.panel import NOW, OPERATOR, OTHER, OWNER, Browser, House
from support.postage import at_once

QUOTA, BOOK, CONFIRM = (f"/accounts/shop/quota/{path}" for path in ("", "book", "book/confirm"))
KEY = "an-order-of-the-shop"
DAY = 86_400.0
LIST = prices.PriceList.parse({"25000": "0.00095", "100000": "0.00090"})
TARIFF = Tariff(LIST, "EUR", 1900, date(2026, 12, 1), "dashboard.show", addressed=True)


class Prices:
    """Says what mails cost: ``answer``, or what it raises."""

    def __init__(self, answer: Tariff | Exception | None = TARIFF) -> None:
        self.answer = answer

    @hookimpl
    def tariff(self, account_id: int) -> Tariff | None:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def agreed(house: House, **terms: Any) -> None:
    with house.store.write() as session:
        set_terms(session, house.ids["shop"], house.now, **{"agreement": True, **terms})


def visit(house: House, email: str = OWNER, tariff: Tariff | Exception | None = TARIFF) -> Browser:
    browser = Browser(house.app(prices=Prices(tariff)))
    assert browser.log_in(email).status_code == 302
    return browser


def order(size: int = 50_000, **changes: str) -> dict[str, str]:
    return {"size": str(size), "renews": "y", "request": KEY, **changes}


def confirmed(size: int = 50_000) -> str:
    return f"{CONFIRM}?size={size}&renews=y&request={KEY}"


def blocks(house: House, account: str = "shop") -> list[tuple[int, bool]]:
    with house.store.read() as session:
        facts = quota.quota_of(session, house.ids[account], house.now)
    return [(block.size, block.renews) for block in facts.blocks if block.kind == "paid"]


def booked(house: House, size: int = 25_000, **options: Any) -> int:
    with house.store.write() as session:
        return book_block(session, house.ids["shop"], size, BlockSettings(), house.now, **options)


def changes(house: House) -> list[tuple[str, str, dict[str, Any]]]:
    with house.store.read() as session:
        return [(entry.action, entry.subject, dict(entry.facts)) for entry in audit.entries(session)]


def words(page: str) -> str:
    """What is read, in one line."""
    text = " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page)).split())
    return re.sub(r" ([,.)])", r"\1", text)


# What is left


def test_the_page_says_what_is_left_and_when_it_ends(house: House, owner: Browser) -> None:
    booked(house, renews=False)
    page = words(owner.get(QUOTA).text)
    assert "26,000 mails" in page
    assert "25,000 of 25,000 left ends in 30 days, 24 Dec 2026, 06:00 UTC" in page
    assert "Demo quota" in page


def test_the_forecast_is_told_in_words(house: House, owner: Browser) -> None:
    house.count("shop", arrived=700)
    house.now += 7 * DAY - 1
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


# Booking


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
    browser = visit(house)
    house.now += 30 * DAY
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


@pytest.mark.parametrize("query", ["kind=nothing", "before=none", f"before={10**30}", "before=-1", "kind=%00"])
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
