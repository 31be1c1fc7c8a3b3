"""Statements that run past SQLAlchemy: every type arrives, and a failure leaves a usable connection."""

from __future__ import annotations

import sqlite3
from typing import Any

import psycopg
import pytest
from sqlalchemy import bindparam, delete, insert, select, update

from postmeter.store import events
from postmeter.store.base import table
from postmeter.store.engine import Store
from postmeter.store.statement import Statement
from postmeter.store.tables import Account, Event, Message
from postmeter.store.worker_tables import Worker
from support.postage import accept, funded, rows, submission
from support.tenants import NOW


def account(name: str, agreement: bool = False) -> dict[str, Any]:
    return {
        "name": name,
        "agreement": agreement,
        "blocked": "",
        "threshold": 0,
        "overdraft": 0,
        "invoiced": 0,
        "overdraft_policy": "",
        "low_armed": False,
        "empty_armed": False,
        "overdraft_armed": True,
        "pool": "",
        "created_at": NOW + 0.123456,
    }


INSERT = Statement(insert(table(Account)), tuple(account("")))
SELECT = Statement(select(Account.name, Account.agreement, Account.created_at).where(Account.name == bindparam("who")))


def test_one_row_and_many_are_written_and_counted(store: Store) -> None:
    rename = Statement(
        update(table(Account)).where(Account.name == bindparam("old")).values(name=bindparam("new"), blocked="renamed")
    )
    remove = Statement(delete(table(Account)).where(Account.blocked == "renamed"))
    with store.write() as session:
        assert INSERT.run(session, [account("a", True)]) == 1
        assert INSERT.run(session, [account("b"), account("c"), account("d")]) == 3
        assert rename.run(session, [{"old": old, "new": old * 2} for old in "axcy"]) == 2
        assert remove.run(session, [{}]) == 2
    assert [row.name for row in rows(store, Account)] == ["b", "d"]


def test_rows_are_fetched_with_their_values(store: Store) -> None:
    with store.write() as session:
        INSERT.run(session, [account("O'Neill: %s %(x)s :y ? é", True)])
    with store.read() as session:
        assert SELECT.fetch(session, {"who": "O'Neill: %s %(x)s :y ? é"}) == [
            ("O'Neill: %s %(x)s :y ? é", True, NOW + 0.123456)
        ]
        assert SELECT.fetch(session, {"who": "nobody"}) == []


def test_octets_truth_and_json_arrive_as_they_were(store: Store) -> None:
    funded(store)
    octets = bytes(range(256)) * 3
    sent = submission(blocks=[octets])
    accept(store, sent)
    facts = {"text": "é \u2028 \" ' \\ %", "numbers": [1, 2.5, None], "yes": True}
    with store.write() as session:
        events.record(session, [events.about_account(1, "quota_low", NOW, facts)])
        events.record(session, [events.about_account(1, "two", NOW, {"n": n}) for n in range(2)])
    assert [event.facts for event in rows(store, Event)][1:] == [facts, {"n": 0}, {"n": 1}]
    [message] = rows(store, Message)
    assert message.smtputf8 is False
    assert len(message.sha256) == 32


def test_after_an_error_nothing_is_kept_and_the_connection_is_usable(store: Store) -> None:
    for number in (1, 3):
        with pytest.raises((sqlite3.IntegrityError, psycopg.IntegrityError)), store.write() as session:
            INSERT.run(session, [account("kept?")])
            INSERT.run(session, [account("same") for _ in range(number)] * 2)
    assert rows(store, Account) == []
    with store.write() as session:
        INSERT.run(session, [account("now")])
    assert [row.name for row in rows(store, Account)] == ["now"]


def test_an_error_leaves_no_connection_behind(store: Store) -> None:
    broken = Statement(insert(table(Worker)), ("id",))
    for _ in range(40):  # more than the pool has
        with pytest.raises((sqlite3.Error, psycopg.Error)), store.write() as session:
            broken.run(session, [{"id": None}])
    with store.write() as session:
        assert INSERT.run(session, [account("a")]) == 1
    assert store.engine.pool.checkedout() == 0  # type: ignore[attr-defined]
