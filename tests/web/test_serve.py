"""The panel as a process of its own: it takes over a socket, answers, and goes when it is told to."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, time

import pytest

from postmeter.config import Settings, Web
from postmeter_web import plugin
from postmeter_web.serve import MAX_BODY
from support.panel import OPERATOR, Browser, House, Served


@pytest.fixture
def served(house: House) -> Iterator[Served]:
    """The panel over the house's store."""
    with Served(house) as served:
        yield served


def logged_in(house: House) -> str:
    """The cookie of the operator, who has logged in elsewhere."""
    house.now = time()
    browser = Browser(house.app())
    browser.log_in(OPERATOR)
    cookie = browser.client.get_cookie("postmeter")
    assert cookie
    return f"postmeter={cookie.value}"


def test_it_answers_on_the_socket_that_was_handed_over(served: Served) -> None:
    connection = served.connect()
    connection.request("GET", "/login")
    answer = connection.getresponse()
    assert answer.status == 200
    assert b"Log in" in answer.read()
    connection.request("GET", "/static/postmeter.css")  # on the same TCP connection
    assert "max-age" in str(connection.getresponse().getheader("Cache-Control"))
    connection.close()


def test_it_goes_at_sigterm_soon_though_a_client_is_connected(served: Served) -> None:
    connection = served.connect()
    connection.request("GET", "/login")
    assert connection.getresponse().status == 200
    begin = monotonic()
    code, errors = served.stop()
    assert monotonic() - begin < 10
    assert (code, errors) == (0, "")
    connection.close()


def test_a_body_beyond_the_limit_is_cut_off(served: Served) -> None:
    with socket.create_connection(served.address, timeout=30) as client:
        client.sendall(b"POST /login HTTP/1.1\r\nHost: panel\r\nTransfer-Encoding: chunked\r\n\r\n")
        chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        with pytest.raises(ConnectionError):
            for _ in range(20 * MAX_BODY // 0x10000):
                client.sendall(chunk)
            client.recv(1)


def test_a_failure_is_told_on_stderr(house: House) -> None:
    cookie = logged_in(house)
    with house.store.write() as session:
        session.connection().exec_driver_sql("ALTER TABLE user RENAME TO lost")
    with Served(house) as served:
        connection = served.connect()
        connection.request("GET", "/", headers={"Cookie": cookie})
        assert connection.getresponse().status == 503
        connection.close()
        _, errors = served.stop()
    assert "GET / failed" in errors
    assert "no such table: user" in errors


PLUGIN = """
from flask import Blueprint
from postmeter import Page, hookimpl

class Prices:
    @hookimpl
    def on_start(self, core):
        self.core = core

    @hookimpl
    def pages(self):
        prices = Blueprint("prices", __name__)
        prices.add_url_rule("/", "all", lambda: f"{self.core.name} of {self.core.settings.server.hostname}")
        return [Page("Prices", "operator", prices, "all")]
"""


def test_the_pages_of_an_installed_plugin_are_served(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metadata = tmp_path / "site" / "prices-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata.parent / "prices_plugin.py").write_text(PLUGIN)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: prices\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[postmeter]\nprices = prices_plugin:Prices\n")
    monkeypatch.setenv("PYTHONPATH", str(metadata.parent))
    monkeypatch.setenv("POSTMETER_PLUGINS_ENABLED", "prices")
    monkeypatch.setenv("POSTMETER_SERVER_HOSTNAME", "mail.example.net")
    with Served(house) as served:
        connection = served.connect()
        connection.request("GET", "/operator/prices/", headers={"Cookie": logged_in(house)})
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (200, b"prices of mail.example.net")
        connection.close()
        assert served.stop() == (0, "")


def test_without_a_socket_it_listens_where_the_settings_say(house: House) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        free = probe.getsockname()[1]
    with Served(house, port=free) as served:
        connection = served.connect()
        served.wait()
        connection.request("GET", "/login")
        assert connection.getresponse().status == 200
        connection.close()


def test_the_plugin_offers_the_panel_unless_it_is_switched_off() -> None:
    service = plugin.services(Settings())[0]
    assert (service.name, service.address) == ("panel", "127.0.0.1:8025")
    assert plugin.services(Settings(web=Web(listen=""))) == []


def test_the_plugin_alone_does_not_load_flask() -> None:
    code = "import sys, postmeter_web.plugin; sys.exit(bool({'flask', 'twisted.internet.reactor'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
