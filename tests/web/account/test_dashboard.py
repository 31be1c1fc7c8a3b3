"""What the first pages show, and to whom."""

from __future__ import annotations

import html
import re

import pytest
from flask import Flask

from postmeter.store import accounts
from postmeter.store.quota_tables import Block
from postmeter.store.secrets import NewPassword
from postmeter.store.tables import Account, Connection
from support.panel import NOW, OTHER, OWNER, Browser, House

HOSTILE = "<script>alert(1)</script>"


def figures(page: str) -> dict[str, tuple[str, str]]:
    """The tiles of a page: name → value and the line below it."""
    found = re.findall(r'<dt>(.*?)</dt>\s*<dd class="value">(.*?)</dd>\s*<dd class="below">(.*?)</dd>', page)
    return {name: (value, below) for name, value, below in found}


def test_an_owner_of_one_account_goes_straight_there(owner: Browser) -> None:
    assert owner.get("/").headers["Location"] == "/accounts/shop/"


def test_the_operator_sees_all_accounts_and_their_sum(operator: Browser, house: House) -> None:
    house.count("shop", arrived=1000, delivered=990)
    house.count("forum", arrived=500, bounced=5)
    page = operator.get("/").text
    assert '<a href="/accounts/forum/">forum</a>' in page
    assert '<a href="/accounts/shop/">shop</a>' in page
    assert figures(page)["Arrived"] == ("1,500", "1,500 in all")
    assert figures(operator.get("/live").text) == figures(page)
    assert operator.view("forum").get("/accounts/forum/").status_code == 200


def test_a_member_of_two_accounts_can_choose(house: House, owner: Browser) -> None:
    with house.store.write() as session:
        accounts.set_role(session, house.ids["forum"], OWNER, "viewer")
    page = owner.get("/").text
    assert "/accounts/forum/" in page
    assert "Arrived" not in page
    assert "All accounts" in owner.get("/accounts/forum/").text


def test_who_belongs_to_no_account_is_told(app: Flask, house: House, password: NewPassword) -> None:
    with house.store.write() as session:
        accounts.add_user(session, "new@shop.example", False, password, NOW)
    browser = Browser(app)
    browser.log_in("new@shop.example")
    assert "You belong to no account yet." in browser.get("/").text


def test_every_route_with_a_foreign_account_answers_like_one_that_does_not_exist(
    app: Flask, owner: Browser, house: House
) -> None:
    house.connection("forum", "Secret connection")
    routes = [rule.rule for rule in app.url_map.iter_rules() if "<account:name>" in rule.rule and "GET" in rule.methods]
    assert len(routes) >= 2
    for route in routes:
        foreign = owner.get(route.replace("<account:name>", "forum"))
        missing = owner.get(route.replace("<account:name>", "nothing"))
        assert foreign.status_code == missing.status_code == 404
        assert foreign.text == missing.text
        assert "Secret" not in foreign.text


def test_a_member_does_not_see_the_sum_of_all(owner: Browser) -> None:
    assert owner.get("/live").status_code == 404


def test_figures_tell_the_last_day_and_all_time_apart(owner: Browser, house: House) -> None:
    house.now = NOW - 2 * 86_400
    house.count("shop", arrived=10, delivered=4, bounced=1, suppressed=1, deferred=2)
    house.now = NOW
    house.count("shop", arrived=3, delivered=5, deferred=-1, complained=1)
    shown = figures(owner.get("/accounts/shop/").text)
    assert shown == {
        "Arrived": ("3", "13 in all"),
        "Delivered": ("5", "9 in all"),
        "Bounced": ("0", "1 in all"),
        "Queued": ("2", "now"),
        "Deferred": ("1", "of those queued, tried before"),
        "Suppressed": ("0", "1 in all"),
        "Cancelled": ("0", "0 in all"),
        "Complained": ("1", "1 in all"),
    }


def test_the_fragment_is_the_live_part_of_the_page(owner: Browser, house: House) -> None:
    house.connection("shop", "Web shop")
    house.count("shop", arrived=3)
    fragment = owner.get("/accounts/shop/live").text
    assert fragment.strip() in owner.get("/accounts/shop/").text
    assert "<html" not in fragment
    house.count("shop", arrived=1)
    assert figures(owner.get("/accounts/shop/live").text)["Arrived"][0] == "4"


def test_a_connection_shows_its_state_and_when_it_was_used(owner: Browser, house: House) -> None:
    house.connection("shop", "New", verified=False)
    assert "The DKIM record of shop.example has not been verified yet." in owner.get("/accounts/shop/").text
    connection = house.connection("shop", "Web shop")
    with house.store.write() as session:
        session.get_one(Connection, connection).last_used_at = NOW - 180
    page = owner.get("/accounts/shop/").text
    assert page.count('<span class="badge good">active</span>') == 2
    assert "3 minutes ago</time>" in page
    assert "never used" in page
    assert "mail.example.net, port 2587 (STARTTLS) or port 2465 (TLS)" in page


def test_hostile_text_stays_text(operator: Browser, house: House, password: NewPassword) -> None:
    house.account(HOSTILE, OTHER, password)
    house.connection("shop", HOSTILE)
    with house.store.write() as session:
        session.get_one(Account, house.ids["shop"]).blocked = HOSTILE
    operator.view("shop")
    for path in ("/", "/accounts/shop/", "/accounts/shop/live"):
        page = operator.get(path).text
        assert HOSTILE not in page
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


@pytest.mark.parametrize("name", ["a/b", "..", ".", "100%", "%2F", "Müller & Söhne", "a?b#c", HOSTILE, "live"])
def test_an_account_of_any_name_has_its_page(owner: Browser, house: House, password: NewPassword, name: str) -> None:
    house.account(name, OWNER, password)
    hrefs = re.findall(r'<li><a href="(/accounts/[^"]+)">', owner.get("/").text)
    titles = [re.findall("<title>(.*) ·", owner.get(html.unescape(href)).text)[0] for href in hrefs]
    assert sorted(html.unescape(title) for title in titles) == sorted(["shop", name])


def test_an_account_without_connections_is_told_the_next_step(operator: Browser, owner: Browser) -> None:
    for browser, words in ((operator.view("shop"), "Add one"), (owner, "The operator adds one with:")):
        page = browser.get("/accounts/shop/").text
        assert words in page
        assert "postmeter connection add shop &#34;Web shop&#34; --domain shop.example" in page


def test_the_quota_shows_what_is_left_and_until_when(owner: Browser) -> None:
    page = owner.get("/accounts/shop/").text
    assert "<strong>1,000</strong> mails left" in page
    assert "Demo block" in page
    assert "in 30 days</time>" in page


def test_an_empty_quota_is_told_the_next_step(owner: Browser, house: House) -> None:
    with house.store.write() as session:
        session.query(Block).update({"left": 0})
    assert "postmeter quota book shop 25000" in owner.get("/accounts/shop/").text


def test_an_expired_session_of_the_live_part_leads_to_the_form(browser: Browser) -> None:
    assert browser.get("/accounts/shop/live").status_code == 302
