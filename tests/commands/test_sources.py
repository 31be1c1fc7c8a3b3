"""`postmeter source`, and the pools that accounts and connections are given."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from postmeter.health import doors, names
from postmeter.health.finding import problem
from postmeter.store import sources
from postmeter.store.sources import DAY, Figures, Key, day_of
from support.command import Cli, opened, printed, told, with_account

POOLS = "transactional=127.0.0.2=mx1.test 192.0.2.1=mx2.test,probation=127.0.0.2=mx1.test"


@pytest.fixture(autouse=True)
def pools(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two pools, with an address that no machine has; nobody asks the DNS."""
    monkeypatch.setenv("POSTMETER_DELIVERY_POOLS", POOLS)
    monkeypatch.setenv("POSTMETER_SERVER_HOSTNAME", "mail.test")
    monkeypatch.setattr(doors, "is_public", lambda name: False)


def use(data: Path, days: dict[int, Figures], address: str = "127.0.0.2") -> int:
    """So much left for Google so many days ago; when today began."""
    today = day_of(time.time())
    with opened(data) as store, store.write() as session:
        sources.add(session, [{Key(address, today - back * DAY, "Google"): one for back, one in days.items()}])
    return today


def test_the_addresses_are_listed_with_what_may_leave_from_them(cli: Cli, data: Path) -> None:
    with_account(cli)
    use(data, {2: Figures(100, 100), 1: Figures(100, 90, 10), 0: Figures(30, 30)})
    first, second = printed(cli("source", "list", "--json"))
    assert (first["address"], first["pools"], first["name"]) == (
        "127.0.0.2",
        ["transactional", "probation"],
        "mx1.test",
    )
    assert first["declared_warm"] is False
    [google] = first["providers"]
    assert google == {"provider": "Google", "days": 1, "today": 30, "paused": True, "declared": False, "cap": 100}
    assert (second["address"], second["first_used"], second["providers"]) == ("192.0.2.1", None, [])
    assert [finding["state"] for finding in first["findings"] + second["findings"]] == ["warning", "problem"]
    people = cli("source", "list").stdout
    assert "Google 30 of 100 (growth pauses)" in people
    assert "this machine does not have 192.0.2.1 of transactional: no mail leaves from it" in people


def test_a_warm_address_has_no_cap(cli: Cli, data: Path) -> None:
    with_account(cli)
    use(data, {0: Figures(30, 30)})
    assert cli("source", "warm", "127.0.0.2").stdout == "127.0.0.2 counts as warm; workers know within seconds.\n"
    assert printed(cli("source", "list", "--json"))[0]["providers"][0]["cap"] is None
    assert "declared warm; mail leaves from 127.0.0.2" in cli("source", "list").stdout
    assert printed(cli("source", "warm", "127.0.0.2", "--undo", "--json"))["declared_warm"] is False
    assert printed(cli("source", "list", "--json"))[0]["providers"][0]["cap"] == 50
    assert told(cli("source", "warm", "127.0.0.2", "--undo"), 2) == "nobody has declared 127.0.0.2 warm"
    assert told(cli("source", "warm", "mx1"), 2).startswith("'mx1' is no address such as 203.0.113.5")


def test_without_caps_only_the_use_is_told(cli: Cli, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_account(cli)
    use(data, {0: Figures(3_000, 3_000)})
    monkeypatch.setenv("POSTMETER_DELIVERY_WARM_UP", "false")
    assert "Google 3,000   " in cli("source", "list").stdout
    monkeypatch.setenv("POSTMETER_DELIVERY_ROUTES", "*=127.0.0.1:2525")
    assert cli("source", "list").stdout == "All mail goes to a server that delivers it from its own.\n"


def test_the_names_of_public_addresses_are_looked_up(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTMETER_DELIVERY_POOLS", "transactional=8.8.8.7=mx1.example.net")
    monkeypatch.setattr(doors, "is_public", lambda name: name == "mx1.example.net")
    monkeypatch.setattr(
        names, "reverse", lambda one, lookup: problem("reverse DNS", f"{one.address} has no PTR record")
    )
    [one] = printed(cli("source", "list", "--json"))
    assert [finding["check"] for finding in one["findings"]] == ["source addresses", "reverse DNS"]


def test_accounts_and_connections_are_given_pools(cli: Cli) -> None:
    with_account(cli, domain=True)
    cli("connection", "add", "acme", "shop", "--domain", "shop.example")
    assert printed(cli("account", "set", "acme", "--pool", "probation", "--json"))["pool"] == "probation"
    assert "Pool              probation\n" in cli("account", "show", "acme").stdout
    assert printed(cli("account", "set", "acme", "--pool", "default", "--json"))["pool"] == ""
    assert printed(cli("connection", "set", "acme", "shop", "--pool", "probation", "--json"))["pool"] == "probation"
    assert "Pool        its account's\n" in cli("connection", "set", "acme", "shop", "--pool", "default").stdout
    line = "there is no pool 'bulk'; there are: transactional, probation"
    assert told(cli("account", "set", "acme", "--pool", "bulk"), 2) == line
    assert told(cli("connection", "set", "acme", "shop", "--pool", "bulk"), 2) == line


def test_a_pool_that_is_there_no_more_is_found_by_check(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    with_account(cli)
    cli("account", "set", "acme", "--pool", "probation")
    monkeypatch.setenv("POSTMETER_DELIVERY_POOLS", "transactional=127.0.0.2=mx1.test")
    monkeypatch.setenv("POSTMETER_DELIVERY_RESOLVER", "127.0.0.1:1")
    found = [one for one in cli("check", "--json").stdout.splitlines() if "should leave from" in one]
    assert found == ['    "text": "acme should leave from probation, which delivery.pools does not have",']
