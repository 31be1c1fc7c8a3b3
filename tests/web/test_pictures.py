"""Pictures of the main pages, for people to look at, in the folder named by PM_SCREENSHOTS; none is too wide."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Page, expect

from postmeter.store.secrets import NewPassword
from support.foreign import need_program
from support.names import NameServer
from support.panel import OPERATOR, OTHER, OWNER, House, Served
from support.showroom import ENVIRONMENT, Shown, furnish
from support.window import chromium_at, in_thread, page_of

SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
WIDTHS, LANGUAGES = (360, 1280, 1920), {"en": "English", "de": "Deutsch"}


@pytest.fixture
def shown(house: House, password: NewPassword, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shown]:
    """A busy house whose panel has the pages of all plugins."""
    need_program("chromium")
    house.now = time.time()
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    with NameServer({}) as server:
        monkeypatch.setenv("POSTMETER_DELIVERY_RESOLVER", server.address)
        yield furnish(house, password)


ACCOUNT = {  # of a picture: where the page is
    "dashboard": "",
    "dashboard-30": "?days=30",
    "messages": "messages/",
    "message": "messages/{message}",
    "connections": "connections/",
    "connection": "connections/{connection}/",
    "password": "connections/{connection}/password",
    "connect": "connect/",
    "connect-domain": "connect/{draft}/domain",
    "connect-dns": "connect/{waiting}/dns",
    "connect-test": "connect/{connection}/test",
    "domains": "domains/",
    "domain": "domains/lindenhof.example/",
    "suppressions": "suppressions/",
    "quota": "quota/",
    "quota-book": "quota/book",
    "quota-ledger": "quota/ledger",
    "invoices": "billing/",
    "invoice-address": "billing/address",
    "notices": "notify/",
    "stores": "stores/",
    "store": "stores/{connection}/",
    "store-connect": "stores/{connection}/connect/shopware",
    "webhooks": "webhooks/",
    "webhook": "webhooks/{endpoint}/",
    "webhook-add": "webhooks/add",
    "settings": "settings/",
    "team": "team/",
    "team-member": "team/{member}/",
    "team-log": "team/log",
}
OPERATORS = {
    "overview": "/",
    "accounts": "/operator/accounts/",
    "account": "/operator/accounts/shop/",
    "account-new": "/operator/accounts/new",
    "requests": "/operator/requests/",
    "queue": "/operator/queue/",
    "providers": "/operator/providers/",
    "provider": "/operator/providers/GMX/",
    "sources": "/operator/sources/",
    "health": "/operator/health/",
    "plugins": "/operator/plugins/",
    "plugin": "/operator/plugins/billing/",
    "plugin-settings": "/operator/plugins/billing/settings",
    "billing": "/operator/billing/",
    "csa": "/operator/csa/",
    "audit": "/operator/audit/",
    "profile": "/me/",
    "change-password": "/me/password",
    "second-factor": "/me/second-factor/",
}
EMPTY = ("dashboard", "messages", "connections", "domains", "quota", "invoices", "webhooks", "stores")  # of who is new
NOBODYS = {"login": "/login", "forgotten": "/forgotten", "request": "/request"}


def visits(shown: Shown) -> Iterator[tuple[str, dict[str, str]]]:
    """Who sees which pages, by the name of the picture."""
    own = {name: f"/accounts/shop/{path.format(**vars(shown))}" for name, path in ACCOUNT.items()}
    yield OWNER, own
    yield OTHER, {f"empty-{name}": path.replace("shop", "forum") for name, path in own.items() if name in EMPTY}
    yield OPERATOR, {f"operator-{name}": path for name, path in OPERATORS.items()}


def take(page: Page, pages: Mapping[str, str], folder: Path, language: str) -> None:
    """Pictures of these pages in all windows."""
    for subject, path in pages.items():
        answer = page.goto(path)
        assert answer is not None
        assert answer.ok, f"{path} answers {answer.status}"
        for scheme, width in product(SCHEMES, WIDTHS):
            name = f"{subject}-{scheme}-{width}-{language}"
            page.set_viewport_size({"width": width, "height": 800})
            page.emulate_media(color_scheme=scheme)
            expect(page.locator("html")).to_have_attribute("data-bs-theme", scheme)
            page.evaluate("Promise.all([...document.images].map((image) => image.decode()))")
            page.screenshot(path=folder / f"{name}.png", full_page=True)
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"too wide: {name}"


@pytest.mark.timeout(600)
@pytest.mark.parametrize("language", LANGUAGES)
def test_pages_fit_every_window_in_light_and_dark(house: House, shown: Shown, tmp_path: Path, language: str) -> None:
    folder = Path(os.environ.get("PM_SCREENSHOTS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)

    def look() -> None:
        with Served(house) as served, chromium_at(served) as chromium:
            for email, pages in visits(shown):
                with page_of(served, chromium, email) as page:
                    page.get_by_role("button", name=LANGUAGES[language]).click()
                    take(page, pages, folder, language)
            with chromium.new_context(base_url=served.url, locale=language) as context:
                take(context.new_page(), NOBODYS, folder, language)

    in_thread(look)
