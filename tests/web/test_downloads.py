"""Lists as files: the ledger and the audit logs, complete, harmless, and noted."""

from __future__ import annotations

import pytest
from flask import Flask

from postmeter import csv_file
from postmeter.store import audit
from postmeter.store.audit import Actor
from postmeter_web import downloads
from support.panel import NOW, OWNER, Browser, House


@pytest.fixture
def eventful(house: House, monkeypatch: pytest.MonkeyPatch) -> House:
    """Both accounts have changes, more than are read at a time."""
    monkeypatch.setattr(downloads, "PART", 3)
    with house.store.write() as session:
        for n in range(10):
            for account, number in house.ids.items():
                actor = Actor(None, f"=1+{n}@{account}.example", "192.0.2.7")
                audit.record(session, actor, "connection.add", f"{account} {n}", NOW + n, account_id=number)
    return house


def test_the_audit_log_of_an_account_is_a_file_with_all_of_it_and_nothing_else(eventful: House, owner: Browser) -> None:
    answer = owner.post("/accounts/shop/team/log", "/accounts/shop/team/log")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="changes.csv"'
    assert answer.content_type == "text/csv; charset=utf-8"
    heads, noted, *rows = csv_file.read(answer.data)
    assert tuple(heads) == downloads.CHANGES
    assert noted[1:5] == [OWNER, noted[2], "shop", "team.export"]
    assert [row[5] for row in rows] == [f"shop {n}" for n in reversed(range(10))]
    assert rows[0][1] == "=1+9@shop.example"
    assert b"'=1+9@shop.example" in answer.data


def test_the_operators_file_is_what_the_filters_leave(eventful: House, operator: Browser) -> None:
    answer = operator.post("/operator/audit/", "/operator/audit/", account="forum", action="connection.")
    assert [row[5] for row in csv_file.read(answer.data)[1:]] == [f"forum {n}" for n in reversed(range(10))]


def test_a_file_ends_at_its_most(eventful: House, operator: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "MOST", 7)
    answer = operator.post("/operator/audit/", "/operator/audit/", action="connection.")
    assert len(csv_file.read(answer.data)) == 1 + 7


def test_the_ledger_is_a_file(house: House, owner: Browser) -> None:
    answer = owner.post("/accounts/shop/quota/ledger", "/accounts/shop/quota/ledger", kind="book")
    heads, row = csv_file.read(answer.data)
    assert heads == ["at", "kind", "block", "units"]
    assert (row[1], row[3]) == ("book", "1000")


def test_only_a_few_take_files_at_once_and_each_gives_its_place_back(app: Flask, owner: Browser) -> None:
    where = "/accounts/shop/team/log"
    room = app.extensions["postmeter"].files
    for _ in range(5):
        assert owner.post(where, where).status_code == 200
    for _ in range(3):
        assert room.acquire(blocking=False)
    answer = owner.post(where, where)
    assert answer.status_code == 429
    assert "Please try again in a minute." in answer.text
    room.release()
    assert owner.post(where, where).status_code == 200


def test_a_file_that_breaks_off_gives_its_place_back(
    app: Flask, owner: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "entries", lambda *_, **__: 1 // 0)
    for _ in range(5):
        with pytest.raises(ZeroDivisionError):
            owner.post("/accounts/shop/team/log", "/accounts/shop/team/")
