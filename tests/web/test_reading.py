"""Who only looks changes nothing: every page is fetched, and all tables are as they were."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import inspect, literal_column, select, table

from postmeter.store.engine import Store
from postmeter_web import access
from support.lived_in import LivedIn
from support.panel import OPERATOR, OWNER, Browser
from support.routes import doors, path

LOOKS = {"connect.records", "connect.live_records", "domains.live", "domains.one"}  # what the DNS says is kept
Tables = dict[str, list[tuple[Any, ...]]]


def dump(store: Store) -> Tables:
    """All rows of all tables, also those of plugins."""
    names = inspect(store.engine).get_table_names()
    with store.read() as session:
        return {
            name: sorted(map(tuple, session.execute(select(literal_column("*")).select_from(table(name)))), key=repr)
            for name in names
        }


def changed(before: Tables, after: Tables) -> set[str]:
    """The names of the tables that have other rows."""
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


def pages(lived_in: LivedIn, *places: str) -> Iterator[tuple[str, str]]:
    """Endpoint and address of all that can be fetched."""
    for door in doors(lived_in.app, *places):
        if door.method == "GET":
            yield door.rule.endpoint, path(door, "shop", lived_in.ours)


@pytest.mark.parametrize(
    ("who", "places"),
    [(OWNER, (access.ACCOUNT, access.PERSON)), (OPERATOR, (access.OPERATOR, access.PERSON)), ("", (access.OPEN,))],
)
def test_no_page_that_is_fetched_changes_anything(lived_in: LivedIn, who: str, places: tuple[str, ...]) -> None:
    browser, fetched = Browser(lived_in.app), 0
    if who:
        browser.log_in(who)
    before = dump(lived_in.house.store)
    for endpoint, address in pages(lived_in, *places):
        answer = browser.get(address)
        assert answer.status_code < 500, address
        fetched += answer.status_code == 200
        now = dump(lived_in.house.store)
        assert not changed(before, now) or endpoint in LOOKS, (address, changed(before, now))
        before = now
    assert fetched >= 4


def test_a_look_writes_only_what_it_has_found(lived_in: LivedIn) -> None:
    browser = Browser(lived_in.app)
    browser.log_in(OWNER)
    before = dump(lived_in.house.store)
    for endpoint, address in pages(lived_in, access.ACCOUNT):
        if endpoint in LOOKS:
            browser.get(address)
    assert changed(before, dump(lived_in.house.store)) <= {"sending_domain", "signing_key", "audit", "event"}


def test_a_log_in_that_was_seen_is_noted_and_nothing_else(lived_in: LivedIn) -> None:
    browser = Browser(lived_in.app)
    browser.log_in(OWNER)
    before = dump(lived_in.house.store)
    lived_in.house.now += 3_600
    browser.get("/me/")
    assert changed(before, dump(lived_in.house.store)) == {"login", "user"}
