"""`postmeter key`: a new key in the place of an old one, seen by the look at the domain."""

from __future__ import annotations

from typing import Any

import pytest

from support.command import HELP, Cli, printed, told, with_account
from support.names import NameServer

SHOP = "shop.example"


def states(cli: Cli, *of: str) -> list[str]:
    return [key["state"] for key in printed(cli("key", "list", *of, "--json"))]


def looked(cli: Cli, monkeypatch: pytest.MonkeyPatch, records: list[dict[str, Any]]) -> Any:
    """What `domain check` says with these records in the DNS."""
    with NameServer({record["name"]: [record["value"]] for record in records}) as server:
        monkeypatch.setenv("POSTMETER_DELIVERY_RESOLVER", server.address)
        return printed(cli("domain", "check", SHOP, "--json"))["accounts"][0]


def test_a_customers_key_is_replaced_when_its_record_is_there(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    with_account(cli)
    first = printed(cli("domain", "add", "acme", SHOP, "--list-help", HELP, "--json"))["records"]
    assert "not verified" in told(cli("key", "rotate", SHOP, "--account", "acme"), 2)
    assert looked(cli, monkeypatch, first)["verified"]
    new = printed(cli("key", "rotate", SHOP, "--account", "acme", "--json"))
    assert looked(cli, monkeypatch, first)["verified"]
    assert states(cli, "--account", "acme") == ["active", "waiting"]
    result = looked(cli, monkeypatch, [*first, *new["records"]])
    assert (result["verified"], result["problems"]) == (True, [])
    assert result["records"][0] == new["records"][0]
    assert states(cli, "--account", "acme") == ["active", "retired"]
    assert "its record may be removed at 2" in cli("key", "list", "--account", "acme").stdout


def test_the_operators_own_key_waits_and_can_be_given_up(cli: Cli) -> None:
    with_account(cli)
    assert cli("key", "list").stdout == "There is no key.\n"
    assert "make one with `postmeter key add`" in told(cli("key", "rotate", "relay.example"), 2)
    cli("key", "add", "relay.example")
    shown = cli("key", "rotate", "Relay.Example").stdout
    assert "Publish in addition to what is there:" in shown
    assert states(cli) == ["active", "waiting"]
    selector = shown.split("._domainkey")[0].split()[-1]
    assert "waits" in told(cli("key", "cancel", "relay.example", "pm0"), 2)
    assert cli("key", "cancel", "relay.example", selector).exit_code == 0
    assert states(cli) == ["active"]


def test_only_an_accounts_own_domain_gets_a_new_key(cli: Cli) -> None:
    with_account(cli)
    assert "has no domain other.example" in told(cli("key", "rotate", "other.example", "--account", "acme"), 2)
