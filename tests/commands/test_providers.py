"""`postmeter provider`: suspended, listed, resumed; and an account that may not send for a while."""

from __future__ import annotations

import time

import pytest

from support.command import Cli, printed, told, with_account


def test_a_provider_is_suspended_listed_and_resumed(cli: Cli) -> None:
    assert cli("provider", "list").stdout == "Nothing was sent in the last seven days.\n"
    made = printed(cli("provider", "suspend", "Google", "--reason", "too many complaints", "--hours", "2", "--json"))
    assert (made["provider"], made["reason"], made["by"]) == ("Google", "too many complaints", "operator")
    assert 7_100 < made["until"] - time.time() <= 7_200
    [listed] = printed(cli("provider", "list", "--json"))
    assert (listed["provider"], listed["waiting"], listed["suspension"]) == ("Google", 0, made)
    assert "too many complaints" in cli("provider", "list").stdout
    assert cli("provider", "resume", "Google").stdout == "Google is sent mail again; 0 recipients are tried soon.\n"
    assert printed(cli("provider", "list", "--json")) == []


def test_without_an_end_it_lasts_until_it_is_resumed(cli: Cli) -> None:
    assert "until it is resumed: pause" in cli("provider", "suspend", "Google", "--reason", "pause").stdout


def test_a_name_that_is_nobodys_is_refused_since_it_would_stop_nobody(cli: Cli) -> None:
    line = told(cli("provider", "suspend", "google", "--reason", "pause"), 2)
    assert line.startswith("no provider is called 'google'; there are: ")
    assert ", Google, " in line
    assert cli("provider", "suspend", "other", "--reason", "pause").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["resume", "Google"], "the provider 'Google' is not suspended"),
        (["suspend", "Google", "--reason", ""], "the reason must have 1 to 200 printable characters"),
    ],
)
def test_wrong_input_is_told_in_one_line(cli: Cli, arguments: list[str], line: str) -> None:
    assert told(cli("provider", *arguments), 2) == line


def test_an_account_is_blocked_and_unblocked(cli: Cli) -> None:
    with_account(cli)
    assert printed(cli("account", "block", "acme", "--reason", "unpaid", "--json"))["blocked"] == "unpaid"
    assert "unpaid" in cli("account", "list").stdout
    assert printed(cli("account", "unblock", "acme", "--json"))["blocked"] == ""
    assert printed(cli("account", "unblock", "acme", "--json"))["blocked"] == ""
