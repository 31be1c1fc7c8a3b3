"""Fixtures for the tests of plugins: ``pytest_plugins = ["postmeter.testing"]`` in conftest.py brings them.

``bench`` (with ``core`` and ``clock``) has the plugin in the test's own process and needs milliseconds; ``relay`` runs
it in the real relay, with a ``shop`` that hands mails in and the ``recipients`` that get them, and needs seconds.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from postmeter.config import Plugins as Section
from postmeter.config import Server, Settings
from postmeter.core import Core
from postmeter.hooks import Plugins
from postmeter.testing.recipient_side import Arrived, Recipients
from postmeter.testing.running import HOSTNAME, ORDER, SENDER, Access, Relay, Shop
from postmeter.testing.waiting import wait_until
from postmeter.testing.workbench import CUSTOMER, NOW, Bench, Clock, migrated

__all__ = [
    "CUSTOMER",
    "HOSTNAME",
    "NOW",
    "ORDER",
    "SENDER",
    "Access",
    "Arrived",
    "Bench",
    "Clock",
    "Recipients",
    "Relay",
    "Shop",
    "wait_until",
]

MARK = "plugin_settings"


def pytest_configure(config: pytest.Config) -> None:
    """Make the mark known by which a test sets the plugin's settings."""
    config.addinivalue_line("markers", f"{MARK}(**values): what the table [plugins.NAME] of the configuration says")


@pytest.fixture(scope="session")
def plugin_name() -> str:
    """The name of the plugin under test; the author's conftest.py has the fixture that says it."""
    raise pytest.UsageError("conftest.py needs a fixture plugin_name (scope session) with the plugin's name")


@pytest.fixture(scope="session")
def installed_plugin(plugin_name: str) -> str:
    """The plugin's name, once it is sure that the relay finds it."""
    if Plugins.load(Settings(plugins=Section(enabled=(plugin_name,)))).missing:
        raise pytest.UsageError(f"there is no entry point {plugin_name!r} in the group postmeter: pip install -e .")
    return plugin_name


@pytest.fixture(scope="session")
def migrated_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file with the relay's tables, to be copied."""
    return migrated(tmp_path_factory.mktemp("migrated") / "postmeter.db")


@pytest.fixture
def clock() -> Clock:
    """The time, which the test moves."""
    return Clock()


@pytest.fixture
def bench(
    request: pytest.FixtureRequest, tmp_path: Path, installed_plugin: str, migrated_database: Path, clock: Clock
) -> Iterator[Bench]:
    """The plugin on a database of its own, in this process."""
    folder = tmp_path / "bench"
    folder.mkdir(0o700)
    shutil.copy(migrated_database, folder / "postmeter.db")
    enabled = Section(enabled=(installed_plugin,), tables={installed_plugin: _table(request)})
    settings = Settings(server=Server(hostname=HOSTNAME, data=str(folder)), plugins=enabled)
    made = Bench(settings, Plugins.load(settings), installed_plugin, clock)
    yield made
    made.close()


@pytest.fixture
def core(bench: Bench) -> Core:
    """What the relay offers the plugin."""
    return bench.core


@pytest.fixture(scope="module")
def recipients(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recipients]:
    """The mail server of all recipients."""
    made = Recipients(tmp_path_factory.mktemp("recipients"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def relay(
    request: pytest.FixtureRequest,
    installed_plugin: str,
    recipients: Recipients,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Relay]:
    """The running relay with the plugin, which delivers to ``recipients``; one for each module of tests."""
    lines = "\n".join(f"{key} = {_toml(value)}" for key, value in _table(request).items())
    made = Relay(
        tmp_path_factory.mktemp("relay"),
        f"127.0.0.1:{recipients.port}",
        workers=1,
        settings={f"plugins.{installed_plugin}": lines},
        plugins=[installed_plugin],
    )
    try:
        made.start()
        yield made
        assert made.stop() == 0, made.log()
    finally:
        made.kill()


@pytest.fixture(scope="module")
def shop(relay: Relay) -> Shop:
    """A customer of the relay: the account "shop" with the connection "web shop"."""
    return Shop(relay, relay.set_up())


def _table(request: pytest.FixtureRequest) -> Mapping[str, Any]:
    mark: pytest.Mark | None = request.node.get_closest_marker(MARK)
    return mark.kwargs if mark else {}


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        items = ", ".join(f"{json.dumps(key)} = {_toml(item)}" for key, item in value.items())
        return f"{{ {items} }}"
    return json.dumps(value, ensure_ascii=False)
