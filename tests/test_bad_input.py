"""`postmeter up` with what cannot work: one clear line, the right exit code, and nothing is lost."""

from __future__ import annotations

import hashlib
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from support.mail_sink import certificate
from support.relay import ACCOUNT, Relay

CONFIG_ERROR, UNREACHABLE, OTHER = 3, 4, 1  # exit codes


@pytest.fixture
def relay(tmp_path: Path) -> Iterator[Relay]:
    """A relay that has not been started."""
    made = Relay(tmp_path, "127.0.0.1:9", workers=1)
    yield made
    made.kill()


def change(relay: Relay, old: str, new: str) -> None:
    """Edit the configuration."""
    text = relay.config.read_text()
    assert old in text
    relay.config.write_text(text.replace(old, new))


def refused(relay: Relay) -> tuple[int, str]:
    """Exit code of `up` and the one line that it says."""
    relay.launch()
    code = relay.wait(20)
    assert relay.out() == ""
    (line,) = relay.log().splitlines()
    assert line.startswith("postmeter: ")
    return code, line


def digest(folder: Path) -> dict[str, str]:
    """What is in a folder, except for what only says who runs."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "lock")
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("workers =", "wokers =", "server.wokers"),
        ("[web]", "[wbe]", "[wbe]"),
        ("workers = 1", 'workers = "many"', "server.workers"),
        ("workers = 1", "workers = -1", "server.workers"),
        ('listen = ""', 'listen = "', "postmeter.toml"),
        ('submission = ["127.0.0.1:', 'submission = ["127.0.0.1-', "smtp.submission"),
        ('"127.0.0.1:9"', '"somewhere"', "delivery.routes"),
    ],
    ids=["key", "section", "type", "range", "no TOML", "address", "route"],
)
def test_a_wrong_setting_is_named(old: str, new: str, named: str, relay: Relay) -> None:
    change(relay, old, new)
    code, line = refused(relay)
    assert code == CONFIG_ERROR
    assert named in line


def test_a_missing_configuration_is_named(relay: Relay) -> None:
    relay.config.unlink()
    code, line = refused(relay)
    assert code == CONFIG_ERROR
    assert str(relay.config) in line


def test_a_port_in_use_is_named(relay: Relay) -> None:
    with socket.create_server(("127.0.0.1", relay.port)):
        code, line = refused(relay)
    assert code == UNREACHABLE
    assert f"127.0.0.1:{relay.port}" in line
    assert "in use" in line


def test_the_first_operators_password_is_shown_when_the_relay_starts_at_last(relay: Relay) -> None:
    with socket.create_server(("127.0.0.1", relay.port)):
        refused(relay)
    relay.start()
    assert "first operator" in relay.out()
    assert relay.stop() == 0


def test_a_data_folder_that_cannot_be_made_is_named(relay: Relay) -> None:
    relay.data.write_text("a file where the folder should be")
    code, line = refused(relay)
    assert code == UNREACHABLE
    assert str(relay.data) in line
    assert relay.data.read_text() == "a file where the folder should be"


def test_a_data_folder_on_a_read_only_file_system_is_named(relay: Relay) -> None:
    change(relay, f'data = "{relay.data}"', 'data = "/proc/postmeter"')
    code, line = refused(relay)
    assert code == UNREACHABLE
    assert "/proc/postmeter" in line


def test_a_key_of_another_certificate_is_named(relay: Relay) -> None:
    (relay.folder / "one.pem").write_bytes(certificate("mail.test")[0])
    (relay.folder / "other.key").write_bytes(certificate("mail.test")[1])
    change(relay, "[smtp]", '[smtp]\ncertificate = "one.pem"\nprivate_key = "other.key"')
    code, line = refused(relay)
    assert code == CONFIG_ERROR
    assert "smtp.private_key" in line
    assert "other.key" in line


@pytest.mark.parametrize("content", [None, "", "not a certificate"], ids=["missing", "empty", "text"])
def test_a_certificate_that_is_none_is_named(content: str | None, relay: Relay) -> None:
    if content is not None:
        (relay.folder / "one.pem").write_text(content)
    change(relay, "[smtp]", '[smtp]\ncertificate = "one.pem"')
    code, line = refused(relay)
    assert code == CONFIG_ERROR
    assert "smtp.certificate" in line
    assert "one.pem" in line


def test_a_database_of_a_newer_version_is_left_alone(relay: Relay) -> None:
    relay.cli("account", "add", ACCOUNT, "--owner", "owner@shop.example")
    with closing(sqlite3.connect(relay.database)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    before = digest(relay.data)
    code, line = refused(relay)
    assert code == OTHER
    assert "newer" in line
    assert "9999" in line
    assert digest(relay.data)["postmeter.db"] == before["postmeter.db"]


def test_a_file_that_is_no_database_is_left_alone(relay: Relay) -> None:
    relay.cli("account", "add", ACCOUNT, "--owner", "owner@shop.example")
    relay.database.write_bytes(b"something else " * 1000)
    code, line = refused(relay)
    assert code == UNREACHABLE
    assert "database" in line
    assert relay.database.read_bytes() == b"something else " * 1000


def test_a_second_relay_on_the_same_data_goes_away(relay: Relay, tmp_path: Path) -> None:
    relay.start()
    (tmp_path / "second").mkdir()
    second = Relay(tmp_path / "second", "127.0.0.1:9", workers=1)
    change(second, f'data = "{second.data}"', f'data = "{relay.data}"')
    code, line = refused(second)
    assert code == UNREACHABLE
    assert "runs already" in line
    with socket.create_connection(("127.0.0.1", relay.port), timeout=10) as client:
        assert client.recv(4) == b"220 "
    assert relay.stop() == 0
