"""Reports that return large mails: they are heard, and no more of them is kept than is looked at."""

from __future__ import annotations

from pathlib import Path

import pytest

from postmeter.message.parts import MAX_SIZE
from postmeter.server.reports import IN_MEMORY
from postmeter.server.spool import Spool
from support.reception import Client
from support.reporting import (
    HOSTNAME,
    LARGEST,
    PATH,
    Desk,
    codes,
    greeted,
    report,
    reports,
    send,
)


@pytest.fixture
def desk() -> Desk:
    """A writer."""
    return Desk()


@pytest.fixture
def client(desk: Desk, tmp_path: Path) -> Client:
    """A server that has said hello."""
    return greeted(reports(desk, tmp_path))


@pytest.mark.parametrize("name", ["postfix_user_unknown", "qmail_no_mailbox"])
def test_a_report_may_return_the_largest_mail_and_no_more_is_kept_than_is_looked_at(
    name: str, client: Client, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    spools: list[Spool] = []
    write = Spool.write
    monkeypatch.setattr(Spool, "write", lambda spool, block: (spools.append(spool), write(spool, block)))
    original = report(name)
    place = original.rfind(b"\r\n--") if b"\r\n--" in original else len(original)
    large = original[:place] + b"\r\n" + (b"x" * 70 + b"\r\n") * (6 * MAX_SIZE // 72) + original[place:]
    assert send(client, large, PATH).startswith(b"250")
    [news] = desk.items
    assert [one.action for one in news.statements] == ["failed"]
    assert {spool.size for spool in spools} == {MAX_SIZE}
    assert not spools[0].in_memory
    assert IN_MEMORY < MAX_SIZE


def test_a_complaint_about_a_large_mail_is_heard(client: Client, desk: Desk) -> None:
    large = report("arf_abuse") + b"x\r\n" * MAX_SIZE
    assert send(client, large, PATH, sender="fbl@example.org").startswith(b"250")
    assert desk.items[0].feedback.type == "abuse"


def test_a_mail_that_is_passed_on_is_whole_or_refused(client: Client, desk: Desk) -> None:
    assert send(client, b"Subject: Hi\r\n\r\n" + b"x\r\n" * MAX_SIZE, f"abuse@{HOSTNAME}").startswith(b"552 5.3.4")
    assert desk.items == []
    assert send(client, b"Subject: Hi\r\n\r\n" + b"x" * 300_000, f"abuse@{HOSTNAME}").startswith(b"250")


def test_nothing_is_taken_that_cannot_be_about_a_mail_of_ours(client: Client, desk: Desk) -> None:
    assert codes(client.send(f"MAIL FROM:<> SIZE={LARGEST + 1}\r\n".encode())) == [552]
    assert send(client, report("qmail_no_mailbox") + b"x\r\n" * (LARGEST // 3), PATH).startswith(b"552")
    assert desk.items == []
