"""`postmeter billing`: as an operator uses it, from the address to the invoice's file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from postmeter_billing.texts import TEXTS
from support.billing import ADDRESS, SELLER
from support.command import Cli, printed, told, with_account


@pytest.fixture
def shop(cli: Cli, tmp_path: Path) -> Cli:
    """The account acme, with a block, at an operator who says who sells."""
    settings = "\n".join(f"{name} = {json.dumps(value)}" for name, value in SELLER.items())
    (tmp_path / "postmeter.toml").write_text(
        f'[plugins]\nenabled = ["billing"]\n[plugins.billing]\n{settings}\n', "utf-8"
    )
    with_account(cli)
    printed(cli("quota", "book", "acme", "25000", "--json"))
    return cli


@pytest.fixture
def number(shop: Cli) -> str:
    """The number of an invoice of 23.75 EUR and VAT."""
    enter_address(shop)
    (outcome,) = printed(shop("billing", "run", "--json"))
    assert (outcome["account"], outcome["gross"], outcome["why"]) == ("acme", "28.26", "")
    return str(outcome["number"])


def enter_address(cli: Cli, **changes: str) -> Any:
    options = [f"--{name.replace('_', '-')}={value}" for name, value in (ADDRESS | changes).items()]
    return printed(cli("billing", "address", "acme", *options, "--json"))


def test_an_address_is_entered_changed_and_shown(shop: Cli) -> None:
    assert "no billing address" in told(shop("billing", "address", "acme"), 2)
    entered = enter_address(shop)
    assert {name: entered[name] for name in ADDRESS} == ADDRESS
    assert printed(shop("billing", "address", "acme", "--city", "Ulm", "--reverse-charge", "--json"))["city"] == "Ulm"
    assert printed(shop("billing", "address", "acme", "--json"))["reverse_charge"] is True
    shown = shop("billing", "address", "acme").stdout
    assert "City            Ulm" in shown
    assert "Vat id          DE987654321" in shown


def test_billing_begins_on_the_day_that_is_said(shop: Cli) -> None:
    assert "still to come" in told(shop("billing", "address", "acme", "--from", "2999-01-01"), 2)
    assert "no billing address" in told(shop("billing", "address", "acme", "--from", "2020-01-01"), 2)
    assert enter_address(shop)["from"] is None
    assert printed(shop("billing", "address", "acme", "--from", "2020-01-01", "--json"))["from"] == "2020-01-01"
    assert printed(shop("billing", "address", "acme", "--json"))["from"] == "2020-01-01"


def test_a_run_says_what_it_has_written_and_for_whom_it_could_not(shop: Cli) -> None:
    assert "acme     no billing address" in shop("billing", "run").stdout
    enter_address(shop)
    assert shop("billing", "run").stdout.splitlines()[1].split()[::2] == ["acme", "28.26"]
    assert "billed already" in shop("billing", "run", "--account", "acme").stdout
    assert "still to come" in told(shop("billing", "run", "--date", "2999-01-01"), 2)


def test_a_run_that_failed_for_an_account_says_so_and_ends_with_1(shop: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    printed(shop("account", "add", "zeta", "--owner", "zoe@zeta.example", "--json"))
    enter_address(shop, language="de")
    monkeypatch.delitem(TEXTS, "de")
    result = shop("billing", "run", "--json")
    assert result.exit_code == 1
    outcomes = json.loads(result.stdout)
    assert [(one["account"], one["failed"], one["why"]) for one in outcomes] == [
        ("acme", True, "failed: KeyError: 'de'"),
        ("zeta", False, "nothing to bill"),
    ]
    result = shop("billing", "run")
    assert (result.exit_code, result.stdout.splitlines()[1].split()) == (1, ["acme", "failed:", "KeyError:", "'de'"])


def test_invoices_are_listed(shop: Cli, number: str) -> None:
    (row,) = printed(shop("billing", "list", "--account", "acme", "--json"))
    assert (row["number"], row["account"], row["net"], row["vat"], row["gross"], row["corrects"]) == (
        *(number, "acme", "23.75", "4.51", "28.26"),
        None,
    )
    assert printed(shop("billing", "list", "--to", "2020-01-01", "--json")) == []
    assert printed(shop("billing", "list", "--from", "2020-01-01", "--json")) == [row]
    assert shop("billing", "list").stdout.splitlines()[1].startswith(number)


def test_an_invoice_is_shown(shop: Cli, number: str) -> None:
    assert printed(shop("billing", "show", number, "--json"))["gross"] == "28.26"
    shown = shop("billing", "show", number).stdout
    for text in (f"Number         {number}", "Block of 25,000 mails", "0.00095  23.75", "Total        28.26 EUR"):
        assert text in shown
    assert told(shop("billing", "show", "1"), 2) == "there is no invoice '1'"


@pytest.mark.parametrize(
    ("kind", "begin"),
    [("pdf", b"%PDF-"), ("zugferd", b"%PDF-"), ("xrechnung", b"<?xml"), ("csv", b"number,date"), ("json", b"{\n")],
)
def test_an_invoice_is_exported(shop: Cli, number: str, kind: str, begin: bytes, tmp_path: Path) -> None:
    path = tmp_path / f"invoice.{kind}"
    assert shop("billing", "export", number, "--format", kind, "--output", str(path)).exit_code == 0
    made = path.read_bytes()
    assert made.startswith(begin)
    assert shop("billing", "export", number, "--format", kind).stdout_bytes == made


def test_what_cannot_be_exported_leaves_no_file(shop: Cli, number: str, tmp_path: Path) -> None:
    printed(shop("billing", "address", "acme", "--reference", "", "--json"))
    again = printed(shop("billing", "cancel", number, "--anew", "--json"))[1]["number"]
    path = tmp_path / "invoice.xml"
    said = told(shop("billing", "export", again, "--format", "xrechnung", "--output", str(path)), 2)
    assert said.endswith("lacks what this format needs: buyer.reference")
    assert not path.exists()


def test_an_invoice_is_taken_back(shop: Cli, number: str) -> None:
    (back,) = printed(shop("billing", "cancel", number, "--json"))
    assert (back["corrects"], back["gross"]) == (number, "-28.26")
    assert "taken back already" in told(shop("billing", "cancel", number), 2)
