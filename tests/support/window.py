"""A real browser: Debian's Chromium, driven by Playwright, in a thread of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

from playwright.sync_api import Browser, Page, sync_playwright

from support.foreign import need_program
from support.panel import OWNER, PASSWORD, House, Served

T = TypeVar("T")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextmanager
def chromium_at(served: Served) -> Iterator[Browser]:
    """A browser with nothing in it, once the panel answers."""
    served.wait()
    with sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=need_program("chromium"), args=ARGUMENTS)
        yield chromium
        chromium.close()


@contextmanager
def page_of(served: Served, chromium: Browser, email: str, bears: str = "-", **options: Any) -> Iterator[Page]:
    """A window of somebody who has logged in; what the browser complains about fails the test, except ``bears``."""
    complaints: list[str] = []
    with chromium.new_context(base_url=served.url, **options) as context:
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto("/")
        page.get_by_label("E-mail address").fill(email)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Log in").click()
        page.wait_for_url(lambda url: not url.endswith("/login"))
        yield page
    assert [complaint for complaint in complaints if bears not in complaint] == []


@contextmanager
def owner_of(house: House, bears: str = "-", **options: Any) -> Iterator[Page]:
    """The window of the shop's owner, with a panel and a browser of its own."""
    with (
        Served(house) as served,
        chromium_at(served) as chromium,
        page_of(served, chromium, OWNER, bears, **options) as page,
    ):
        yield page


def in_thread(work: Callable[[], T]) -> T:
    """Run what drives the browser outside of the thread that has the reactor."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result()
