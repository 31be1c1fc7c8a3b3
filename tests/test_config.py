"""The settings: file and environment, and that everything wrong is named."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from postmeter import config
from postmeter.config import Settings, address, load
from postmeter.errors import ConfigError


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "postmeter.toml"
    path.write_text(text)
    return path


def test_every_key_is_optional(tmp_path: Path) -> None:
    assert load(None, {}) == load(written(tmp_path, ""), {}) == Settings()
    assert load(None, {}).smtp.submission == ("127.0.0.1:2587",)


def test_the_file_sets_values(tmp_path: Path) -> None:
    settings = load(
        written(
            tmp_path,
            """
            [server]
            hostname = "mail.example.net"
            data = "/var/lib/postmeter"
            workers = 3
            [smtp]
            submission = ["[::1]:587", "127.0.0.1:2525"]
            [delivery]
            routes = { "*" = "127.0.0.1:2525", "example.org" = "10.0.0.5:25" }
            allow_private = true
            """,
        ),
        {},
    )
    assert settings.hostname == "mail.example.net"
    assert settings.worker_count == 3
    assert settings.store_url == "sqlite:////var/lib/postmeter/postmeter.db"
    assert settings.smtp.submission == ("[::1]:587", "127.0.0.1:2525")
    assert settings.delivery.routes == {"*": "127.0.0.1:2525", "example.org": "10.0.0.5:25"}
    assert settings.delivery.allow_private is True


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, '[server]\nhostname = "file.example"\nworkers = 1\n')
    environment = {
        "POSTMETER_SERVER_HOSTNAME": "env.example",
        "POSTMETER_SMTP_SUBMISSION": "127.0.0.1:1, 127.0.0.1:2",
        "POSTMETER_SMTP_REPORTS": "",
        "POSTMETER_SMTP_SUBMISSIONS": '["127.0.0.1:3"]',
        "POSTMETER_DELIVERY_ROUTES": "*=127.0.0.1:2525,example.org=10.0.0.5:25",
        "POSTMETER_DELIVERY_ALLOW_PRIVATE": "true",
        "POSTMETER_DEMO_SIZE": "7",
        "HOME": "/",
    }
    settings = load(path, environment)
    assert (settings.server.hostname, settings.server.workers) == ("env.example", 1)
    assert settings.smtp.submission == ("127.0.0.1:1", "127.0.0.1:2")
    assert settings.smtp.reports == ()
    assert settings.smtp.submissions == ("127.0.0.1:3",)
    assert settings.delivery.routes == {"*": "127.0.0.1:2525", "example.org": "10.0.0.5:25"}
    assert settings.delivery.allow_private is True
    assert settings.demo.size == 7


def test_routes_can_be_an_inline_table_in_the_environment() -> None:
    settings = load(None, {"POSTMETER_DELIVERY_ROUTES": '{ "*" = "127.0.0.1:2525" }'})
    assert settings.delivery.routes == {"*": "127.0.0.1:2525"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[smpt]\n", "unknown section [smpt]"),
        ("[smtp]\nport = 25\n", "unknown setting smtp.port"),
        ("server = 1\n", "server must be a table"),
        ("[server]\nworkers = '4'\n", "server.workers must be a whole number, not '4'"),
        ("[server]\nworkers = -1\n", "server.workers must be at least 0"),
        ("[server]\nworkers = true\n", "server.workers must be a whole number"),
        ("[server]\nhostname = 4\n", "server.hostname must be a text"),
        ("[server]\nhostname = 'm\u00e4il.example'\n", "server.hostname: 'm\u00e4il.example' is not a host name"),
        ("[server]\nhostname = 'mail_1.example'\n", "server.hostname: 'mail_1.example' is not a host name"),
        ("[server]\nhostname = 'mail.-x.example'\n", "server.hostname: 'mail.-x.example' is not a host name"),
        (
            '[server]\nhostname = "mail.example\\r\\nQUIT"\n',
            "server.hostname: 'mail.example\\r\\nQUIT' is not a host name",
        ),
        (f"[server]\nhostname = '{'x' * 64}.example'\n", "is not a host name in ASCII letters"),
        (f"[server]\nhostname = '{'x.' * 127}example'\n", "is not a host name in ASCII letters"),
        ("[server]\ndrain_timeout = 31\n", "server.drain_timeout must be at most 30"),
        ("[smtp]\nsubmission = '127.0.0.1:25'\n", "smtp.submission must be a list of texts"),
        ("[delivery]\nroutes = { a = 1 }\n", "delivery.routes must be a table of texts"),
        ("[delivery]\nallow_private = 1\n", "delivery.allow_private must be true or false"),
        ("[overdraft]\npolicy = 'often'\n", "overdraft.policy must be one of agreement, always, never"),
        ("[server\n", "cannot be read"),
    ],
)
def test_what_is_wrong_in_the_file_is_named(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(told)) as raised:
        load(written(tmp_path, text), {})
    assert raised.value.exit_code == 3


@pytest.mark.parametrize(
    ("variable", "text", "told"),
    [
        ("POSTMETER_SMTP_PORT", "25", "unknown setting smtp.port (environment variable POSTMETER_SMTP_PORT)"),
        ("POSTMETER_SMPT_SUBMISSION", "", "unknown section [smpt] (environment variable POSTMETER_SMPT_SUBMISSION)"),
        ("POSTMETER_HOSTNAME", "x", "unknown section [hostname] (environment variable POSTMETER_HOSTNAME)"),
        ("POSTMETER_SERVER_WORKERS", "many", "server.workers: 'many' is not a whole number"),
        ("POSTMETER_SERVER_WORKERS", "-1", "server.workers: '-1' is not a whole number"),
        ("POSTMETER_DELIVERY_ALLOW_PRIVATE", "maybe", "delivery.allow_private: 'maybe' is not true or false"),
        ("POSTMETER_DELIVERY_ROUTES", "{ broken", "delivery.routes: "),
        ("POSTMETER_DELIVERY_ROUTES", "127.0.0.1:25", "delivery.routes: "),
        ("POSTMETER_SMTP_MAX_MESSAGE_SIZE", "10", "smtp.max_message_size must be at least 1024"),
    ],
)
def test_what_is_wrong_in_the_environment_is_named(variable: str, text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(told)):
        load(None, {variable: text})


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no configuration file .*nothing\.toml"):
        load(tmp_path / "nothing.toml", {})


@pytest.fixture
def machine() -> Iterator[None]:
    """A machine that has not been asked for its name."""
    config._machine.cache_clear()
    yield
    config._machine.cache_clear()


@pytest.mark.usefixtures("machine")
def test_without_a_name_it_is_this_machines_which_is_asked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["host.example"]
    monkeypatch.setattr(socket, "getfqdn", names.pop)
    assert [Settings().hostname, Settings().hostname, load(None, {}).hostname] == ["host.example"] * 3
    assert Settings().worker_count >= 1


@pytest.mark.usefixtures("machine")
def test_a_machine_with_an_odd_name_needs_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getfqdn", lambda: "my_host")
    with pytest.raises(ConfigError, match=r"'my_host' is not a host name in ASCII letters; set server\.hostname"):
        _ = load(None, {}).hostname
    assert load(None, {"POSTMETER_SERVER_HOSTNAME": "localhost"}).hostname == "localhost"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("127.0.0.1:2587", ("127.0.0.1", 2587)), ("[::1]:25", ("::1", 25)), ("mx.example:0", ("mx.example", 0))],
)
def test_an_address_is_host_and_port(text: str, expected: tuple[str, int]) -> None:
    assert address("smtp.submission", text) == expected


@pytest.mark.parametrize("text", ["", "2587", ":2587", "host", "host:", "host:x", "host:65536", "host:-1"])
def test_what_is_no_address_is_named(text: str) -> None:
    with pytest.raises(ConfigError, match=r"smtp\.submission: .* is not an address"):
        address("smtp.submission", text)
