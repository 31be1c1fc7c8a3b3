"""`postmeter up` as it is started from a terminal: what it says, once and again."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.relay import HOSTNAME, Relay, free_port


@pytest.fixture
def panel() -> int:
    """The panel's port."""
    return free_port()


@pytest.fixture
def relay(tmp_path: Path, panel: int) -> Iterator[Relay]:
    """A relay with a panel and several addresses, not started yet."""
    made = Relay(tmp_path, "127.0.0.1:9", workers=1)
    text = made.config.read_text().replace('listen = ""', f'listen = "127.0.0.1:{panel}"')
    made.config.write_text(text.replace(f'"127.0.0.1:{made.port}"', f'"127.0.0.1:{made.port}", "[::1]:{made.port}"'))
    yield made
    made.kill()


def test_it_names_all_addresses_and_the_first_operators_password_only_once(relay: Relay, panel: int) -> None:
    relay.start()
    first, ready = relay.out().splitlines()
    found = re.fullmatch(r"first operator of the panel: (\S+) with password (\S+) \(shown only now\)", first)
    assert found is not None
    assert found[1] == f"operator@{HOSTNAME}"
    assert ready == (
        f"ready: submission 127.0.0.1:{relay.port} (STARTTLS), submission [::1]:{relay.port} (STARTTLS), "
        f"submissions 127.0.0.1:{relay.tls_port} (TLS), panel http://127.0.0.1:{panel}/"
    )
    assert relay.stop() == 0
    relay.start()
    assert relay.out().splitlines() == [ready]
    assert relay.stop() == 0
    assert found[2] not in relay.log()


def test_a_port_of_the_panel_in_use_is_told_in_one_line(relay: Relay, panel: int) -> None:
    with socket.create_server(("127.0.0.1", panel)):
        relay.launch()
        assert relay.wait(30) == 4
    (line,) = relay.log().splitlines()
    assert line.startswith(f"postmeter: the address of panel: cannot listen on 127.0.0.1:{panel}: the port is in use")
    assert relay.out() == ""


@pytest.mark.parametrize("hostname", ["", "localhost", f"{'x' * 60}.{'y' * 60}.{'z' * 60}.{'w' * 60}.example"])
def test_it_starts_whatever_the_machine_is_called(relay: Relay, hostname: str) -> None:
    relay.config.write_text(relay.config.read_text().replace(f'hostname = "{HOSTNAME}"', f'hostname = "{hostname}"'))
    relay.start()
    assert re.match(r"first operator of the panel: operator@\S+\.\S+ with password \S+ ", relay.out())
    assert relay.set_up().username
    assert relay.stop() == 0
