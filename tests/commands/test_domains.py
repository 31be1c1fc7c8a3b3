"""`postmeter domain`: a name of the customer's own that bounces come back to."""

from __future__ import annotations

from typing import Any

import pytest

from support.command import HELP, Cli, printed, told, with_account
from support.names import NameServer

SHOP, BOUNCE, RELAY = "shop.example", "bounce.shop.example", "bounce.relay.example"
HOSTNAME = "mx.relay.example"


@pytest.fixture
def acme(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """An account with a trusted domain, and a relay with a name."""
    monkeypatch.setenv("POSTMETER_SERVER_HOSTNAME", HOSTNAME)
    with_account(cli)
    cli("domain", "add", "acme", SHOP, "--list-help", HELP, "--trust")
    return cli


def checked(cli: Cli, monkeypatch: pytest.MonkeyPatch, **exchanges: list[str]) -> list[str]:
    """The advice of `domain check` about the return path, with these MX records in the DNS."""
    found = {name.replace("_", "."): records for name, records in exchanges.items()}
    with NameServer({f"_dmarc.{SHOP}": ["v=DMARC1; p=none"]}, exchanges=found) as server:
        monkeypatch.setenv("POSTMETER_DELIVERY_RESOLVER", server.address)
        advice: list[str] = printed(cli("domain", "check", SHOP, "--json"))["accounts"][0]["advice"]
        return advice


def test_the_records_to_publish_are_printed(acme: Cli) -> None:
    shown = acme("domain", "set", "acme", SHOP, "--return-path", BOUNCE).stdout
    assert f"{BOUNCE}  MX  10 {HOSTNAME}." in shown
    assert f"{BOUNCE}  TXT  v=spf1 a:{HOSTNAME} -all   (advice)" in shown
    assert f"postmeter domain check {SHOP}" in shown


def test_with_a_domain_of_the_relays_an_alias_is_enough(acme: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTMETER_SMTP_RETURN_PATH", RELAY)
    answer: Any = printed(acme("domain", "set", "acme", SHOP, "--return-path", BOUNCE, "--json"))
    assert answer["return_path"] == BOUNCE
    assert [(one["type"], one["value"]) for one in answer["records"]] == [("CNAME", f"{RELAY}.")]


def test_check_says_what_is_missing_until_it_is_there(acme: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    acme("domain", "set", "acme", SHOP, "--return-path", BOUNCE)
    missing = checked(acme, monkeypatch)
    assert missing[0] == f"{BOUNCE}: There is no MX record."
    assert missing[1].startswith("Publish for the return path: ")
    assert checked(acme, monkeypatch, bounce_shop_example=[f"10 {HOSTNAME}."]) == []


def test_servers_of_the_relays_own_domain_are_ours(acme: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTMETER_SMTP_RETURN_PATH", RELAY)
    acme("domain", "set", "acme", SHOP, "--return-path", BOUNCE)
    records = [f"10 mx2.{RELAY}."]
    assert checked(acme, monkeypatch, bounce_shop_example=records, bounce_relay_example=records) == []


def test_an_empty_name_gives_it_up(acme: Cli) -> None:
    acme("domain", "set", "acme", SHOP, "--return-path", BOUNCE)
    assert "the relay's own domain" in acme("domain", "set", "acme", SHOP, "--return-path", "").stdout


def test_what_cannot_be_one_is_refused(acme: Cli) -> None:
    assert "a name below shop.example" in told(acme("domain", "set", "acme", SHOP, "--return-path", "x.example"), 2)
    assert "no domain other.example" in told(acme("domain", "set", "acme", "other.example", "--return-path", "b"), 2)
