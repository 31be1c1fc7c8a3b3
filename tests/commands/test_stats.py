"""`postmeter stats` in parts and of some days."""

from __future__ import annotations

import time
from pathlib import Path

from postmeter.store.counters import Change, count
from support.command import Cli, opened, printed, with_account

DAY = 86_400


def with_mail(cli: Cli, data: Path) -> None:
    """An account with a connection, whose mail of two domains was tried at two providers, some of it long ago."""
    with_account(cli, domain=True)
    cli("connection", "add", "acme", "Web shop", "--domain", "shop.example")
    now = time.time()
    with opened(data) as store, store.write() as session:
        count(session, [Change(1, 1, now, "arrived", 1500, "shop.example")])
        count(session, [Change(1, 1, now, "delivered", 1200, "shop.example", "Google")])
        count(session, [Change(1, 1, now, "deferred", 7, "shop.example", "other")])
        count(session, [Change(1, 99, now - 3 * DAY, name, 4, "old.example") for name in ("arrived", "bounced")])


def test_stats_of_the_last_days_leave_out_what_was_before(cli: Cli, data: Path) -> None:
    with_mail(cli, data)
    assert printed(cli("stats", "acme", "--json"))["arrived"] == 1504
    assert printed(cli("stats", "acme", "--days", "2", "--json"))["arrived"] == 1500


def test_stats_by_provider_have_what_was_tried_there(cli: Cli, data: Path) -> None:
    with_mail(cli, data)
    rows = printed(cli("stats", "acme", "--by", "provider", "--json"))
    assert [(row["provider"], row["arrived"], row["delivered"], row["queued"]) for row in rows] == [
        ("", 4, 0, 0),
        ("Google", 1200, 1200, 0),
        ("other", 7, 0, 7),
    ]
    assert cli("stats", "acme", "--by", "provider", "--days", "2").stdout.splitlines()[1].split()[:3] == [
        *("Google", "1,200", "1,200"),
    ]
    assert "(not known)" in cli("stats", "acme", "--by", "provider").stdout


def test_stats_by_domain_and_connection_go_by_their_names(cli: Cli, data: Path) -> None:
    with_mail(cli, data)
    rows = printed(cli("stats", "acme", "--by", "domain", "--json"))
    assert [(row["domain"], row["arrived"], row["queued"]) for row in rows] == [
        ("old.example", 4, 0),
        ("shop.example", 1500, 300),
    ]
    rows = printed(cli("stats", "acme", "--by", "connection", "--json"))
    assert [(row["connection"], row["bounced"]) for row in rows] == [("Web shop", 0), ("number 99", 4)]


def test_without_mail_there_is_nothing_in_parts(cli: Cli) -> None:
    with_account(cli)
    assert cli("stats", "acme", "--by", "domain").stdout == "Nothing was counted.\n"
    assert printed(cli("stats", "acme", "--by", "domain", "--json")) == []
