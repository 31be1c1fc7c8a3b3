"""The panel in a real browser: figures that change by themselves, and how it looks.

Pictures go to the folder named by PM_SCREENSHOTS.
"""

from __future__ import annotations

import os
import time
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from postmeter.store import accounts
from postmeter.store.counters import Change, count
from postmeter.store.quota import book_block
from postmeter.store.secrets import NewPassword
from postmeter.store.tables import Connection
from support.foreign import need_program
from support.panel import OPERATOR, OTHER, OWNER, House, Served
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
                    body=route.fetch().text().replace("last 24 hours", "<a href='#' id='probe'>swapped</a>")
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


def take_pictures(page: Page, folder: Path, name: str) -> None:
    """Each page of the operator as it looks in this window, from the account to the log-in form."""

    def picture(subject: str) -> None:
        page.screenshot(path=folder / f"{subject}-{name}.png", full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{subject} is too wide at {name}"

    picture("accounts")
    for subject, account in (("account", "shop"), ("empty", "forum")):
        page.goto(f"/operator/accounts/{account}/")
        page.get_by_role("button", name="View as its customer").click()
        page.wait_for_url(f"**/accounts/{account}/")
        picture(subject)
    page.get_by_text(OPERATOR).click()
    page.get_by_role("button", name="Log out").click()
    page.wait_for_url("**/login")
    picture("login")


def test_pages_fit_every_window_in_light_and_dark(busy: House, tmp_path: Path) -> None:
    folder = Path(os.environ.get("PM_SCREENSHOTS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)

    def look() -> None:
        with Served(busy) as served, chromium_at(served) as chromium:
            for scheme, width in product(("light", "dark"), (360, 1280, 1920)):
                window: dict[str, Any] = {"color_scheme": scheme, "viewport": {"width": width, "height": 800}}
                with page_of(served, chromium, OPERATOR, **window) as page:
                    assert page.evaluate("document.documentElement.dataset.bsTheme") == scheme
                    take_pictures(page, folder, f"{scheme}-{width}")

    in_thread(look)
