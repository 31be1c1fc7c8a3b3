"""WCAG 2.2 AA on every page, light and dark, wide and narrow, checked by axe in a real browser."""

from __future__ import annotations

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from flask import Flask
from playwright.sync_api import Page

from postmeter.store.secrets import NewPassword
from postmeter_web import access
from support.foreign import need_program
from support.furnished import Furniture, furnish
from support.panel import OPERATOR, OWNER, House, Served
from support.routes import doors, path
from support.window import chromium_at, in_thread, page_of

RULES = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}}
LOOKS = [("light", 1280), ("dark", 1280), ("light", 360)]


def pages(app: Flask, things: Furniture, *places: str) -> list[str]:
    """The addresses of all pages of these places: no fragments, no files."""
    found = [door for door in doors(app, *places) if door.method == "GET" and not door.is_part]
    return [path(door, "shop", things) for door in found]


def faults(page: Page) -> list[str]:
    """What axe finds on a page: rule, and where."""
    response = Axe().run(page, options=RULES).response
    return [f"{one['id']}: {node['html'][:120]}" for one in response["violations"] for node in one["nodes"]]


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("scheme", "width"), LOOKS)
def test_every_page_can_be_used_by_everybody(
    house: House, app: Flask, password: NewPassword, scheme: str, width: int
) -> None:
    need_program("chromium")
    things = furnish(house, "shop", "ours", password)
    found: dict[str, list[str]] = {}
    window: dict[str, Any] = {"color_scheme": scheme, "viewport": {"width": width, "height": 800}}

    def look() -> None:
        with Served(house) as served, chromium_at(served) as chromium:
            for email, places in ((OWNER, (access.ACCOUNT, access.PERSON)), (OPERATOR, (access.OPERATOR,))):
                with page_of(served, chromium, email, bears="404", **window) as page:
                    for address in pages(app, things, *places):
                        page.goto(address)
                        _note(found, page, address)
            with chromium.new_context(base_url="http://{}:{}".format(*served.address), **window) as context:
                page = context.new_page()
                for address in pages(app, things, access.OPEN):
                    page.goto(address)
                    _note(found, page, address)

    in_thread(look)
    assert found == {}


def _note(found: dict[str, list[str]], page: Page, address: str) -> None:
    wide = page.evaluate("document.documentElement.scrollWidth > innerWidth")
    if wrong := faults(page) + (["too wide"] if wide else []):
        found[address] = wrong
