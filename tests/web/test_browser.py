"""The panel in a real browser: figures and records that change by themselves."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from postmeter.store import accounts, domains
from postmeter.store.counters import Change, count
from postmeter.store.domain_checks import record_check
from postmeter.store.quota import book_block
from postmeter.store.secrets import NewPassword
from postmeter.store.tables import Connection
from support.foreign import need_program
from support.names import NameServer
from support.panel import NOW, OTHER, OWNER, House, Served
from support.tenants import HELP, new_key
from support.window import chromium_at, in_thread, owner_of, page_of

_FIGURE = "xpath=//dt[text()='{}']/following-sibling::dd[1]"


@pytest.fixture(autouse=True)
def _chromium() -> None:
    need_program("chromium")


@pytest.fixture
def busy(house: House, password: NewPassword) -> House:
    """A house with a day's mail at the present time."""
    house.now = time.time()
    with house.store.write() as session:
        for hours in range(24):
            at, mails = house.now - hours * 3600, 900 + 617 * (hours * 7 % 11)
            done = (("arrived", mails), ("delivered", mails - 30 - hours * 9), ("bounced", 12 + hours * 9))
            count(session, (Change(house.ids["shop"], 1, at, name, by) for name, by in done))
        count(session, [Change(house.ids["shop"], 1, house.now, "deferred", 41)])
        book_block(session, house.ids["shop"], 100_000, house.settings.block, house.now - 9 * 86_400)
    used = house.connection("shop", "Web shop, order confirmations")
    house.connection("shop", "Forum")
    paused = house.connection("shop", "Booking system of the branch office with a name as long as names get")
    with house.store.write() as session:
        session.get_one(Connection, used).last_used_at = house.now - 130
        session.get_one(Connection, paused).paused = "too many complaints, please call us"
    house.account("garden-and-more", OTHER, password)
    return house


def test_figures_change_without_a_reload(busy: House) -> None:
    def watch() -> None:
        with owner_of(busy) as page:
            page.evaluate("window.same = true")
            arrived = page.locator(_FIGURE.format("Queued"))
            before = int(arrived.inner_text().replace(",", ""))
            busy.count("shop", arrived=7)
            expect(arrived).to_have_text(f"{before + 7:,}", timeout=8000)
            expect(page.locator("[data-live-status]")).to_contain_text("Live")
            assert page.evaluate("window.same")

    in_thread(watch)


def test_the_chart_is_renewed_and_its_table_stays_open(busy: House) -> None:
    def watch() -> None:
        with owner_of(busy) as page:
            picture = page.locator("#chart img")
            before = picture.get_attribute("src")
            page.get_by_text("The figures as a table").click()
            for _ in range(2):
                busy.count("shop", arrived=1, delivered=1)
                expect(picture).not_to_have_attribute("src", str(before), timeout=8000)
                before = picture.get_attribute("src")
                assert picture.evaluate("picture => picture.complete && picture.naturalWidth") == 960
                expect(page.get_by_role("table", name="Times without mail are left out.")).to_be_visible()

    in_thread(watch)


def test_a_lost_panel_is_told_and_found_again(busy: House) -> None:
    def watch() -> None:
        with (
            Served(busy) as served,
            chromium_at(served) as chromium,
            page_of(served, chromium, OWNER, bears="503") as page,
        ):
            status = page.locator("[data-live-status]")
            expect(status).to_contain_text("Live", timeout=8000)
            page.route("**/live", lambda route: route.fulfill(status=503))
            expect(status).to_contain_text("has not answered since", timeout=8000)
            page.unroute("**/live")
            expect(status).to_contain_text("Live", timeout=15000)

    in_thread(watch)


def test_a_session_that_ended_leads_to_the_form(busy: House, password: NewPassword) -> None:
    def watch() -> None:
        with owner_of(busy) as page:
            with busy.store.write() as session:
                accounts.set_password(session, OWNER, password)
            expect(page.get_by_role("heading", name="Log in")).to_be_visible(timeout=8000)

    in_thread(watch)


def test_the_focus_stays_where_it_is_when_a_section_is_swapped(busy: House) -> None:
    def watch() -> None:
        with owner_of(busy) as page:
            page.evaluate(
                "const a = document.createElement('a'); a.href = '#'; a.id = 'probe';"
                "document.querySelector('#mail h2').append(a)"
            )
            page.route(
                "**/live",
                lambda route: route.fulfill(
                    body=route.fetch().text().replace("<small>today</small>", "<a href='#' id='probe'>swapped</a>")
                ),
            )
            page.focus("#probe")
            expect(page.locator("#probe")).to_have_text("swapped", timeout=8000)
            assert page.evaluate("document.activeElement.id") == "probe"

    in_thread(watch)


def test_without_scripts_the_page_is_complete_and_can_be_refreshed(busy: House) -> None:
    def watch() -> None:
        with (
            Served(busy) as served,
            chromium_at(served) as chromium,
            page_of(served, chromium, OWNER, java_script_enabled=False) as page,
        ):
            queued = page.locator(_FIGURE.format("Queued"))
            before = int(queued.inner_text().replace(",", ""))
            busy.count("shop", arrived=7)
            page.get_by_role("link", name="Refresh").click()
            expect(queued).to_have_text(f"{before + 7:,}")

    in_thread(watch)


def test_a_key_is_replaced_while_its_owner_watches(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    records: dict[str, list[str]] = {}
    with house.store.write() as session:
        account, key = accounts.account_by_name(session, "shop"), new_key()
        domains.add_domain(session, house.secrets, account, "shop.example", HELP, False, [key], NOW)
        record_check(session, account.id, "shop.example", [], NOW)
        records[f"{key.selector}._domainkey.shop.example"] = [key.dns_value]

    def replace(page: Page) -> None:
        page.goto("/accounts/shop/domains/shop.example/")
        page.get_by_role("button", name="Replace the RSA key").click()
        expect(page.get_by_text("not there yet")).to_be_visible()
        name, value = (page.locator("#keys .copied code").nth(n).inner_text() for n in (0, 1))
        records[name] = [value]
        expect(page.get_by_role("button", name="Copy the name").last).to_be_visible()
        page.get_by_role("button", name="Sign with it now").click(timeout=30_000)  # comes without a reload
        expect(page.get_by_text("The new key signs from now on.")).to_be_visible()
        expect(page.get_by_text("Leave its record until")).to_be_visible()

    with NameServer(records) as server:
        monkeypatch.setenv("POSTMETER_DELIVERY_RESOLVER", server.address)
        in_thread(lambda: _with_page(house, replace))


def _with_page(house: House, work: Callable[[Page], None]) -> None:
    with owner_of(house) as page:
        work(page)
