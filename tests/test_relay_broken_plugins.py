"""Plugins that spoil the relay's beginning or its end: what cannot be used is named, what is left is not waited for."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

import pytest

from support.relay import Relay, free_port

LINGERING = """
    import threading
    import time

    from postmeter import Settings, hookimpl

    threading.Thread(target=time.sleep, args=(600,), name="lingering").start()
    asked = []


    @hookimpl
    def services(settings: Settings) -> list[object]:
        asked.append(settings)
        if len(asked) > 1:
            raise ValueError("asked twice")
        return []
"""
LEAVING = """
    import sys

    sys.exit(0)
"""
LEAVING_LATER = """
    import sys

    from postmeter import PluginSettings, hookimpl


    @hookimpl
    def settings_schema() -> type[PluginSettings]:
        sys.exit(0)
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder on the relay's path, to which a plugin called odd was installed."""
    made = tmp_path / "site"
    metadata = made / "odd-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: odd\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[postmeter]\nodd = odd_plugin\n")
    return made


@pytest.fixture
def panel() -> int:
    """The panel's port."""
    return free_port()


@pytest.fixture
def relay(tmp_path: Path, site: Path, panel: int) -> Iterator[Relay]:
    """A relay with the plugin and a panel, not started yet."""
    made = Relay(tmp_path, "127.0.0.1:9", workers=1, plugins=["odd"], environment={"PYTHONPATH": str(site)})
    made.config.write_text(made.config.read_text().replace('listen = ""', f'listen = "127.0.0.1:{panel}"'))
    yield made
    made.kill()


def install(site: Path, module: str) -> None:
    (site / "odd_plugin.py").write_text(textwrap.dedent(module))


@pytest.mark.parametrize("module", [LEAVING, LEAVING_LATER])
def test_a_plugin_that_would_end_the_process_is_an_error_that_names_it(relay: Relay, site: Path, module: str) -> None:
    install(site, module)
    relay.launch()
    assert relay.wait(30) == 3
    line = (
        "postmeter: plugins.enabled: the plugin 'odd' cannot be used: RuntimeError: the plugin raised SystemExit(0)\n"
    )
    assert relay.log() == line
    checked = relay.command("check")
    assert checked.returncode == 1
    assert "the plugin 'odd' cannot be used" in checked.stdout


def test_no_process_waits_for_a_thread_that_a_plugin_has_left_behind(relay: Relay, site: Path, panel: int) -> None:
    install(site, LINGERING)
    relay.start()
    with closing(HTTPConnection("127.0.0.1", panel, timeout=30)) as visitor:
        visitor.request("GET", "/login")
        assert visitor.getresponse().status == 200
    began = time.monotonic()
    assert relay.stop() == 0
    assert time.monotonic() - began < 25  # less than the drain time
    assert "Traceback" not in relay.log()
    assert (
        relay.log().count("does not wait for threads that were left behind: lingering") == 3
    )  # first process, worker and panel


def test_neither_does_a_start_that_fails_or_a_command(relay: Relay, site: Path) -> None:
    install(site, LINGERING)
    relay.config.write_text(relay.config.read_text().replace("[delivery]", '[delivery]\nresolver = "nonsense"'))
    relay.launch()
    assert relay.wait(30) == 3
    assert "Usage: " in relay.command("--help").stdout
