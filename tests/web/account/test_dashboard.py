"""What an account's first page shows, and to whom."""

from __future__ import annotations

import html
import re

import pytest
from flask import Flask

from postmeter.store.counters import Change, count
from postmeter.store.quota_tables import Block
from postmeter.store.secrets import NewPassword
from postmeter.store.statistics import DAY, HOUR
from postmeter.store.tables import Account, Connection, Message, Recipient, User
from postmeter_web.account.chart import POLICY
from support.panel import NOW, OTHER, OWNER, Browser, House

HOSTILE = "<script>alert(1)</script>"
PAGE = "/accounts/shop/"


def figures(page: str) -> dict[str, tuple[str, str]]:
    """The tiles of a page: name → value and the line below it."""
    found = re.findall(r'<dt>(.*?)</dt>\s*<dd class="value">(.*?)</dd>\s*<dd class="below">(.*?)</dd>', page)
    return {name: (value, below) for name, value, below in found}


def section(page: str, name: str) -> str:
    """A part of a page, without tags and needless blanks."""
    [found] = re.findall(rf'<section id="{name}".*?</section>', page, re.DOTALL)
    return " ".join(html.unescape(re.sub("<[^>]*>", " ", found)).split())


def bounced(house: House, address: str, reply: str, at: float, account: str = "shop", state: str = "bounced") -> None:
    """A message to that address that was given up."""
    number, identifier = house.ids[account], f"{at:026.0f}"
    with house.store.write() as session:
        session.add(
            Message(
                id=identifier,
                account_id=number,
                connection_id=1,
                accepted_at=at,
                domain="shop.example",
                reverse_path="",
                body="",
                smtputf8=False,
                ret="",
                envid="",
                header_from="",
                subject="",
                message_id="",
                size=1,
                sha256=b"",
            )
        )
        session.flush()
        row = Recipient(message_id=identifier, account_id=number, n=0, connection_id=1, forward_path=address)
        row.notify = row.orcpt = ""
        row.state, row.reply, row.final_at, row.charge = state, reply, at, "charged"
        row.leaves_at = row.next_attempt_at = at
        session.add(row)


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


def test_figures_tell_today_and_all_time_apart(owner: Browser, house: House) -> None:
    house.now = NOW - 2 * DAY
    house.count("shop", arrived=10, delivered=4, bounced=1, suppressed=1, deferred=2)
    house.now = NOW
    house.count("shop", arrived=4, delivered=3, bounced=1, deferred=-1, complained=1)
    page = owner.get(PAGE).text
    assert figures(page) == {
        "Arrived": ("4", "14 in all"),
        "Delivered": ("3", "75.0%"),
        "Bounced": ("1", "25.0%"),
        "Complained": ("1", "33.3%"),
        "Queued": ("4", "now"),
        "Deferred": ("1", "now, tried before"),
    }
    assert "Suppressed: 0 · Cancelled: 0" in section(page, "mail")
    week = owner.get(f"{PAGE}?days=7").text
    assert figures(week)["Arrived"] == ("14", "14 in all")
    assert "Suppressed: 1" in section(week, "mail")


@pytest.mark.parametrize(("asked", "days"), [("", 1), ("?days=7", 7), ("?days=30", 30), ("?days=2", 1), ("?days=x", 1)])
def test_the_days_are_in_the_address_of_the_page_and_of_its_live_part(owner: Browser, asked: str, days: int) -> None:
    page = owner.get(f"{PAGE}{asked}").text
    assert f'href="/accounts/shop/?days={days}" aria-current="page"' in page
    assert f'data-live="/accounts/shop/live{f"?days={days}" if days > 1 else ""}"' in page


def test_the_day_begins_where_the_visitor_lives(owner: Browser, house: House) -> None:
    midnight = NOW // DAY * DAY
    house.now = midnight - 2 * HOUR
    house.count("shop", arrived=5)
    house.now = midnight + HOUR
    assert figures(owner.get(PAGE).text)["Arrived"][0] == "0"
    with house.store.write() as session:
        session.query(User).filter_by(email=OWNER).update({"timezone": "America/New_York"})
    assert figures(owner.get(PAGE).text)["Arrived"][0] == "5"


def test_the_fragment_is_the_live_part_of_the_page(owner: Browser, house: House) -> None:
    house.connection("shop", "Web shop")
    house.count("shop", arrived=3)
    fragment = owner.get(f"{PAGE}live").text
    assert fragment.strip() in owner.get(PAGE).text
    assert "<html" not in fragment
    house.count("shop", arrived=1)
    assert figures(owner.get(f"{PAGE}live").text)["Arrived"][0] == "4"


def test_the_chart_is_an_image_with_a_policy_of_its_own(owner: Browser, house: House) -> None:
    house.count("shop", arrived=3, delivered=3)
    for address in re.findall(r'(?:src|srcset)="([^"]*chart[^"]*)"', owner.get(f"{PAGE}?days=7").text):
        image = owner.get(html.unescape(address))
        assert (image.status_code, image.mimetype) == (200, "image/svg+xml")
        assert image.headers["Content-Security-Policy"] == POLICY
        assert image.headers["Cache-Control"] == "no-store"
        assert "<rect" in image.text


def test_the_address_of_the_chart_changes_with_its_figures(owner: Browser, house: House) -> None:
    def mark() -> str:
        [found] = re.findall(r'<img src="[^"]*mark=(\w+)', owner.get(PAGE).text)
        return str(found)

    house.count("shop", arrived=3)
    first = mark()
    assert mark() == first
    house.count("shop", delivered=1)
    assert mark() != first


def test_the_figures_of_the_chart_are_in_a_table_as_well(owner: Browser, house: House) -> None:
    house.count("shop", arrived=3, delivered=2, deferred=1)
    assert re.search(r" \d\d:\d\d 3 2 0 1 0$", section(owner.get(PAGE).text, "chart"))


def test_tables_part_the_figures_and_lead_to_the_messages(owner: Browser, house: House) -> None:
    connection = house.connection("shop", "Web shop")
    with house.store.write() as session:
        session.get_one(Connection, connection).retired_at = NOW
        made = ((8, "delivered", "Google"), (2, "bounced", "Google"), (1, "delivered", "other"), (10, "arrived", ""))
        count(
            session, (Change(house.ids["shop"], connection, NOW, name, by, "shop.example", of) for by, name, of in made)
        )
    page = owner.get(PAGE).text
    assert "Web shop 10 9 2 18.2%" in section(page, "by-connection")
    assert "shop.example 10 9 2 18.2%" in section(page, "by-domain")
    assert "Google 10 8 2 20.0% Others 1 1 0 0.0%" in section(page, "by-provider")
    hrefs = {html.unescape(href) for href in re.findall(r'href="([^"]*)"', page)}
    assert {
        f"/accounts/shop/messages/?connection={connection}&since=2026-11-24",
        "/accounts/shop/messages/?domain=shop.example&since=2026-11-24",
        "/accounts/shop/messages/?provider=Google&since=2026-11-24&state=bounced",
    } <= hrefs


def test_a_long_table_names_those_with_the_most_mail(owner: Browser, house: House) -> None:
    with house.store.write() as session:
        count(session, (Change(house.ids["shop"], 1, NOW, "arrived", n, f"{n}.example") for n in range(1, 13)))
    shown = section(owner.get(PAGE).text, "by-domain")
    assert " 12.example 12 " in shown
    assert " 2.example " not in shown
    assert "2 more have less mail." in shown


def test_the_last_bounces_say_why_in_a_sentence(owner: Browser, house: House) -> None:
    bounced(house, "joe@example.org", "550 5.1.1 User unknown", NOW - 60)
    bounced(house, "ann@example.org", f"550 {HOSTILE}", NOW - 30)
    bounced(house, "secret@example.org", "550 x", NOW, account="forum")
    page = owner.get(PAGE).text
    shown = section(page, "bounces")
    assert shown.index("ann@example.org") < shown.index("joe@example.org")
    assert "There is no such mailbox." in shown
    assert HOSTILE not in page
    assert "secret" not in page
    assert 'href="/accounts/shop/messages/?find=joe@example.org"' in page


def test_a_connection_shows_its_state_and_when_it_was_used(owner: Browser, house: House) -> None:
    house.connection("shop", "New", verified=False)
    assert "The DKIM record of shop.example has not been verified yet." in owner.get(PAGE).text
    connection = house.connection("shop", "Web shop")
    with house.store.write() as session:
        session.get_one(Connection, connection).last_used_at = NOW - 180
    page = owner.get(PAGE).text
    assert page.count('<span class="badge good">active</span>') == 2
    assert "last used 3 minutes ago" in section(page, "connections")
    assert "never used" in page


def test_hostile_text_stays_text(operator: Browser, house: House, password: NewPassword) -> None:
    house.account(HOSTILE, OTHER, password)
    house.connection("shop", HOSTILE)
    with house.store.write() as session:
        session.get_one(Account, house.ids["shop"]).blocked = HOSTILE
        count(session, [Change(house.ids["shop"], 1, NOW, "arrived", 5, HOSTILE, HOSTILE)])
    bounced(house, f'"{HOSTILE}"@example.org', f"550 {HOSTILE}", NOW)
    operator.view("shop")
    for path in ("/", PAGE, f"{PAGE}live"):
        page = operator.get(path).text
        assert HOSTILE not in page
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_an_account_without_connections_is_led_to_the_next_step(
    app: Flask, owner: Browser, house: House, password: NewPassword
) -> None:
    page = owner.get(PAGE).text
    assert "No system is connected yet" in section(page, "hint")
    assert 'href="/accounts/shop/connect/"' in page
    viewer = Browser(app)
    viewer.log_in(house.member("shop", "viewer@shop.example", "viewer", password))
    page = viewer.get(PAGE).text
    assert "/accounts/shop/connect/" not in page
    assert "An admin of this account can connect one." in page


def test_the_quota_shows_what_is_left_and_until_when(owner: Browser) -> None:
    shown = section(owner.get(PAGE).text, "quota")
    assert "1,000 mails left" in shown
    assert "Demo quota 1,000 of 1,000" in shown
    assert "expires in 30 days" in shown


@pytest.mark.parametrize(
    ("threshold", "left", "low"), [(0, 1, False), (0, 0, True), (500, 499, True), (500, 500, False)]
)
def test_a_low_quota_is_told_to_who_can_book(
    app: Flask, owner: Browser, house: House, password: NewPassword, threshold: int, left: int, low: bool
) -> None:
    house.connection("shop", "Web shop")
    with house.store.write() as session:
        session.query(Account).update({"threshold": threshold})
        session.query(Block).update({"left": left})
    hint = section(owner.get(PAGE).text, "hint")
    assert ("Book a block, so that your mail goes on." in hint) == low
    viewer = Browser(app)
    viewer.log_in(house.member("shop", "viewer@shop.example", "viewer", password))
    assert ("The owner or whoever does the billing can book a block." in viewer.get(PAGE).text) == low


def test_an_expired_session_of_the_live_part_leads_to_the_form(browser: Browser) -> None:
    assert browser.get(f"{PAGE}live").status_code == 302
