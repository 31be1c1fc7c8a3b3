"""`postmeter message show`: what happened to a message, with every attempt's dialogue."""

from __future__ import annotations

from pathlib import Path

from postmeter.store.settle import Settlement, settle
from postmeter.store.tables import DELIVERED
from support.command import Cli, opened, printed, with_account
from support.postage import accept, add_worker, lease, submission
from support.tenants import NOW

DIALOGUE = [(0.0, "S", "220 mx.test"), (0.25, "C", "EHLO relay.test"), (12.5, "S", "250 mx.test\nSTARTTLS")]


def delivered(data: Path) -> str:
    """A message with one attempt; its id."""
    with opened(data) as store:
        worker, one = add_worker(store), submission()
        accept(store, one, policy="always")
        [leased] = lease(store, worker)
        facts = {
            "remote": "mx.test",
            "started_at": NOW - 12.5,
            "tls": None,
            "in_clear": "why",
            "dialogue": DIALOGUE,
        }
        done = Settlement(
            leased.message, leased.recipients[0], worker, DELIVERED, "250 Ok", NOW, NOW, True, False, facts
        )
        with store.write() as session:
            assert settle(session, [done]) == [True]
    return one.id


def test_the_dialogue_is_below_its_attempt(cli: Cli, data: Path) -> None:
    with_account(cli)
    lines = cli("message", "show", delivered(data)).stdout.splitlines()
    assert lines[-5:] == [
        "2027-01-15T08:00:00Z  delivered  r0@example.net  reply 250 Ok, attempt 1, remote mx.test, "
        "started_at 2027-01-15T07:59:47Z, in_clear why",
        "      0.000  S  220 mx.test",
        "      0.250  C  EHLO relay.test",
        "     12.500  S  250 mx.test",
        "                STARTTLS",
    ]


def test_programs_get_the_dialogue_line_by_line(cli: Cli, data: Path) -> None:
    with_account(cli)
    facts = printed(cli("message", "show", delivered(data), "--json"))["events"][-1]["facts"]
    assert facts["dialogue"] == [list(line) for line in DIALOGUE]
