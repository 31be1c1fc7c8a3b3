"""`postmeter webhook`: every command as a person and as a program uses it."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import standardwebhooks

from postmeter.store import events
from postmeter.store.accounts import account_by_name
from postmeter.store.connections import add_connection
from postmeter.store.events import about_account
from support.command import Cli, opened, printed, told
from support.tenants import NOW, SECRETS, make_account, make_domain
from support.web_server import WebServer, saying, web_server

PUBLIC = "https://shop.example/hook"


@pytest.fixture
def cli(cli: Cli, data: Path, sqlite_template: Path) -> Cli:
    """The command, of a relay with the plugin and an account."""
    settings = "[plugins.webhooks]\nallow_private = true\ntimeout = 2\nmax_endpoints = 3\n"
    (data.parent / "postmeter.toml").write_text(f'[plugins]\nenabled = ["webhooks"]\n{settings}')
    data.mkdir(mode=0o700)
    shutil.copyfile(sqlite_template, data / "postmeter.db")
    with opened(data) as store, store.write() as session:
        make_account(session)
    return cli


@pytest.fixture
def connection(cli: Cli, data: Path) -> str:
    """A connection of the account."""
    with opened(data) as store, store.write() as session:
        account = account_by_name(session, "acme")
        make_domain(session, account)
        add_connection(session, SECRETS, account, "web", ["shop.example"], NOW)
    return "web"


@pytest.fixture
def receiver() -> Iterator[WebServer]:
    """A system that takes everything."""
    with web_server() as server:
        yield server


def url(server: WebServer) -> str:
    return f"http://127.0.0.1:{server.port}/hook"


def shown(cli: Cli, number: int = 1) -> Any:
    return printed(cli("webhook", "show", str(number), "--json"))


def happen(data: Path, times: int, *kinds: str) -> None:
    """Have events of the account happen now; no relay runs that would tell them."""
    with opened(data) as store, store.write() as session:
        account = account_by_name(session, "acme").id
        facts = {"left": 3, "threshold": 5}
        events.record(
            session, [about_account(account, kind, time.time(), facts) for _ in range(times) for kind in kinds]
        )


def test_an_endpoint_is_added_and_its_secret_is_shown_only_then(cli: Cli) -> None:
    added = printed(cli("webhook", "add", "acme", PUBLIC, "--json"))
    assert added["endpoint"] == 1
    assert re.fullmatch(r"whsec_[A-Za-z0-9+/]{43}=", added["secret"])
    text = cli("webhook", "add", "acme", PUBLIC).stdout
    assert re.search(r"^Endpoint  2$", text, re.MULTILINE)
    assert re.search(r"^Secret    whsec_\S{44} \(shown only now\)$", text, re.MULTILINE)
    for command in (("list",), ("show", "1"), ("list", "--json"), ("show", "1", "--json")):
        assert "whsec_" not in cli("webhook", *command).output


def test_endpoints_are_listed(cli: Cli, connection: str) -> None:
    assert cli("webhook", "list").stdout == "There are no endpoints.\n"
    types = ("--event", "message.bounced", "--event", "message.complained")
    printed(cli("webhook", "add", "acme", PUBLIC, "--connection", connection, *types, "--json"))
    printed(cli("webhook", "add", "acme", "https://crm.example/", "--json"))
    first, second = printed(cli("webhook", "list", "acme", "--json"))
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", first.pop("created_at"))
    first.pop("alive_at")
    assert first == {
        "endpoint": 1,
        "account": "acme",
        "connection": "web",
        "url": PUBLIC,
        "state": "on",
        "off_at": None,
        "events": ["message.bounced", "message.complained"],
    }
    assert (second["connection"], second["events"]) == (None, [])
    text = cli("webhook", "list").stdout
    assert re.search(r"https://crm\.example/ +all +on$", text, re.MULTILINE)
    assert "message.bounced, message.complained" in text


@pytest.mark.parametrize(
    ("arguments", "exit_code", "complaint"),
    [
        (("nobody", PUBLIC), 2, "there is no account 'nobody'"),
        (("acme", "ftp://shop.example/"), 1, "'ftp://shop.example/' is not a URL such as https://shop.example/path"),
        (("acme", "https://joe:pw@shop.example/"), 1, "is not a URL"),
        (("acme", PUBLIC, "--connection", "till"), 2, "the account has no connection 'till'"),
        (("acme", PUBLIC, "--event", "message.opened"), 2, "'message.opened' is no type of event; there are: message."),
        (("acme", "https://shop.example/" + "a" * 2000), 2, "the URL is longer than 2000 characters"),
    ],
)
def test_what_cannot_be_is_refused(cli: Cli, arguments: tuple[str, ...], exit_code: int, complaint: str) -> None:
    assert complaint in told(cli("webhook", "add", *arguments), exit_code)
    assert printed(cli("webhook", "list", "--json")) == []


def test_an_endpoint_of_a_connection_gets_nothing_of_the_account(cli: Cli, connection: str) -> None:
    refused = cli("webhook", "add", "acme", PUBLIC, "--connection", connection, "--event", "quota.low")
    assert told(refused, 2) == "quota.low is about the whole account; leave --connection out"


def test_an_account_has_no_more_endpoints_than_is_set(cli: Cli) -> None:
    for _ in range(3):
        printed(cli("webhook", "add", "acme", PUBLIC, "--json"))
    assert "has 3 endpoints already" in told(cli("webhook", "add", "acme", PUBLIC), 2)


@pytest.mark.parametrize("unsafe", ["http://shop.example/", "https://10.0.0.1/", "https://[::1]/"])
def test_without_leave_there_is_no_endpoint_inside(cli: Cli, monkeypatch: pytest.MonkeyPatch, unsafe: str) -> None:
    monkeypatch.setenv("POSTMETER_PLUGINS_WEBHOOKS_ALLOW_PRIVATE", "false")
    told(cli("webhook", "add", "acme", unsafe), 1)


def test_a_test_is_sent_at_once_and_the_receiver_can_verify_it(cli: Cli, connection: str, receiver: WebServer) -> None:
    secret = printed(cli("webhook", "add", "acme", url(receiver), "--connection", connection, "--json"))["secret"]
    assert cli("webhook", "test", "1").stdout == "Taken: 200 hello\n"
    head, _, body = receiver.requests[0].partition(b"\r\n\r\n")
    fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
    ping = standardwebhooks.Webhook(secret).verify(body, fields)
    assert (ping["type"], ping["data"]) == ("test.ping", {"account": "acme", "connection": "web", "endpoint": 1})
    (kept,) = shown(cli)["deliveries"]
    assert (kept["type"], kept["state"], kept["status"], kept["attempts"]) == ("test.ping", "delivered", 200, 1)
    assert re.search(r"test\.ping  delivered +1 +200 hello$", cli("webhook", "show", "1").stdout, re.MULTILINE)


def test_a_test_that_fails_says_why(cli: Cli) -> None:
    with web_server(saying(b"HTTP/1.1 500 Oh\r\nContent-Length: 7\r\n\r\noh dear")) as server:
        printed(cli("webhook", "add", "acme", url(server), "--json"))
        failed = cli("webhook", "test", "1", "--json")
        assert failed.exit_code == 1
        assert json.loads(failed.stdout) == {"endpoint": 1, "ok": False, "status": 500, "answer": "500 oh dear"}
    gone = cli("webhook", "test", "1")
    assert (gone.exit_code, gone.stdout) == (1, "Not taken: 127.0.0.1 cannot be reached: Connection refused\n")
    assert [one["state"] for one in shown(cli)["deliveries"]] == ["failed", "failed"]


def test_while_a_secret_is_renewed_both_verify(cli: Cli, receiver: WebServer) -> None:
    old = printed(cli("webhook", "add", "acme", url(receiver), "--json"))["secret"]
    new = printed(cli("webhook", "rotate", "1", "--json"))["secret"]
    assert new != old
    assert cli("webhook", "test", "1").exit_code == 0
    head, _, body = receiver.requests[0].partition(b"\r\n\r\n")
    fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
    for secret in (old, new):
        standardwebhooks.Webhook(secret).verify(body, fields)


def test_an_endpoint_is_switched_off_and_on_and_forgotten(cli: Cli) -> None:
    printed(cli("webhook", "add", "acme", PUBLIC, "--json"))
    assert printed(cli("webhook", "disable", "1", "--json")) == {"endpoint": 1, "enabled": False}
    off_at = shown(cli)["off_at"]
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", off_at)
    assert shown(cli)["state"] == "switched off by hand"
    assert "is switched off" in told(cli("webhook", "replay", "1", "--failed"), 2)
    enabled = printed(cli("webhook", "enable", "1", "--json"))
    assert enabled.pop("off_since")[:19] == off_at[:19]
    assert enabled == {"endpoint": 1, "enabled": True}
    assert (shown(cli)["state"], shown(cli)["off_at"]) == ("on", None)
    assert cli("webhook", "enable", "1").stdout == "Endpoint 1 is called from now on.\n"
    assert printed(cli("webhook", "remove", "1", "--json")) == {"endpoint": 1, "removed": True}
    assert printed(cli("webhook", "list", "--json")) == []


def test_what_is_to_be_sent_again_must_be_said(cli: Cli) -> None:
    printed(cli("webhook", "add", "acme", PUBLIC, "--event", "quota.low", "--json"))
    assert "--since, --event-id or --failed" in told(cli("webhook", "replay", "1"), 2)
    assert "'yesterday' is not a time" in told(cli("webhook", "replay", "1", "--since", "yesterday"), 2)
    today = time.strftime("%Y-%m-%d", time.gmtime())
    for since in (today, f"{today}T00:00", f"{today}T00:00:00Z", f"{today}T02:00+02:00"):
        assert printed(cli("webhook", "replay", "1", "--since", since, "--json")) == {"endpoint": 1, "deliveries": 0}
    assert cli("webhook", "replay", "1", "--event-id", "7").stdout == "0 deliveries will be sent again.\n"


def test_what_happened_while_an_endpoint_was_off_can_be_told_to_it_and_to_no_other(cli: Cli, data: Path) -> None:
    for _ in range(2):
        printed(cli("webhook", "add", "acme", PUBLIC, "--event", "quota.low", "--json"))
    happen(data, 1, "quota_low")
    printed(cli("webhook", "disable", "1", "--json"))
    off = re.compile(r"Endpoint 1 is called from now on; it was off since (\S+Z)\.\n")
    happen(data, 600, "quota_low", "quota_exhausted")
    found = off.fullmatch(cli("webhook", "enable", "1").stdout)
    assert found
    since = ("webhook", "replay", "1", "--since", found[1])
    assert printed(cli(*since, "--failed", "--json"))["deliveries"] == 0
    assert printed(cli(*since, "--json")) == {"endpoint": 1, "deliveries": 600}
    assert printed(cli(*since, "--json"))["deliveries"] == 0  # all of them wait already
    deliveries = printed(cli("webhook", "show", "1", "--limit", "1000", "--json"))["deliveries"]
    assert {(one["type"], one["state"]) for one in deliveries} == {("quota.low", "waiting")}
    told_of = [one["event_id"] for one in deliveries]
    assert told_of == sorted(told_of, reverse=True)
    assert shown(cli, 2)["deliveries"] == []


@pytest.mark.parametrize("command", ["show", "remove", "rotate", "test", "enable", "disable"])
def test_an_endpoint_that_does_not_exist_is_said(cli: Cli, command: str) -> None:
    assert told(cli("webhook", command, "9"), 2) == "there is no endpoint 9"
