"""`postmeter quota`: booking, renewal and the ledger."""

from __future__ import annotations

from pathlib import Path

import pytest

from postmeter.store.quota_tables import Ledger
from support.command import Cli, opened, printed, told, with_account
from support.postage import rows


def renewals(answer: dict[str, list[dict[str, bool]]]) -> list[bool]:
    return [block["renews"] for block in answer["blocks"]]


def test_a_paid_block_is_renewed_unless_that_is_not_wanted(cli: Cli) -> None:
    with_account(cli)
    cli("quota", "book", "acme", "25000")
    booked = printed(cli("quota", "book", "acme", "50000", "--no-renewal", "--json"))
    assert renewals(booked) == [False, True, False]  # the demo quota is not
    assert [block["id"] for block in booked["blocks"]] == [1, 2, 3]


def test_a_renewal_is_cancelled_and_resumed(cli: Cli) -> None:
    with_account(cli)
    for _ in range(2):
        cli("quota", "book", "acme", "25000")
    assert renewals(printed(cli("quota", "cancel-renewal", "acme", "2", "--json"))) == [False, False, True]
    assert renewals(printed(cli("quota", "cancel-renewal", "acme", "--json"))) == [False, False, False]
    assert renewals(printed(cli("quota", "cancel-renewal", "acme", "--resume", "--json"))) == [False, True, True]
    assert "no paid block 1" in told(cli("quota", "cancel-renewal", "acme", "1"), 2)


def test_a_double_click_books_once(cli: Cli) -> None:
    with_account(cli)
    one, two = (printed(cli("quota", "book", "acme", "25000", "--key", "order 17", "--json")) for _ in range(2))
    assert one == two
    assert one["left"] == 26_000
    assert "a block of 25,000 mails was booked" in told(cli("quota", "book", "acme", "50000", "--key", "order 17"), 2)


def test_people_see_which_blocks_are_renewed(cli: Cli) -> None:
    with_account(cli)
    table = cli("quota", "book", "acme", "25000").stdout.splitlines()[-3:]
    assert table[0].split() == ["Block", "Kind", "Size", "Left", "Expires", "Renewed"]
    assert [line.split()[-1] for line in table[1:]] == ["no", "yes"]


def test_the_ledger_is_printed_newest_first(cli: Cli, data: Path) -> None:
    with_account(cli)
    cli("quota", "book", "acme", "25000")
    newest, oldest = printed(cli("quota", "ledger", "acme", "--json"))
    assert list(newest) == ["id", "at", "kind", "block", "units"]
    assert (newest["kind"], newest["block"], newest["units"]) == ("book", 2, 25_000)
    assert (oldest["block"], oldest["units"]) == (1, 1000)
    assert newest["at"].endswith("Z")
    assert len(printed(cli("quota", "ledger", "acme", "--limit", "1", "--json"))) == 1
    assert "+25,000" in cli("quota", "ledger", "acme").stdout
    with opened(data) as store:
        assert len(rows(store, Ledger)) == 2


def test_an_account_without_any_move_has_an_empty_ledger(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTMETER_DEMO_SIZE", "0")
    with_account(cli)
    assert cli("quota", "ledger", "acme").stdout == "Nothing was moved yet.\n"
