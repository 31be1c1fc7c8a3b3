"""WCAG 2.2 AA on every page, light and dark, wide and narrow, checked by axe in a real browser."""

from __future__ import annotations

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from flask import Flask
from playwright.sync_api import Page

from postmeter_web import access
from support.foreign import need_program
from support.furnished import Furniture
from support.lived_in import LivedIn
from support.panel import OPERATOR, OWNER, House, Served
from support.plugged import plugged
from support.routes import doors, path
from support.window import chromium_at, in_thread, page_of

RULES = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}}
LOOKS = [("light", 1280), ("dark", 1280), ("light", 360)]
Window = dict[str, Any]


def addresses(app: Flask, things: Furniture | None, *places: str) -> list[str]:
    """All pages of these places, no fragments and no files; without ``things`` those of an account with nothing."""
    found = [door for door in doors(app, *places) if door.method == "GET" and not door.is_part]
    if things is None:
        return [door.rule.rule.replace("<account:name>", "shop") for door in found if door.rule.arguments <= {"name"}]
    return [path(door, "shop", things) for door in found]


def faults(page: Page) -> list[str]:
    """What axe finds on a page, rule and place, and whether it has to be moved sideways."""
    response = Axe().run(page, options=RULES).response
    wrong = [f"{one['id']}: {node['html'][:120]}" for one in response["violations"] for node in one["nodes"]]
    wide = page.evaluate("document.documentElement.scrollWidth > innerWidth")
    return wrong + (["too wide"] if wide else [])


def looked_at(house: House, app: Flask, things: Furniture | None, window: Window) -> dict[str, list[str]]:
    """The faults of all pages of both sides and of those before the log-in, by address."""
    found: dict[str, list[str]] = {}
    with Served(house) as served, chromium_at(served) as chromium:
        for email, places in ((OWNER, (access.ACCOUNT, access.PERSON)), (OPERATOR, (access.OPERATOR,))):
            with page_of(served, chromium, email, bears="40", **window) as page:
                found |= _all(page, addresses(app, things, *places))
        with chromium.new_context(base_url="http://{}:{}".format(*served.address), **window) as context:
            found |= _all(context.new_page(), addresses(app, things, access.OPEN))
    return {address: wrong for address, wrong in found.items() if wrong}


def _all(page: Page, wanted: list[str]) -> dict[str, list[str]]:
    return {address: _faults_at(page, address) for address in wanted}


def _faults_at(page: Page, address: str) -> list[str]:
    page.goto(address)
    return faults(page)


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("scheme", "width"), LOOKS)
def test_every_page_can_be_used_by_everybody(lived_in: LivedIn, scheme: str, width: int) -> None:
    need_program("chromium")
    window = {"color_scheme": scheme, "viewport": {"width": width, "height": 800}}
    assert in_thread(lambda: looked_at(lived_in.house, lived_in.app, lived_in.ours, window)) == {}


@pytest.mark.timeout(600)
def test_the_pages_of_who_has_nothing_yet_can_be_used_as_well(house: House) -> None:
    need_program("chromium")
    app, window = plugged(house), {"color_scheme": "dark", "viewport": {"width": 360, "height": 800}}
    assert in_thread(lambda: looked_at(house, app, None, window)) == {}
