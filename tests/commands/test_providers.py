"""`postmeter provider`: suspended, listed, resumed; and an account that may not send for a while."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from postmeter.commands.provider_text import rule_text
from postmeter.delivery.reply_rule import Rule
from postmeter.store import provider_sessions, queue
from postmeter.store.provider_sessions import Report, Sessions
from support.command import Cli, opened, printed, told, with_account

SENTENCE = "stage banner, code 554: nothing for 1 h, and an error in the log"
SLOW_SENTENCE = "status 4.7, 5 times within an hour: 2 at a time, 3 a minute for 1 d"


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


def test_sessions_of_the_workers_are_shown_and_begin_again_on_the_operators_word(cli: Cli, data: Path) -> None:
    assert printed(cli("provider", "show", "Google", "--json"))["sessions"] is None
    now = time.time()
    with opened(data) as store, store.write() as session:
        worker = queue.register(session, "n", 1, now, now + 60)
        provider_sessions.report(session, [Report(worker, {"Google": Sessions(1, 2.5)})])
    assert re.search(r"sessions +workers +1 of 3\n", cli("provider", "show", "Google").stdout)
    assert printed(cli("provider", "show", "Google", "--json"))["sessions"] == {"open": 1, "allowed": 3}
    [listed] = printed(cli("provider", "list", "--json"))
    assert (listed["provider"], listed["sessions"], listed["suspension"]) == ("Google", {"open": 1, "allowed": 3}, None)
    assert re.search(r"Google +0 +0 +0 +1 of 3", cli("provider", "list").stdout)
    assert cli("provider", "resume", "Google").stdout == "Google is sent mail again; 0 recipients are tried soon.\n"
    with opened(data) as store, store.read() as session:
        assert list(provider_sessions.resumptions(session)) == ["Google"]


def test_without_an_end_it_lasts_until_it_is_resumed(cli: Cli) -> None:
    assert "nothing until it is resumed: pause" in cli("provider", "suspend", "Google", "--reason", "pause").stdout


def test_what_holds_for_a_provider_is_shown_with_the_file_that_says_so(cli: Cli) -> None:
    cli("provider", "suspend", "Yahoo", "--reason", "pause")
    shown = cli("provider", "show", "Yahoo").stdout
    for line in (
        "restricted          operator                   nothing until it is resumed: pause",
        "connections         providers.toml             10",
        "connection_rate     providers.toml, [default]  100/min",
        "rule TS02           providers.toml             status 4, text '[ts02]': 1 a minute for 30 min",
    ):
        assert line in shown
    told_so = {one["key"]: one for one in printed(cli("provider", "show", "GMX and WEB.DE", "--json"))["holds"]}
    assert told_so["tls"] == {"key": "tls", "value": "required", "file": "providers.toml"}
    assert told_so["rule policy"]["value"]["times"] == 5
    assert "no provider is called 'x'" in told(cli("provider", "show", "x"), 2)


def test_the_operators_own_file_counts(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "own.toml"
    own.write_text('[Mine]\nmx = "mx.mine.example"\nconnections = 2\nidle = "90 s"\nrate = "1/s"')
    monkeypatch.setenv("POSTMETER_DELIVERY_PROVIDERS", str(own))
    shown = cli("provider", "show", "Mine").stdout
    assert re.search(r"connections +\S+own.toml +2\n", shown)
    assert re.search(r"idle +\S+own.toml +90 s\n", shown)
    assert cli("provider", "suspend", "Mine", "--reason", "pause").exit_code == 0
    own.write_text("[Mine]\nconnections = 2")
    assert "Mine is no provider that is known, so it needs mx" in told(cli("provider", "show", "Mine"), 3)


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (Rule("x", ("a", "b"), seconds=90.0), "text 'a' or 'b': nothing for 90 s"),
        (Rule("x", code=554, stages=("banner",), seconds=3_600.0, alarm=True), SENTENCE),
        (Rule("x", status="4.7", times=5, seconds=86_400.0, connections=2, per_minute=3), SLOW_SENTENCE),
    ],
)
def test_a_rule_is_told_in_a_sentence(rule: Rule, text: str) -> None:
    assert rule_text(rule) == text


def test_a_name_that_is_nobodys_is_refused_since_it_would_stop_nobody(cli: Cli) -> None:
    line = told(cli("provider", "suspend", "google", "--reason", "pause"), 2)
    assert line.startswith("no provider is called 'google'; there are: ")
    assert ", Google, " in line
    assert cli("provider", "suspend", "other", "--reason", "pause").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ["resume", "Google"],
            "the provider 'Google' is not suspended, and no session with it is open or limited",
        ),
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
