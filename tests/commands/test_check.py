"""`postmeter check`: what it finds, on a relay that is well and on one that is not."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from cryptography.x509 import load_pem_x509_certificate
from sqlalchemy import text

from postmeter.config import Server, Settings
from postmeter.health import doors, ground
from postmeter.server.tls import files
from support.command import Cli, opened, with_account
from support.mail_sink import certificate
from support.names import NameServer
from support.postage import accept, submission

DAY = 86_400  # seconds


@pytest.fixture
def checked(cli: Cli, data: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], dict[str, list[dict[str, str]]]]:
    """The findings of `check`, by what was looked at, on ports that are free and without the DNS."""
    ports = [free_port() for _ in range(3)]
    monkeypatch.setenv("POSTMETER_SMTP_SUBMISSION", f"127.0.0.1:{ports[0]}")
    monkeypatch.setenv("POSTMETER_SMTP_SUBMISSIONS", f"127.0.0.1:{ports[1]}")
    monkeypatch.setenv("POSTMETER_WEB_LISTEN", f"127.0.0.1:{ports[2]}")
    monkeypatch.setenv("POSTMETER_DELIVERY_ROUTES", "*=127.0.0.1:2525")
    monkeypatch.setenv("POSTMETER_SERVER_HOSTNAME", "mail.test")

    def check() -> dict[str, list[dict[str, str]]]:
        result = cli("check", "--json")
        found: dict[str, list[dict[str, str]]] = {}
        for finding in json.loads(result.stdout):
            assert list(finding) == ["check", "state", "text", "mend"]
            found.setdefault(finding["check"], []).append(finding)
        problems = [f for findings in found.values() for f in findings if f["state"] == "problem"]
        assert result.exit_code == (1 if problems else 0)
        return found

    return check


def free_port() -> int:
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        port: int = door.getsockname()[1]
        return port


@contextmanager
def answering(greeting: bytes) -> Iterator[str]:
    """A server that greets once; its address."""
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        door.listen()

        def greet() -> None:
            link, _ = door.accept()
            with link:
                link.sendall(greeting)

        thread = threading.Thread(target=greet)
        thread.start()
        yield f"127.0.0.1:{door.getsockname()[1]}"
        thread.join()


Checked = Callable[[], dict[str, list[dict[str, str]]]]


def test_before_the_first_start_nothing_is_wrong_and_nothing_is_made(checked: Checked, data: Path) -> None:
    found = checked()
    assert [f for findings in found.values() for f in findings if f["state"] == "problem"] == []
    assert set(found) - {"clock synchronisation"} == {  # which not every kernel tells
        "configuration",
        "data folder",
        "disk",
        "database",
        "clock",
        "plugins",
        "ports",
        "certificate",
        "host name",
        "DNS",
        "source addresses",
        "port 25 outwards",
        "panel",
        "second factor",
        "reports",
    }
    assert [f["text"].partition(" (")[2] for f in found["ports"]] == [
        "smtp.submission) is free",
        "smtp.submissions) is free",
        "web.listen) is free",
    ]
    assert not data.exists()


def test_after_it_the_database_is_opened(cli: Cli, checked: Checked) -> None:
    with_account(cli)
    assert checked()["database"][0]["text"].startswith("SQLite answers, tables of step ")


def test_a_newer_database_is_a_problem(cli: Cli, checked: Checked, data: Path) -> None:
    with_account(cli)
    with opened(data) as store, store.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    assert checked()["database"][0]["state"] == "problem"


def test_our_own_greeting_is_fine_and_another_is_not(checked: Checked, monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(b"220 mail.test ESMTP\r\n") as ours, answering(b"220 other ESMTP Exim\r\n") as other:
        monkeypatch.setenv("POSTMETER_SMTP_SUBMISSION", f"{ours},{other}")
        mine, foreign, *_ = checked()["ports"]
    assert (mine["state"], mine["text"]) == ("ok", f"{ours} (smtp.submission) answers")
    assert foreign["state"] == "problem"
    assert "220 other ESMTP Exim" in foreign["text"]
    assert foreign["mend"]


def test_an_address_that_cannot_be_had_is_a_problem(checked: Checked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTMETER_SMTP_SUBMISSION", "192.0.2.1:2587,nonsense")
    assert [f["state"] for f in checked()["ports"]] == ["problem", "problem"]


def test_the_certificate_must_belong_to_its_key(checked: Checked, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = [files(Settings(server=Server(data=str(folder)))) for folder in folders(data)]
    certificate, key, other_key = one.certificate, one.key, other.key
    monkeypatch.setenv("POSTMETER_SMTP_CERTIFICATE", str(certificate))
    monkeypatch.setenv("POSTMETER_SMTP_PRIVATE_KEY", str(key))
    assert checked()["certificate"][0]["state"] == "ok"
    monkeypatch.setenv("POSTMETER_SMTP_PRIVATE_KEY", str(other_key))
    assert "does not belong to" in checked()["certificate"][0]["text"]
    monkeypatch.setenv("POSTMETER_SMTP_PRIVATE_KEY", str(certificate))
    assert "is not PEM" in checked()["certificate"][0]["text"]
    monkeypatch.setenv("POSTMETER_SMTP_CERTIFICATE", "nothing.pem")
    assert "cannot be read" in checked()["certificate"][0]["text"]


@pytest.mark.parametrize(
    ("free", "files", "state"),
    [
        (20 << 30, 500_000, "ok"),
        (4 << 30, 500_000, "warning"),
        (500 << 20, 500_000, "problem"),  # less than server.min_free_bytes
        (9 << 30, 500_000, "problem"),  # less than server.min_free_percent
        (20 << 30, 50_000, "problem"),  # the same of the inodes
    ],
)
def test_little_disk_is_told_before_it_is_full(
    free: int, files: int, state: str, checked: Checked, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = (100 << 30 if free == 9 << 30 else 2 * free) // 4096
    disk = SimpleNamespace(f_frsize=4096, f_bavail=free // 4096, f_blocks=blocks, f_files=1_000_000, f_favail=files)
    monkeypatch.setattr(os, "statvfs", lambda path: disk)
    [found] = checked()["disk"]
    assert found["state"] == state
    assert bool(found["mend"]) is (state != "ok")


def clock_of(monkeypatch: pytest.MonkeyPatch, module: ModuleType, ahead: float) -> None:
    """Let ``check`` see a clock that is so many seconds ahead."""
    monkeypatch.setattr(module, "time", SimpleNamespace(time=lambda: time.time() + ahead))


def test_a_clock_of_long_ago_is_a_problem(checked: Checked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ground, "time", SimpleNamespace(time=lambda: 86_400.0))
    [found] = checked()["clock"]
    assert (found["state"], found["text"]) == ("problem", "it says 1970-01-02T00:00:00Z, which is long ago")
    assert "chrony" in found["mend"]


def test_a_clock_behind_the_newest_message_is_a_problem(
    cli: Cli, checked: Checked, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_account(cli)
    with opened(data) as store:
        accept(store, submission(at=time.time() + 3600))
    [found] = checked()["clock"]
    assert found["state"] == "problem"
    assert "but the newest message is of" in found["text"]
    clock_of(monkeypatch, ground, 3600)
    assert checked()["clock"][0]["state"] == "ok"


def test_a_certificate_that_ends_is_told(checked: Checked, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, content in zip(("one.pem", "one.key"), certificate("mail.test"), strict=True):
        (data.parent / name).write_bytes(content)
    monkeypatch.setenv("POSTMETER_SMTP_CERTIFICATE", "one.pem")
    monkeypatch.setenv("POSTMETER_SMTP_PRIVATE_KEY", "one.key")
    end = load_pem_x509_certificate((data.parent / "one.pem").read_bytes()).not_valid_after_utc.timestamp()
    for moment, state in ((end - 15 * DAY, "ok"), (end - 13 * DAY, "warning"), (end + DAY, "problem")):
        clock_of(monkeypatch, doors, moment - time.time())
        [found] = checked()["certificate"]
        assert found["state"] == state
        assert ("renew it" in found["mend"]) == (state != "ok")


def folders(data: Path) -> list[Path]:
    made = [data.parent / "one", data.parent / "two"]
    for folder in made:
        folder.mkdir()
    return made


def test_a_dns_server_that_is_away_is_a_problem(checked: Checked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("postmeter.looking.LIFETIME", 0.3)
    monkeypatch.setenv("POSTMETER_DELIVERY_ROUTES", "{}")
    monkeypatch.setenv("POSTMETER_DELIVERY_RESOLVER", f"127.0.0.1:{free_port()}")
    assert checked()["DNS"][0]["state"] == "problem"
    with NameServer({}) as server:
        monkeypatch.setenv("POSTMETER_DELIVERY_RESOLVER", server.address)
        assert checked()["DNS"][0]["state"] == "ok"


def test_what_others_can_read_is_a_warning(cli: Cli, checked: Checked, data: Path) -> None:
    with_account(cli)
    (data / "secret.key").chmod(0o644)
    assert [f["mend"] for f in checked()["data folder"] if f["state"] == "warning"] == ["chmod go= data/secret.key"]


def test_people_are_told_how_to_mend(cli: Cli, checked: Checked) -> None:
    result = cli("check")
    assert result.exit_code == 0
    assert "ok       configuration: " in result.stdout
    assert "\n         set server.hostname to a name" in result.stdout


def test_an_enabled_plugin_that_is_missing_is_a_warning(checked: Checked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTMETER_PLUGINS_ENABLED", "nothing")
    assert checked()["plugins"][0]["text"] == "enabled but not installed: nothing"
    monkeypatch.setenv("POSTMETER_PLUGINS_ENABLED", "")
    assert checked()["plugins"][0]["state"] == "ok"


def test_a_setting_of_a_plugin_that_does_not_exist_is_a_problem(
    checked: Checked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POSTMETER_PLUGINS_WEB_COLOUR", "red")
    found = checked()["plugins"][0]
    assert (found["state"], "unknown setting plugins.web" in found["text"]) == ("problem", True)


@pytest.mark.parametrize(
    ("variable", "text", "told"),
    [
        ("PROVIDERS", "[Google]\nconnections = 0\n", "Google.connections must be a whole number"),
        ("BOUNCE_RULES", "[[rule]\n", "delivery.bounce_rules: "),
    ],
)
def test_a_file_about_delivery_that_is_wrong_is_a_problem(
    checked: Callable[[], dict[str, list[dict[str, str]]]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    variable: str,
    text: str,
    told: str,
) -> None:
    file = tmp_path / "own.toml"
    file.write_text(text)
    monkeypatch.setenv(f"POSTMETER_DELIVERY_{variable}", str(file))
    [finding] = checked()["configuration"]
    assert (finding["state"], finding["mend"]) == ("problem", "mend that: the relay does not start with it")
    assert told in finding["text"]
    assert str(file) in finding["text"]
