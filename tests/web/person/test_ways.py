"""Two ways in a real browser: the first log-in where a second factor is demanded, and an invitation."""

from __future__ import annotations

import time

import pytest
from playwright.sync_api import Page, expect

from support.foreign import need_program
from support.panel import OWNER, PASSWORD, House, Served
from support.people import code, link, mails
from support.window import chromium_at, in_thread, page_of

CHOSEN = "tannengruen und blau"


@pytest.fixture(autouse=True)
def _chromium() -> None:
    need_program("chromium")


def log_in(page: Page, email: str, password: str = PASSWORD) -> None:
    page.goto("/login")
    page.get_by_label("E-mail address").fill(email)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()


def set_up(page: Page) -> str:
    """Set the demanded second factor up; its secret."""
    expect(page.get_by_role("heading", name="Set up a second factor")).to_be_visible()
    assert page.locator("img.qr").evaluate("image => image.naturalWidth") > 0
    secret = page.locator(".copied code").inner_text().replace(" ", "")
    page.get_by_label("Code from the app").fill(code(secret, time.time()))
    page.get_by_label("Your password").fill(PASSWORD)
    page.get_by_role("button", name="Turn it on").click()
    expect(page.locator(".codes li")).to_have_count(10)
    return secret


def test_the_first_log_in_leads_to_a_second_factor_and_then_to_the_account(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POSTMETER_WEB_SECOND_FACTOR", "everybody")

    def go() -> None:
        with Served(house) as served, chromium_at(served) as chromium:
            base = "http://{}:{}".format(*served.address)
            with chromium.new_context(base_url=base) as context:
                page = context.new_page()
                log_in(page, OWNER)
                secret = set_up(page)
                page.get_by_role("link", name="I have kept them").click()
                page.wait_for_url("**/accounts/shop/")
            with chromium.new_context(base_url=base) as context:
                page = context.new_page()
                log_in(page, OWNER)
                page.get_by_label("Code").fill(code(secret, time.time() + 30))
                page.get_by_role("button", name="Log in", exact=True).click()
                page.wait_for_url("**/accounts/shop/")

    in_thread(go)


def test_a_viewer_is_invited_chooses_a_password_and_sees_the_account(house: House) -> None:
    def go() -> None:
        with Served(house) as served, chromium_at(served) as chromium, page_of(served, chromium, OWNER) as page:
            page.get_by_role("link", name="Team").click()
            page.get_by_label("E-mail address").fill("new@shop.example")
            page.get_by_label("Role", exact=True).select_option("Viewer")
            page.get_by_role("button", name="Send the invitation").click()
            expect(page.get_by_text("new@shop.example is invited.")).to_be_visible()
            (mail,) = mails(house)
            with chromium.new_context(base_url="http://{}:{}".format(*served.address)) as context:
                guest = context.new_page()
                guest.goto(link(mail))
                guest.get_by_label("New password").fill(CHOSEN)
                guest.get_by_role("button", name="Join").click()
                guest.wait_for_url("**/accounts/shop/")
                guest.get_by_role("link", name="Team").click()
                expect(guest.get_by_role("heading", name="Invite somebody")).to_have_count(0)
            page.reload()
            expect(page.get_by_role("row", name="new@shop.example")).to_contain_text("Viewer")

    in_thread(go)
