"""`postmeter account set|show|list` and `postmeter connection set`: terms and caps."""

from __future__ import annotations

import pytest

from support.command import Cli, printed, told, with_account

KEYS = [
    "id",
    "name",
    "agreement",
    "blocked",
    "threshold",
    "overdraft_policy",
    "overdraft_cap",
    "overdraft",
    "paid_at",
    "created_at",
    "members",
    "pool",
]


def test_the_terms_of_an_account_are_set_and_shown(cli: Cli) -> None:
    with_account(cli)
    changed = printed(
        cli(
            *("account", "set", "acme", "--threshold", "500", "--agreement", "--overdraft-policy", "always"),
            *("--overdraft-cap", "9000", "--json"),
        )
    )
    assert list(changed) == KEYS
    assert (changed["threshold"], changed["agreement"], changed["overdraft_policy"]) == (500, True, "always")
    assert (changed["overdraft_cap"], changed["paid_at"]) == (9000, None)
    assert changed["members"] == [{"email": "ann@acme.example", "role": "owner"}]
    assert printed(cli("account", "show", "acme", "--json")) == changed
    assert printed(cli("account", "list", "--json")) == [changed]
    assert printed(cli("quota", "show", "acme", "--json"))["threshold"] == 500


def test_what_is_not_named_stays_and_default_takes_it_back(cli: Cli) -> None:
    with_account(cli)
    cli("account", "set", "acme", "--agreement", "--overdraft-policy", "never", "--overdraft-cap", "0")
    people = cli("account", "set", "acme", "--no-agreement", "--overdraft-policy", "default").stdout
    assert "Agreement         no\n" in people
    assert "Overdraft policy  as configured\n" in people
    assert "Overdraft cap     none\n" in people
    back = printed(cli("account", "set", "acme", "--overdraft-cap", "default", "--json"))
    assert (back["overdraft_policy"], back["overdraft_cap"]) == ("default", None)


def test_the_first_paid_block_is_shown(cli: Cli) -> None:
    with_account(cli)
    assert "none yet" in cli("account", "list").stdout
    cli("quota", "book", "acme", "25000")
    assert printed(cli("account", "show", "acme", "--json"))["paid_at"].endswith("Z")
    assert "none yet" not in cli("account", "show", "acme").stdout


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["account", "set", "acme"], "say what to change: --threshold, "),
        (["account", "set", "nobody", "--threshold", "1"], "there is no account 'nobody'"),
        (["account", "show", "nobody"], "there is no account 'nobody'"),
        (["account", "set", "acme", "--overdraft-cap", "much"], "--overdraft-cap is a number of mails up to 1,000,"),
        (["account", "set", "acme", "--overdraft-cap", "1" + "0" * 5000], "--overdraft-cap is a number of mails up to"),
        (["quota", "book", "acme", "25000000000000000000000"], "the largest block has 1,000,000,000,000 mails, not"),
        (["connection", "set", "acme", "shop"], "say what to change: --per-hour, --per-day, --per-month, --priority"),
        (["connection", "set", "acme", "till", "--per-day", "5"], "the account 'acme' has no connection 'till'"),
    ],
)
def test_what_cannot_be_is_told(cli: Cli, arguments: list[str], line: str) -> None:
    with_account(cli)
    assert told(cli(*arguments), 2).startswith(line)


@pytest.mark.parametrize(
    "arguments",
    [
        ("account", "set", "acme", "--threshold"),
        ("connection", "set", "acme", "shop", "--per-hour"),
        ("connection", "set", "acme", "shop", "--per-day"),
        ("connection", "set", "acme", "shop", "--per-month"),
        ("quota", "cancel-renewal", "acme"),
    ],
)
def test_a_number_that_no_database_holds_is_told(cli: Cli, arguments: tuple[str, ...]) -> None:
    with_account(cli)
    result = cli(*arguments, "1000000000000000000000")
    assert result.exit_code == 2
    assert "is not in the range 0<=x<=1000000000000." in result.stderr


def test_there_may_be_no_account(cli: Cli) -> None:
    assert cli("account", "list").stdout == "There are no accounts.\n"


def test_a_connection_gets_caps(cli: Cli) -> None:
    with_account(cli, domain=True)
    cli("connection", "add", "acme", "shop", "--domain", "shop.example")
    caps = printed(cli("connection", "set", "acme", "shop", "--per-hour", "100", "--per-month", "5000", "--json"))
    handling = {"priority": 1, "lifetime": 0, "tls_required": False, "pool": ""}
    assert caps == {"account": "acme", "name": "shop", "per_hour": 100, "per_day": 0, "per_month": 5000, **handling}
    assert "Per day     any number\n" in cli("connection", "set", "acme", "shop", "--per-hour", "0").stdout
