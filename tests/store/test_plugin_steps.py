"""Plugins' tables: each step once, all of a plugin's or none, and never under a relay that runs."""

from __future__ import annotations

import pytest
from sqlalchemy import Column, Connection, Integer, MetaData, Table, inspect, text

from postmeter.errors import PostmeterError
from postmeter.store import plugin_steps
from postmeter.store.engine import Store
from support.postage import at_once

METADATA = MetaData()
Table("counting_number", METADATA, Column("id", Integer, primary_key=True))


def create(connection: Connection) -> None:
    METADATA.create_all(connection)


def widen(connection: Connection) -> None:
    connection.execute(text("ALTER TABLE counting_number ADD COLUMN name VARCHAR(10)"))


def fail(connection: Connection) -> None:
    raise ValueError("not this one")


def columns(store: Store) -> list[str]:
    if not inspect(store.engine).has_table("counting_number"):
        return []
    return [column["name"] for column in inspect(store.engine).get_columns("counting_number")]


def test_each_step_is_taken_once(store: Store) -> None:
    plugin_steps.migrate(store, {"counting": [create]})
    assert columns(store) == ["id"]
    for _ in range(2):
        plugin_steps.migrate(store, {"counting": [create, widen]})
        assert columns(store) == ["id", "name"]


def test_a_step_that_fails_leaves_nothing_of_those_before_it(store: Store) -> None:
    with pytest.raises(ValueError, match="not this one"):
        plugin_steps.migrate(store, {"counting": [create, fail]})
    assert columns(store) == []
    plugin_steps.migrate(store, {"counting": [create, widen]})
    assert columns(store) == ["id", "name"]


def test_processes_that_start_at_once_do_not_collide(store: Store) -> None:
    at_once(lambda _: plugin_steps.migrate(store, {"counting": [create, widen]}), 6)
    assert columns(store) == ["id", "name"]


def test_tables_of_a_newer_version_are_refused(store: Store) -> None:
    plugin_steps.migrate(store, {"counting": [create, widen]})
    for take in (plugin_steps.migrate, plugin_steps.ensure):
        with pytest.raises(PostmeterError, match="the plugin counting were made by a newer version"):
            take(store, {"counting": [create]})


def test_a_command_makes_missing_tables_but_changes_none(store: Store) -> None:
    plugin_steps.ensure(store, {"counting": [create]})
    assert columns(store) == ["id"]
    with pytest.raises(PostmeterError, match="of an older version"):
        plugin_steps.ensure(store, {"counting": [create, widen]})
    assert columns(store) == ["id"]
