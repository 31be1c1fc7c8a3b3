"""`postmeter suppression`: what is added, removed and listed."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from postmeter.commands import suppressions
from postmeter.store.accounts import account_by_name
from postmeter.store.suppressions import BOUNCE, find, suppress
from postmeter.store.suppressions import take_in as put
from support.command import Cli, opened, printed, told, with_account


def test_an_address_is_added_listed_and_removed(cli: Cli, data: Path) -> None:
    with_account(cli)
    added = printed(cli("suppression", "add", "acme", "Joe@Example.org", "--reason", "asked by phone", "--json"))
    assert list(added) == ["account_id", "address", "reason", "detail", "message_id", "created_at", "expires_at"]
    assert (added["address"], added["reason"], added["detail"]) == ("joe@example.org", "manual", "asked by phone")
    assert added["created_at"].endswith("Z")
    assert added["expires_at"] is None
    assert printed(cli("suppression", "list", "acme", "--json")) == [added]
    with opened(data) as store, store.read() as session:
        assert find(session, account_by_name(session, "acme").id, "joe@example.org", time.time()) is not None
    assert printed(cli("suppression", "remove", "acme", "JOE@example.org", "--json")) == {"address": "joe@example.org"}
    assert printed(cli("suppression", "list", "acme", "--json")) == []


def test_people_are_told_the_same(cli: Cli) -> None:
    with_account(cli)
    assert cli("suppression", "list", "acme").stdout == "No address is suppressed.\n"
    assert "it is removed" in cli("suppression", "add", "acme", "joe@example.org").stdout
    cli("suppression", "add", "acme", "ann@example.org", "--days", "30", "--reason", "on holiday")
    heads, ann, joe = cli("suppression", "list", "acme").stdout.splitlines()
    assert heads.split() == ["Address", "Reason", "Detail", "Since", "Until"]
    assert ann.startswith("ann@example.org  manual  on holiday  ")
    assert joe.startswith("joe@example.org  manual ")
    assert "joe@example.org may be tried again." in cli("suppression", "remove", "acme", "joe@example.org").stdout


def test_days_say_when_it_ends(cli: Cli, data: Path) -> None:
    with_account(cli)
    before = time.time()
    printed(cli("suppression", "add", "acme", "joe@example.org", "--days", "2", "--json"))
    with opened(data) as store, store.read() as session:
        found = find(session, 1, "joe@example.org", before)
    assert found is not None
    assert found.expires_at is not None
    assert 0 <= found.expires_at - before - 2 * 86_400 < 60


def test_a_star_is_every_account(cli: Cli, data: Path) -> None:
    with_account(cli)
    printed(cli("suppression", "add", "*", "joe@example.org", "--json"))
    assert printed(cli("suppression", "list", "acme", "--json")) == []
    assert [one["account_id"] for one in printed(cli("suppression", "list", "*", "--json"))] == [0]
    with opened(data) as store, store.read() as session:
        assert find(session, 1, "joe@example.org", time.time()) is not None
    printed(cli("suppression", "remove", "*", "joe@example.org", "--json"))
    assert printed(cli("suppression", "list", "*", "--json")) == []


def test_what_a_bounce_has_led_to_can_be_seen_and_removed(cli: Cli, data: Path) -> None:
    with_account(cli)
    with opened(data) as store, store.write() as session:
        suppress(session, 1, "joe@example.org", BOUNCE, time.time(), detail="550 no\n\x1b[2J such user")
    assert "bounce  550 no  [2J such user  " in cli("suppression", "list", "acme").stdout
    assert cli("suppression", "remove", "acme", "joe@example.org").exit_code == 0


def test_what_was_exported_is_imported_as_it_was(cli: Cli, tmp_path: Path) -> None:
    with_account(cli)
    cli("suppression", "add", "acme", "+joe@example.org", "--reason", "=1+1", "--days", "2")
    cli("suppression", "add", "acme", "ann@example.org")
    file = tmp_path / "list.csv"
    file.write_bytes(cli("suppression", "export", "acme").stdout_bytes)
    assert "'+joe@example.org,manual,'=1+1," in file.read_text()
    cli("suppression", "remove", "acme", "+joe@example.org")
    assert cli("suppression", "import", "acme", str(file)).stdout == "2 addresses are suppressed.\n"
    assert [(one["address"], one["detail"]) for one in printed(cli("suppression", "list", "acme", "--json"))] == [
        ("+joe@example.org", "=1+1"),
        ("ann@example.org", ""),
    ]


def test_lines_that_are_over_are_passed_over_and_counted(cli: Cli) -> None:
    with_account(cli)
    table = "joe@example.org,,2020-01-01\nann@example.org,,2100-01-01\n"
    answer = cli("suppression", "import", "acme", "-", input=table)
    assert answer.stdout == "1 addresses are suppressed. Lines passed over, as their time is over: 1.\n"
    assert [one["address"] for one in printed(cli("suppression", "list", "acme", "--json"))] == ["ann@example.org"]
    assert printed(cli("suppression", "import", "acme", "-", "--json", input=table)) == {"imported": 1, "over": 1}
    wrong = cli("suppression", "import", "acme", "-", input=f"{table}joe\n")
    assert told(wrong, 2) == "nothing was imported: line 3: 'joe' is not an address such as joe@example.org"


def test_the_heads_may_be_those_of_the_manual(cli: Cli) -> None:
    with_account(cli)
    table = "Address,Reason,Expiry\njoe@example.org,he asked for it,2100-01-01\n"
    cli("suppression", "import", "acme", "-", input=table)
    [one] = printed(cli("suppression", "list", "acme", "--json"))
    assert (one["detail"], one["expires_at"]) == ("he asked for it", "2100-01-01T00:00:00Z")


def test_a_long_list_goes_in_and_out_in_parts(
    cli: Cli, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_account(cli)
    sizes: list[int] = []
    monkeypatch.setattr(
        suppressions, "take_in", lambda session, part, now: sizes.append(len(part)) or put(session, part, now)
    )
    addresses = sorted(f"joe{n}@example.org" for n in range(2_100))
    file = tmp_path / "list.csv"
    file.write_text("".join(f"{address};asked for it\n" for address in ["JOE1@example.org", *addresses]))
    assert printed(cli("suppression", "import", "*", str(file), "--json")) == {"imported": 2_101, "over": 0}
    assert sizes == [1_000, 1_000, 101]
    exported = cli("suppression", "export", "*").stdout.splitlines()
    assert [line.partition(",")[0] for line in exported[1:]] == addresses
    assert printed(cli("suppression", "list", "acme", "--json")) == []


def test_of_a_file_with_mistakes_nothing_is_imported(cli: Cli) -> None:
    with_account(cli)
    answer = cli("suppression", "import", "acme", "-", input="joe@example.org\njoe\nann@example.org,,soon\n")
    assert told(answer, 2) == (
        "nothing was imported: line 2: 'joe' is not an address such as joe@example.org; "
        "line 3: 'soon' is no date such as 2030-12-31"
    )
    many = cli("suppression", "import", "acme", "-", input="x\n" * 12)
    assert told(many, 2).endswith("; and 2 more")
    assert printed(cli("suppression", "list", "acme", "--json")) == []


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["add", "nobody", "joe@example.org"], "there is no account 'nobody'"),
        (["add", "acme", "joe"], "'joe' is not an address such as joe@example.org"),
        (["add", "acme", "joe@localhost"], "'joe@localhost' is not an address such as joe@example.org"),
        (["remove", "nobody", "joe@example.org"], "there is no account 'nobody'"),
        (["remove", "acme", "Joe@example.org"], "joe@example.org is not suppressed for acme"),
        (["remove", "acme", "<joe@example.org>"], "'<joe@example.org>' is not an address such as joe@example.org"),
        (["list", "nobody"], "there is no account 'nobody'"),
    ],
)
def test_wrong_input_is_told_in_one_line(cli: Cli, arguments: list[str], line: str) -> None:
    with_account(cli)
    assert told(cli("suppression", *arguments), 2) == line


def test_it_works_on_postgresql_as_well(cli: Cli, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTMETER_STORE_URL", postgres_url)
    with_account(cli)
    added = printed(cli("suppression", "add", "acme", "joe@example.org", "--days", "1", "--json"))
    assert printed(cli("suppression", "list", "acme", "--json")) == [added]
    assert printed(cli("suppression", "remove", "acme", "joe@example.org", "--json"))
