"""`postmeter demo` as a person runs it: the figures, the access data it prints, and an end that leaves nothing."""

from __future__ import annotations

import http.client
import io
import os
import re
import signal
import smtplib
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from http.cookiejar import CookieJar
from operator import ge
from pathlib import Path
from urllib.parse import urlencode, urlsplit
from urllib.request import HTTPCookieProcessor, build_opener

import pytest

from postmeter.config import Server, Settings
from postmeter.demo.customer import ACCOUNT, DOMAIN, furnish
from postmeter.demo.demo import Display, free_ports, line
from postmeter.store.connections import connections_of
from postmeter.store.engine import Store
from postmeter.store.quota import quota_of
from postmeter.store.statistics import Totals

DEADLINE = 60.0  # seconds
FIRST_FIGURES = "arrived 13  delivered 10  bounced 2  queued 1 (deferred 1)"  # after the first 12 mails
AT_FIRST = (13, 10, 2)  # arrived, delivered, bounced
ELSEWHERE = {"POSTMETER_DELIVERY_ROUTES": "*=192.0.2.1:25", "POSTMETER_STORE_URL": "sqlite:////nowhere/real.db"}


class Run:
    """A demo in a process group of its own, with its temporary folder under ``home``."""

    def __init__(self, home: Path, *options: str) -> None:
        self.home = home
        self._output = home.with_suffix(".output")
        home.mkdir()
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "postmeter", "demo", *options],
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=home.parent,
                env={**os.environ, **ELSEWHERE, "TMPDIR": str(home), "PYTHONUNBUFFERED": "1"},
                start_new_session=True,
            )

    @property
    def output(self) -> str:
        """All it has said so far."""
        return self._output.read_text()

    def wait_for_first_figures(self) -> None:
        """Until the first mails are settled; by then it may have sent more."""
        end = time.monotonic() + DEADLINE
        while not any(all(map(ge, shown, AT_FIRST)) for shown in self.figures()):
            assert self.process.poll() is None, self.output
            assert time.monotonic() < end, self.output
            time.sleep(0.05)

    def figures(self) -> list[tuple[int, ...]]:
        """What arrived, was delivered and bounced, each time that it was shown."""
        found = re.findall(r"^arrived (\d+)  delivered (\d+)  bounced (\d+)", self.output, re.MULTILINE)
        return [tuple(map(int, one)) for one in found]

    def value(self, name: str) -> str:
        """What is printed behind ``name``."""
        found = re.search(rf"^ *{name} +(.*)$", self.output, re.MULTILINE)
        assert found is not None, self.output
        return found[1]

    def processes(self) -> bool:
        """Whether any of its processes is left."""
        try:
            os.killpg(self.process.pid, 0)
        except ProcessLookupError:
            return False
        return True

    def end(self) -> None:
        """End what is left."""
        if self.processes():
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(DEADLINE)


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """A demo that sent its first mails and has ended by itself."""
    run = Run(tmp_path_factory.mktemp("ended") / "tmp", "--mails", "12", "--exit")
    try:
        run.process.wait(DEADLINE)
        yield run
    finally:
        run.end()


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Run]:
    """A demo that has sent its first mails and goes on."""
    run = Run(tmp_path / "tmp")
    try:
        run.wait_for_first_figures()
        yield run
    finally:
        run.end()


def test_the_figures_are_right_when_all_is_settled(ended: Run) -> None:
    assert ended.process.returncode == 0, ended.output
    assert [text for text in ended.output.splitlines() if text.startswith("arrived")][-1] == FIRST_FIGURES


def test_it_ends_without_a_trace(ended: Run) -> None:
    assert_clean_end(ended)


def assert_clean_end(run: Run) -> None:
    """It ends with 0, and neither processes nor files nor a traceback are left."""
    assert run.process.wait(DEADLINE) == 0, run.output
    assert list(run.home.iterdir()) == []
    assert not run.processes()
    assert "Traceback" not in run.output


def test_ctrl_c_ends_it_cleanly(running: Run) -> None:
    os.killpg(running.process.pid, signal.SIGINT)  # a terminal sends it to all processes of the group
    assert_clean_end(running)


def test_what_it_prints_can_be_used_until_it_is_terminated(running: Run) -> None:
    panel = http.client.HTTPConnection(urlsplit(running.value("Panel")).netloc, timeout=30)
    panel.request("GET", "/login")
    assert panel.getresponse().status == 200
    panel.close()
    host, port = re.search(r"Hand in mail +(\S+) port (\d+)", running.output).groups()  # type: ignore[union-attr]
    user, password = re.search(r"user name +(\S+)\n +password +(\S+)", running.output).groups()  # type: ignore[union-attr]
    with smtplib.SMTP(host, int(port), "test.example", 30) as client:
        client.starttls(context=ssl.create_default_context(cafile=running.value("certificate")))
        client.login(user, password)
        mail = f"From: me@{DOMAIN}\r\nSubject: hello\r\n\r\nHello\r\n".encode()
        assert client.sendmail(f"me@{DOMAIN}", ["anybody@anywhere.example"], mail) == {}
    running.process.terminate()
    assert_clean_end(running)


def figures(page: str) -> dict[str, int]:
    """The large numbers of an account's page."""
    found = re.findall(r"<dt>(\w+)</dt>\s*<dd class=\"value\">([\d,]+)</dd>", page)
    return {name: int(value.replace(",", "")) for name, value in found}


def test_the_printed_log_in_leads_to_the_accounts_figures(running: Run) -> None:
    place = running.value("Panel").rstrip("/")
    browser = build_opener(HTTPCookieProcessor(CookieJar()))
    form = browser.open(f"{place}/login", timeout=30).read().decode()
    token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', form)
    assert token is not None
    fields = {"csrf_token": token[1], "email": running.value("log in as"), "password": running.value("password")}
    with browser.open(f"{place}/login", urlencode(fields).encode(), timeout=30) as answer:
        assert answer.url == f"{place}/accounts/{ACCOUNT}/"
        page = answer.read().decode()
    assert f"<h1>{ACCOUNT}</h1>" in page
    shown = figures(page)
    assert shown["Arrived"] >= 13
    assert shown["Delivered"] >= 10
    assert shown["Bounced"] >= 2
    assert shown["Arrived"] == shown["Delivered"] + shown["Bounced"] + shown["Queued"]
    running.process.terminate()
    assert_clean_end(running)


def test_the_customer_may_send_without_an_hourly_limit(tmp_path: Path) -> None:
    settings = Settings(server=Server(hostname="mail.demo.example", data=str(tmp_path / "data")))
    customer = furnish(settings)
    store = Store.open(settings.store_url)
    with store.read() as session:
        blocks = quota_of(session, customer.account_id, time.time()).blocks
        (connection,) = connections_of(session, customer.account_id)
    store.close()
    assert [block.kind for block in blocks] == ["demo", "paid"]
    assert connection.active
    assert connection.domains == (DOMAIN,)
    assert customer.password not in repr(customer)


def test_free_ports_are_different() -> None:
    assert len(set(free_ports(5))) == 5


def test_the_line_tells_the_deferred_among_the_queued() -> None:
    totals = Totals(12, 9, 2, 1, 0, 0, 0, 0)
    assert line(totals) == "arrived 12  delivered 9  bounced 2  queued 1"
    assert line(Totals(12, 9, 2, 1, 1, 0, 0, 0)) == "arrived 12  delivered 9  bounced 2  queued 1 (deferred 1)"


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_one_line_in_place() -> None:
    terminal = Terminal()
    display = Display(terminal)
    for text in ("arrived 10", "arrived 10", "arrived 9"):
        display.show(text)
    display.close()
    assert terminal.getvalue() == "\rarrived 10\x1b[K\rarrived 9\x1b[K\n"


def test_a_file_gets_a_line_for_each_change() -> None:
    file = io.StringIO()
    display = Display(file)
    for text in ("arrived 1", "arrived 1", "arrived 2"):
        display.show(text)
    display.close()
    assert file.getvalue() == "arrived 1\narrived 2\n"
