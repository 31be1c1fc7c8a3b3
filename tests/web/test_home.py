"""Where people begin, and what the operator sees first."""

from __future__ import annotations

import html
import re

import pytest
from flask import Flask

from postmeter.store import accounts, overview
from postmeter.store.plugin_tables import Cursor, PluginTrouble
from postmeter.store.secrets import NewPassword
from postmeter.store.tables import Account
from postmeter.store.worker_tables import Worker
from postmeter_web import home
from support.panel import NOW, OWNER, Browser, House
from web.account.test_dashboard import HOSTILE, figures, section


def test_an_owner_of_one_account_goes_straight_there(owner: Browser) -> None:
    assert owner.get("/").headers["Location"] == "/accounts/shop/"


def test_who_only_does_the_billing_begins_at_the_quota(app: Flask, house: House, password: NewPassword) -> None:
    browser = Browser(app)
    browser.log_in(house.member("shop", "bill@shop.example", "billing", password))
    assert browser.get("/").headers["Location"] == "/accounts/shop/quota/"
    assert browser.get("/accounts/shop/quota/").status_code == 200


def test_a_member_of_two_accounts_can_choose(house: House, owner: Browser) -> None:
    with house.store.write() as session:
        accounts.set_role(session, house.ids["forum"], OWNER, "billing")
    page = owner.get("/").text
    assert 'href="/accounts/forum/quota/"' in page
    assert 'href="/accounts/shop/"' in page
    assert "Arrived" not in page
    assert "All accounts" in owner.get("/accounts/shop/").text


def test_who_belongs_to_no_account_is_told(app: Flask, house: House, password: NewPassword) -> None:
    with house.store.write() as session:
        accounts.add_user(session, "new@shop.example", False, password, NOW)
    browser = Browser(app)
    browser.log_in("new@shop.example")
    assert "You belong to no account yet." in browser.get("/").text


@pytest.mark.parametrize("name", ["a/b", "..", ".", "100%", "%2F", "Müller & Söhne", "a?b#c", HOSTILE, "live"])
def test_an_account_of_any_name_has_its_page(owner: Browser, house: House, password: NewPassword, name: str) -> None:
    house.account(name, OWNER, password)
    hrefs = re.findall(r'<li><a href="(/accounts/[^"]+)">', owner.get("/").text)
    titles = [re.findall("<title>(.*) ·", owner.get(html.unescape(href)).text)[0] for href in hrefs]
    assert sorted(html.unescape(title) for title in titles) == sorted(["shop", name])


@pytest.mark.parametrize("path", ["/live", "/chart.svg"])
def test_a_member_does_not_see_the_sum_of_all(owner: Browser, path: str) -> None:
    assert owner.get(path).status_code == 404


def test_the_operator_sees_all_accounts_and_their_sum(operator: Browser, house: House) -> None:
    house.count("shop", arrived=1000, delivered=990)
    house.count("forum", arrived=500, bounced=5)
    page = operator.get("/").text
    assert '<a href="/operator/accounts/forum/">forum</a>' in page
    assert '<a href="/operator/accounts/shop/">shop</a>' in page
    assert figures(page)["Arrived"] == ("1,500", "1,500 in all")
    assert figures(operator.get("/live").text) == figures(page)
    assert operator.get("/chart.svg?days=30").mimetype == "image/svg+xml"
    house.count("forum", arrived=1)
    assert figures(operator.get("/live?days=7").text)["Arrived"] == ("1,501", "1,501 in all")


def test_the_accounts_with_the_most_mail_and_the_most_bounces_are_named(operator: Browser, house: House) -> None:
    house.count("shop", arrived=1000, delivered=990, bounced=10)
    house.count("forum", arrived=home.ENOUGH, delivered=home.ENOUGH - 5, bounced=5)
    page = operator.get("/").text
    assert section(page, "busiest").endswith("shop 1,000 10 1.0% forum 50 5 10.0%")
    assert section(page, "bouncing").endswith("forum 50 5 10.0% shop 1,000 10 1.0%")


def test_an_account_with_little_mail_has_no_bounce_rate(operator: Browser, house: House) -> None:
    house.count("forum", arrived=home.ENOUGH - 1, bounced=home.ENOUGH - 1)
    assert "No account with enough mail to tell has bounces today." in section(operator.get("/").text, "bouncing")


def test_the_operator_sees_what_needs_attention(operator: Browser, house: House) -> None:
    assert "Nothing: no account is blocked" in section(operator.get("/").text, "attention")
    with house.store.write() as session:
        session.get_one(Account, house.ids["shop"]).blocked = "owes us"
        worker = Worker(node="n", pid=1, started_at=NOW, lease_until=NOW)
        session.add(worker)
        session.flush()
        session.add(PluginTrouble(plugin="notify", hook="on_sign", worker=worker.id, error="hangs", since=NOW - 60))
        session.add(Cursor(plugin="stores", failures=2, error="no answer"))
    shown = section(operator.get("/live").text, "attention")
    assert "1 Blocked accounts shop : owes us" in shown
    assert "notify Plugin is not asked, or hangs 1 minute ago on_sign : hangs" in shown
    assert "2 failures in a row: no answer" in shown
    assert "The queue is empty." in shown


def test_accounts_are_searched_and_come_page_by_page(
    operator: Browser, house: House, password: NewPassword, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(home, "PER_PAGE", 2)
    for name in ("shop 2", "shop 3"):
        house.account(name, OWNER, password)

    def found(path: str) -> tuple[list[str], str]:
        page = operator.get(path).text
        older = re.findall(r'href="([^"]*)" rel="next"', page)
        return re.findall(r'<li><a href="/operator/accounts/[^"]*/">([^<]*)', page), html.unescape("".join(older))

    first, older = found("/?find=SHOP")
    assert first == ["shop", "shop 2"]
    assert found(older) == (["shop 3"], "")
    assert found("/")[0] == ["forum", "shop"]
    assert "No account has this in its name." in operator.get("/?find=nobody").text


def test_a_house_without_accounts_is_led_to_the_next_step(operator: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overview, "accounts_like", lambda *_: [])
    assert "No account yet" in operator.get("/").text
