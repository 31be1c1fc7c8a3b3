"""The whole relay as people meet it: `postmeter up`, a name server, the recipients' side, and a browser in a thread."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Locator, Page, sync_playwright

from postmeter.testing.waiting import free_port
from support.billing import SELLER
from support.dns_thread import DnsThread
from support.foreign import need_program
from support.mail_sink import MailSink
from support.relay import Relay
from support.window import ARGUMENTS

PLUGINS = ("billing", "notify", "stores", "webhooks")


class Stage:
    """Everything runs until ``close``; what drives the browser is given to ``play``."""

    def __init__(self, folder: Path) -> None:
        self.zone: dict[tuple[str, str], list[str] | str] = {}
        self.names = DnsThread(self.zone)
        self.sink = MailSink(folder)
        listen = f"127.0.0.1:{free_port()}"
        self.url = f"http://{listen}"
        self.relay = Relay(
            folder,
            f"127.0.0.1:{self.sink.port}",
            workers=1,
            plugins=PLUGINS,
            settings={
                "delivery": f'allow_private = true\nresolver = "127.0.0.1:{self.names.port}"',
                "plugins.billing": "".join(f'{name} = "{value}"\n' for name, value in SELLER.items()),
            },
            environment={"POSTMETER_WEB_LISTEN": listen},
        )
        self.relay.start()
        self._thread = ThreadPoolExecutor(1)
        self._playwright = sync_playwright()
        self._browser: Browser = self._thread.submit(self._open).result()

    def _open(self) -> Browser:
        chromium = self._playwright.start().chromium
        return chromium.launch(executable_path=need_program("chromium"), args=ARGUMENTS)

    def close(self) -> None:
        """End everything."""
        self._thread.submit(self._browser.close).result()
        self._thread.submit(self._playwright.__exit__).result()
        self._thread.shutdown()
        self.relay.stop()
        self.sink.close()
        self.names.close()

    def play(self, way: Callable[[], None]) -> None:
        """Go a way, outside of the thread that has the reactor."""
        self._thread.submit(way).result()

    @contextmanager
    def window(self) -> Iterator[Page]:
        """A browser of somebody who has not logged in; an error on a page fails the test."""
        errors: list[str] = []
        with self._browser.new_context(base_url=self.url) as context:
            page = context.new_page()
            page.on("pageerror", lambda error: errors.append(str(error)))
            yield page
        assert errors == []

    @contextmanager
    def person(self, email: str, password: str) -> Iterator[Page]:
        """The window of somebody who has logged in."""
        with self.window() as page:
            log_in(page, email, password)
            page.wait_for_url(lambda url: not url.endswith("/login"))
            yield page

    def publish(self, name: str, value: str) -> None:
        """A TXT record, in strings as long as they may be."""
        parts = re.findall(".{1,255}", value)
        self.zone[name, "TXT"] = [" ".join(f'"{part}"' for part in parts)]


def log_in(page: Page, email: str, password: str) -> None:
    """Fill in the form."""
    page.goto("/login")
    page.get_by_label("E-mail address").fill(email)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()


def beside(page: Page, name: str) -> Locator:
    """What stands beside a name in a list of pairs."""
    return page.locator(f"xpath=//dt[normalize-space()='{name}']/following-sibling::dd[1]")


def number(figure: Locator) -> int:
    """What a figure says."""
    return int(figure.inner_text().replace(",", ""))
