"""`postmeter connection`: accesses are listed with their state, paused and resumed."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from postmeter.store import orders
from postmeter.store.pauses import stop_one
from postmeter.store.tables import DEFERRED, Connection
from support.command import Cli, opened, printed, told, with_account
from support.postage import accept, add_worker, lease, settle_all, submission


@pytest.fixture
def username(cli: Cli) -> str:
    """The user name of the access "web shop" of the account acme."""
    with_account(cli, domain=True)
    name: str = printed(cli("connection", "add", "acme", "web shop", "--domain", "shop.example", "--json"))["username"]
    return name


def listed(cli: Cli) -> Any:
    return printed(cli("connection", "list", "acme", "--json"))


def test_an_access_is_listed_with_its_state(cli: Cli, username: str) -> None:
    (one,) = listed(cli)
    assert (one["name"], one["username"], one["active"], one["reason"]) == ("web shop", username, True, "")
    assert (one["domains"], one["last_used_at"]) == (["shop.example"], None)
    heads, line = cli("connection", "list", "acme").stdout.splitlines()
    assert heads.split() == ["Name", "Username", "Domains", "Last", "used", "State"]
    assert line.split() == ["web", "shop", username, "shop.example", "never", "active"]


def test_an_account_without_accesses_says_so(cli: Cli) -> None:
    with_account(cli)
    assert cli("connection", "list", "acme").stdout == "There are none.\n"


def test_an_access_is_paused_and_resumed(cli: Cli, username: str) -> None:
    answer = printed(cli("connection", "pause", "acme", "web shop", "--reason", "moved", "--json"))
    assert answer == listed(cli)[0]
    assert (answer["active"], answer["reason"]) == (False, "This connection is paused: moved")
    again = cli("connection", "pause", "acme", "web shop", "--reason", "sold")
    assert again.stdout == "inactive: This connection is paused: sold\n"
    assert cli("connection", "resume", "acme", "web shop").stdout == "active\n"
    assert listed(cli)[0]["active"]


def test_what_the_guard_kept_back_leaves_when_the_access_is_resumed(cli: Cli, data: Path, username: str) -> None:
    with opened(data) as store, store.write() as session:
        stop_one(session, session.get_one(Connection, 1), "10 % bounced", 1.0)
    with opened(data) as store:
        accept(store, replace(submission(2, at=1.0), connection_id=1))
        settle_all(store, lease(store, add_worker(store)), 1, DEFERRED, again=time.time() + 3_600)
    assert cli("connection", "resume", "acme", "web shop").stdout == "active; 2 recipients are tried soon\n"
    with opened(data) as store, store.read() as session:
        [order] = orders.orders(session)
    assert (order.verb, order.filter, order.matched) == ("retry", f"connection:{username}", 2)


def test_an_access_gets_a_new_password(cli: Cli, username: str) -> None:
    answer = printed(cli("connection", "renew", "acme", "web shop", "--keep", "1.5", "--json"))
    assert list(answer) == ["host", "port", "tls_port", "username", "password"]
    assert (answer["username"], len(answer["password"])) == (username, 40)
    shown = listed(cli)[0]
    begun, until = (datetime.fromisoformat(shown[name]) for name in ("revealed_at", "previous_ends_at"))
    assert (until - begun).total_seconds() == 5400
    people = cli("connection", "renew", "acme", "web shop").stdout
    assert "Old password  is taken no more" in people
    assert answer["password"] not in people


def test_an_access_says_how_its_messages_are_handled(cli: Cli, username: str) -> None:
    options = ("--priority", "urgent", "--lifetime", "10m", "--tls", "required")
    answer = printed(cli("connection", "set", "acme", "web shop", *options, "--json"))
    assert answer == {
        "account": "acme",
        "name": "web shop",
        "per_hour": 0,
        "per_day": 0,
        "per_month": 0,
        "priority": 0,
        "lifetime": 600,
        "tls_required": True,
        "pool": "",
    }
    assert listed(cli)[0]["handling"] == {"priority": 0, "lifetime": 600, "tls_required": True}
    people = cli("connection", "set", "acme", "web shop", "--per-day", "5", "--lifetime", "0").stdout
    assert [line.split(maxsplit=1)[-1] for line in people.splitlines()[-4:]] == [
        *("urgent", "delivery.lifetime_days", "required", "its account's")
    ]
    cli("connection", "set", "acme", "web shop", "--tls", "opportunistic")
    assert listed(cli)[0]["handling"] == {"priority": 0, "lifetime": 0, "tls_required": False}


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("renew", "acme", "web shop", "--keep", "721"), "an old password stays valid for at most 30 days"),
        (("pause", "acme", "no such", "--reason", "x"), "the account 'acme' has no connection 'no such'"),
        (("resume", "acme", "no such"), "the account 'acme' has no connection 'no such'"),
        (("pause", "acme", "web shop", "--reason", "a\nb"), "the reason must have 1 to 200 printable characters"),
        (("list", "nobody"), "there is no account 'nobody'"),
        (
            ("set", "acme", "web shop"),
            "say what to change: --per-hour, --per-day, --per-month, --priority, --lifetime, --tls, --pool",
        ),
        (
            ("set", "acme", "web shop", "--lifetime", "6d"),
            "'6d' is no lifetime between 1 minute and 5 days, such as 600, 10m, 2h or 3d",
        ),
    ],
)
def test_what_is_wrong_is_told_in_one_line(cli: Cli, username: str, arguments: tuple[str, ...], line: str) -> None:
    assert told(cli("connection", *arguments), 2) == line
