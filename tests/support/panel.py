"""A panel over a database of its own, and people who use it through a test client."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from postmeter.config import Server, Settings
from postmeter.hooks import Plugins, new_manager
from postmeter.looking import Heard
from postmeter.plugin_settings import PluginSettings
from postmeter.store import accounts, audit, connections, domains
from postmeter.store.audit import Entry
from postmeter.store.counters import Change, count
from postmeter.store.engine import Store
from postmeter.store.secrets import NewPassword, Secrets
from postmeter_web.app import create_app
from postmeter_web.looks import Looks

PASSWORD = "correct horse"  # of everybody
OPERATOR, OWNER, OTHER = "operator@relay.example", "owner@shop.example", "owner@forum.example"
NOW = 1_795_500_000.0


@dataclass
class House:
    """The application, its store and a clock that the test moves; ``dns`` has the records by name and type.

    None as records: the DNS gives no answer about that name.
    """

    store: Store
    settings: Settings
    secrets: Secrets
    now: float = NOW
    ids: dict[str, int] = field(default_factory=dict)
    dns: dict[tuple[str, str], tuple[str, ...] | None] = field(default_factory=dict)

    @classmethod
    def at(cls, folder: Path) -> House:
        """The house whose data are in that folder."""
        settings = Settings(server=Server(hostname="mail.example.net", data=str(folder)))
        return cls(Store.open(settings.store_url), settings, Secrets.open(folder))

    def app(self, *, own_settings: Mapping[str, PluginSettings] | None = None, **plugins: object) -> Flask:
        """A new application with the pages of these plugins, which have these settings.

        Its throttle has seen nothing yet.
        """
        manager = new_manager()
        for name, plugin in plugins.items():
            manager.register(plugin, name)
        return self.app_with(Plugins(manager, own=own_settings))

    def app_with(self, loaded: Plugins) -> Flask:
        """The same with plugins that are loaded already."""
        loaded.attach(self.settings, self.store, self.secrets, lambda: self.now)
        app = create_app(self.settings, self.store, self.secrets, lambda: self.now, loaded)
        app.extensions["postmeter"] = replace(app.extensions["postmeter"], looks=Looks(self._look_up))
        return app

    def _look_up(self, _server: str, names: Iterable[str], type: str, _seconds: float) -> Heard:
        answers = {name: self.dns.get((name, type), ()) for name in names}
        unknown = {
            name: f"the DNS gives no answer about {name}: time-out" for name, one in answers.items() if one is None
        }
        return Heard({name: one for name, one in answers.items() if one is not None}, unknown)

    def account(self, name: str, owner: str, hashed: NewPassword) -> int:
        """A new account with its owner."""
        with self.store.write() as session:
            added = accounts.add_account(session, name, owner, False, self.settings, hashed, self.now)
        self.ids[name] = added.account_id
        return added.account_id

    def changes(self, account: str | None = None) -> list[Entry]:
        """What the audit log tells of an account (None: of all) but for log-ins, the latest first."""
        with self.store.read() as session:
            found = audit.entries(session, self.ids[account] if account else None)
        return [one for one in found if one.action != "user.login"]

    def member(self, account: str, email: str, role: str, hashed: NewPassword) -> str:
        """Somebody new in that account, in that role; the address to log in with."""
        with self.store.write() as session:
            accounts.add_user(session, email, False, hashed, self.now)
            accounts.set_role(session, self.ids[account], email, role)
        return email

    def connection(self, account: str, name: str, verified: bool = True) -> int:
        """A new connection of that account, with one domain that all its connections share."""
        with self.store.write() as session:
            row = accounts.account_by_name(session, account)
            domain, help_page = f"{account}.example", "https://www.example/help"
            domains.add_domain(session, self.secrets, row, domain, help_page, verified, [], self.now)
            return connections.add_connection(session, self.secrets, row, name, [domain], self.now).connection_id

    def count(self, account: str, **figures: int) -> None:
        """Raise counters of that account, as the relay does."""
        with self.store.write() as session:
            count(session, (Change(self.ids[account], 1, self.now, name, by) for name, by in figures.items()))


class Browser:
    """A client that sends forms like a person: with the token of the page they are on."""

    def __init__(self, app: Flask, address: str = "192.0.2.1") -> None:
        self.client: FlaskClient = app.test_client()
        self.headers = {"X-Forwarded-For": address}

    def get(self, path: str, **headers: str) -> TestResponse:
        """Fetch a page, not following redirects."""
        return self.client.get(path, headers={**self.headers, **headers}, buffered=True)

    def view(self, account: str) -> Browser:
        """As an operator: see the account as its customer does."""
        where = f"/operator/accounts/{account}/"
        assert self.post(f"{where}view", where).status_code == 302
        return self

    def post(self, path: str, page: str, **fields: str) -> TestResponse:
        """Send the form found on ``page`` to ``path``."""
        token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', self.get(page).text)
        assert token, f"no form on {page}"
        return self.client.post(path, data={"csrf_token": token[1], **fields}, headers=self.headers, buffered=True)

    def log_in(self, email: str, password: str = PASSWORD, page: str = "/login") -> TestResponse:
        """Fill in the log-in form."""
        target = re.search(r'name="next"[^>]*value="([^"]*)"', self.get(page).text)
        return self.post("/login", page, email=email, password=password, next=target[1] if target else "")


class Served:
    """The panel in a process of its own, as the relay starts it; ``port`` makes it open its socket itself."""

    _RUN = (
        "import sys; from postmeter import logs; logs.set_up('panel'); "
        "from postmeter.config import load; from postmeter_web.plugin import run; "
        "run(load(None), int(sys.argv[1]) if len(sys.argv) > 1 else None)"
    )

    def __init__(self, house: House, port: int = 0) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0)) if not port else None
        self.address: tuple[str, int] = self._listening.getsockname() if self._listening else ("127.0.0.1", port)
        data, listen = house.settings.server.data, f"127.0.0.1:{self.address[1]}"
        fds = [self._listening.fileno()] if self._listening else []
        self._process = subprocess.Popen(
            [sys.executable, "-c", self._RUN, *map(str, fds)],
            env={
                **_of_plugins(house.settings),
                **os.environ,  # a test may say others
                "PYTHONFAULTHANDLER": "1",
                "POSTMETER_SERVER_DATA": data,
                "POSTMETER_WEB_LISTEN": listen,
            },
            pass_fds=fds,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Served:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Where people reach it."""
        return "http://{}:{}".format(*self.address)

    def connect(self) -> http.client.HTTPConnection:
        """A client that connects when it sends its first request."""
        host, port = self.address
        return http.client.HTTPConnection(host, port, timeout=30)

    def wait(self) -> None:
        """Until the port is open (20 s at most)."""
        for _ in range(400):
            with contextlib.suppress(ConnectionRefusedError):
                socket.create_connection(self.address).close()
                return
            time.sleep(0.05)
        raise TimeoutError(f"nothing listens on {self.address}")

    def stop(self) -> tuple[int, str]:
        """Ask it to go; exit code and what it said on stderr."""
        if self._listening:
            self._listening.close()
        if self._process.stderr and self._process.stderr.closed:
            return self._process.returncode, ""
        self._process.terminate()
        try:
            _, errors = self._process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            self._process.send_signal(signal.SIGABRT)  # faulthandler says where each thread is
            _, errors = self._process.communicate()
            raise AssertionError(f"the panel did not go:\n{errors}") from None
        return self._process.returncode, errors


def _of_plugins(settings: Settings) -> dict[str, str]:
    """The environment that says which plugins there are, and what is set for them."""
    own = {
        f"POSTMETER_PLUGINS_{name}_{key}".upper(): str(value)
        for name, table in settings.plugins.tables.items()
        for key, value in table.items()
    }
    return {**own, "POSTMETER_PLUGINS_ENABLED": ",".join(settings.plugins.enabled)}
