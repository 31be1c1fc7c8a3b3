"""The operator's accounts: found among many, made, changed, suspended, and nobody else's business."""

from __future__ import annotations

import re

import pytest

from postmeter.store import accounts, audit, orders, pauses, quota
from postmeter.store.pauses import stop_one
from postmeter.store.quota_tables import Block
from postmeter.store.secrets import NewPassword
from postmeter.store.tables import Connection
from support.panel import NOW, OWNER, Browser, House

PAGES = ("accounts/", "accounts/new", "accounts/shop/", "requests/", "queue/", "providers/", "sources/", "audit/")
SHOP, FORUM = "/operator/accounts/shop/", "/operator/accounts/forum/"
KINDS = {"blocked": ["shop"], "agreement": ["forum"], "trial": ["forum", "shop"], "overdrawn": []}


def entries(house: House) -> list[audit.Entry]:
    return house.changes()


@pytest.mark.parametrize("page", PAGES)
def test_nobody_but_an_operator_finds_the_pages(page: str, owner: Browser, operator: Browser) -> None:
    assert owner.get(f"/operator/{page}").status_code == 404
    assert operator.get(f"/operator/{page}").status_code == 200


def names(page: str) -> list[str]:
    return re.findall(r'<th scope="row" class="name"><a href="[^"]*">([^<]*)</a>', page)


def test_accounts_are_listed_by_the_page_with_their_figures(
    house: House, operator: Browser, password: NewPassword
) -> None:
    for n in range(60):
        house.account(f"account {n:02}", OWNER, password)
    house.count("shop", arrived=1_234, delivered=1_200, bounced=34)
    page = operator.get("/operator/accounts/").text
    assert names(page) == [f"account {n:02}" for n in range(50)]
    older = re.search(r'href="([^"]*)" rel="next"', page)
    assert older
    rest = operator.get(older[1].replace("&amp;", "&")).text
    assert names(rest) == [*(f"account {n}" for n in range(50, 60)), "forum", "shop"]
    assert "1,234" in rest
    assert "62 accounts" in rest


def test_an_account_is_found_by_its_name_and_its_members(operator: Browser) -> None:
    assert names(operator.get("/operator/accounts/?find=SHO").text) == ["shop"]
    assert names(operator.get("/operator/accounts/?find=owner@forum").text) == ["forum"]
    assert "No account is like that." in operator.get("/operator/accounts/?find=%25").text


def test_accounts_are_listed_by_their_kind(house: House, operator: Browser) -> None:
    operator.post(f"{SHOP}block", SHOP, reason="spam")
    operator.post(
        "/operator/accounts/forum/terms", "/operator/accounts/forum/", agreement="y", policy="", threshold="0"
    )
    for kind, found in (
        ("blocked", ["shop"]),
        ("agreement", ["forum"]),
        ("trial", ["forum", "shop"]),
        ("overdrawn", []),
    ):
        assert names(operator.get(f"/operator/accounts/?kind={kind}").text) == found


def test_a_new_account_has_its_owner_and_a_password_that_is_shown_once(house: House, operator: Browser) -> None:
    new = "/operator/accounts/new"
    page = operator.post(new, new, name="bakery", owner="eve@bakery.example", demo="y").text
    shown = re.findall(r'<span class="copied"><code>([^<]*)</code>', page)
    assert shown[0] == "eve@bakery.example"
    with house.store.read() as session:
        assert accounts.authenticate(session, "eve@bakery.example", shown[1])
        found = accounts.account_facts(session, "bakery")
        assert quota.quota_of(session, found.id, NOW).left == 1_000
    [added] = entries(house)
    assert (added.action, added.account, added.actor) == ("account.add", "bakery", "operator@relay.example")
    assert shown[1] not in str(added)


def test_an_account_without_the_demo_quota(house: House, operator: Browser) -> None:
    new = "/operator/accounts/new"
    assert "has a log-in already" in operator.post(new, new, name="bakery", owner=OWNER, agreement="y").text
    with house.store.read() as session:
        found = accounts.account_facts(session, "bakery")
        assert (found.agreement, quota.quota_of(session, found.id, NOW).left) == (True, 0)


@pytest.mark.parametrize(
    ("name", "owner", "why"),
    [
        ("shop", "eve@bakery.example", "there is an account"),
        ("bakery", "eve", "is not an e-mail address"),
        ("", "eve@bakery.example", "This field is required"),
    ],
)
def test_what_is_wrong_with_a_new_account_is_told(operator: Browser, name: str, owner: str, why: str) -> None:
    new = "/operator/accounts/new"
    answer = operator.post(new, new, name=name, owner=owner)
    assert answer.status_code == 400
    assert why in answer.text


def test_terms_are_agreed_on(house: House, operator: Browser) -> None:
    fields = {"agreement": "y", "policy": "always", "cap": "500", "threshold": "100"}
    assert operator.post(f"{SHOP}terms", SHOP, **fields).status_code == 302
    with house.store.read() as session:
        found = accounts.account_facts(session, "shop")
    assert (found.agreement, found.overdraft_policy, found.overdraft_cap, found.threshold) == (True, "always", 500, 100)
    [changed] = entries(house)
    assert (changed.action, changed.account, changed.facts["threshold"]) == ("account.terms", "shop", 100)
    assert operator.post(f"{SHOP}terms", SHOP, **{**fields, "cap": "-1"}).status_code == 400


def blocks(house: House) -> list[int]:
    with house.store.read() as session:
        return [one.size for one in session.query(Block).filter(Block.kind == "paid")]


def test_a_form_books_one_block_however_often_it_is_sent(house: House, operator: Browser) -> None:
    key = re.search(r'name="request"[^>]*value="([^"]+)"', operator.get(SHOP).text)
    assert key
    for _ in range(2):
        assert operator.post(f"{SHOP}book", SHOP, size="25000", renews="y", request=key[1]).status_code == 302
    assert blocks(house) == [25_000]


def test_a_block_that_is_not_sold_is_refused(house: House, operator: Browser) -> None:
    assert operator.post(f"{SHOP}book", SHOP, size="100", request="x" * 16).status_code == 400
    assert blocks(house) == []


def test_a_suspended_account_may_not_send_until_it_is_lifted(house: House, operator: Browser) -> None:
    house.connection("shop", "Web shop")
    assert operator.post(f"{SHOP}block", SHOP, reason="unpaid").status_code == 302
    page = operator.get(SHOP).text
    assert "This account is suspended: unpaid" in page
    assert "This account is blocked: unpaid" in page, "the connection says so, too"
    operator.post(f"{SHOP}unblock", SHOP)
    assert "is suspended" not in operator.get(SHOP).text.replace("The account is suspended", "")
    assert [one.action for one in entries(house)] == ["account.unblock", "account.block"]


def test_a_paused_connection_is_resumed(house: House, operator: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    number = house.connection("shop", "Web shop")
    resume = f"{SHOP}connections/{number}/resume"
    assert resume not in operator.get(SHOP).text
    with house.store.write() as session:
        stop_one(session, session.get_one(Connection, number), "11 of 200 recipients bounced", house.now)
    page = operator.get(SHOP).text
    assert "This connection is paused: 11 of 200 recipients bounced" in page
    assert resume in page
    assert operator.post(f"{FORUM}connections/{number}/resume", SHOP).status_code == 404
    with monkeypatch.context() as patched:  # the guard pauses it between the count and the word
        patched.setattr(pauses, "what_waits", lambda *_: None)
        assert operator.post(resume, SHOP).status_code == 302
    assert "only the operator resumes it" in operator.get(SHOP).text
    assert operator.post(resume, SHOP).status_code == 302
    assert "is paused" not in operator.get(SHOP).text
    entry = entries(house)[0]
    assert (entry.action, entry.subject, entry.account) == ("connection.resume", "Web shop", "shop")
    with house.store.read() as session:
        assert [one.verb for one in orders.orders(session)] == ["retry"], "what waits may leave as well"


@pytest.mark.parametrize("verb", ["terms", "book", "block", "unblock", "view"])
def test_there_is_nothing_to_do_with_an_account_that_does_not_exist(operator: Browser, verb: str) -> None:
    fields = {"reason": "x", "threshold": "0", "size": "25000", "request": "x" * 16}
    assert operator.post(f"/operator/accounts/nobody/{verb}", SHOP, **fields).status_code == 404


def test_hostile_names_are_shown_as_they_are(house: House, operator: Browser, password: NewPassword) -> None:
    house.account("<b>x</b>/..", OWNER, password)
    page = operator.get("/operator/accounts/").text
    assert "&lt;b&gt;x&lt;/b&gt;/.." in page
    assert "<b>x" not in page
    link = re.search(r'href="([^"]*%3Cb[^"]*)"', page)
    assert link
    assert operator.get(link[1]).status_code == 200
