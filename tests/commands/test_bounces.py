"""`postmeter bounce`: which refusals no rule knows, and what a reply means."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from postmeter.store.tables import Recipient
from support.command import Cli, opened, printed, told
from support.stored import add_message


def test_what_no_rule_knows_is_listed_the_most_frequent_first(cli: Cli, data: Path) -> None:
    assert cli("bounce", "unclassified").stdout == "The rules know all refusals.\n"
    now = time.time()
    answers = [("bounced", "550 No"), ("deferred", "450 Hm"), ("bounced", "550 No"), ("bounced", "550 5.1.1 gone")]
    with opened(data) as store, store.write() as session:
        for n, (classes, age) in enumerate([("unclassified.permanent", 1), ("hard.recipient", 1), ("", 9)]):
            add_message(session, f"{n:026d}", 1, answers)
            for row in rows_of(session, n):
                row.failure = "unclassified.temporary" if row.state == "deferred" and classes else classes
                row.final_at = now - age * 86_400 if row.state == "bounced" else None
    listed = printed(cli("bounce", "unclassified", "--json"))
    assert [(one["failure"], one["reply"], one["recipients"]) for one in listed] == [
        ("unclassified.permanent", "550 No", 2),
        ("unclassified.temporary", "450 Hm", 2),
        ("unclassified.permanent", "550 5.1.1 gone", 1),
    ]
    assert len(printed(cli("bounce", "unclassified", "--limit", "1", "--json"))) == 1
    assert "450 Hm" in cli("bounce", "unclassified").stdout


def rows_of(session: Session, n: int) -> list[Recipient]:
    return list(session.scalars(select(Recipient).where(Recipient.message_id == f"{n:026d}")))


def test_a_reply_is_classified_by_the_rules_of_this_relay(cli: Cli) -> None:
    text = cli("bounce", "classify", "550 5.1.1 User unknown").stdout
    assert "hard.recipient" in text
    assert "it bounces" in text
    found = printed(cli("bounce", "classify", "554 Go away", "--stage", "banner", "--json"))
    assert found == {"name": "block.ip", "rule": "blocked-by-stage", "permanent": False, "suppress_for": None}


@pytest.mark.parametrize("text", ["250 Ok", "no", "550x", ""])
def test_what_is_no_refusal_is_told(cli: Cli, text: str) -> None:
    assert told(cli("bounce", "classify", text), 2) == f"{text!r} is no refusal such as 550 5.1.1 User unknown"
