"""Migrations: the same tables as the models, all or nothing, one at a time."""

from __future__ import annotations

import importlib
import multiprocessing
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from postmeter.errors import PostmeterError
from postmeter.store import schema
from postmeter.store.accept import Accepted, Duplicate
from postmeter.store.domain_checks import claim, record_check
from postmeter.store.engine import Store
from postmeter.store.tables import Base
from support.postage import accept, add_worker, audit, funded, lease, settle_all, submission
from support.postgres import Cluster
from support.tenants import NOW, make_account, make_domain


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'empty.db'}"
        return
    cluster: Cluster = request.getfixturevalue("postgres")
    database = cluster.create()
    yield cluster.url(database)
    cluster.drop(database)


@pytest.fixture
def empty(empty_url: str) -> Iterator[Store]:
    opened = Store.open(empty_url)
    yield opened
    opened.close()


@pytest.fixture
def store(empty: Store) -> Store:
    """A database that no other test sees, since these change the tables."""
    schema.upgrade(empty)
    return empty


def tables(store: Store) -> set[str]:
    return set(inspect(store.engine).get_table_names())


def test_the_migrations_make_exactly_the_tables_of_the_models(store: Store) -> None:
    with store.read() as session:
        assert compare_metadata(MigrationContext.configure(session.connection()), Base.metadata) == []


def test_the_migrations_make_the_same_indexes_with_the_same_conditions(store: Store) -> None:
    migrated = indexes(store)
    with store.write() as session:
        Base.metadata.drop_all(session.connection())
        Base.metadata.create_all(session.connection())
    assert migrated == indexes(store)
    assert any("WHERE" in definition for definition in migrated.values())


def test_upgrade_creates_the_tables_and_may_be_repeated(empty: Store) -> None:
    schema.upgrade(empty)
    schema.upgrade(empty)
    assert {"account", "recipient", "alembic_version"} <= tables(empty)
    schema.check(empty)


def test_downgrade_takes_everything_back(empty: Store) -> None:
    schema.upgrade(empty)
    with empty.write() as session:
        command.downgrade(schema._config(session.connection()), "base")
    assert tables(empty) == {"alembic_version"}


def test_what_an_older_version_has_stored_is_kept(empty: Store) -> None:
    schema.upgrade(empty)
    block, worker = funded(empty, 10), add_worker(empty)
    accept(empty, submission(2), submission())
    settle_all(empty, lease(empty, worker, limit=1), worker, "delivered")
    with empty.write() as session:
        command.downgrade(schema._config(session.connection()), "0001")
    columns = columns_of(empty)
    before = everything(empty, columns)
    schema.upgrade(empty)
    schema.check(empty)
    assert everything(empty, columns) == before
    audit(empty)
    one, again = (replace(submission(), key=b"order 17") for _ in range(2))
    assert accept(empty, one, again) == [Accepted((block,)), Duplicate(one.id)]


def test_domains_that_an_older_version_has_verified_are_looked_up_again(empty: Store) -> None:
    schema.upgrade(empty)
    with empty.write() as session:
        account = make_account(session)
        for name, trust in (("new.example", False), ("own.example", True), ("old.example", False)):
            make_domain(session, account, name, trust=trust)
        record_check(session, account.id, "old.example", [], NOW)
    [step] = [one for one in schema._scripts().walk_revisions() if one.doc.startswith("Domains are looked up again")]
    with empty.write() as session:
        command.downgrade(schema._config(session.connection()), str(step.down_revision))
    schema.upgrade(empty)
    with empty.write() as session:
        assert claim(session, [NOW]) == [[(1, "old.example")]]


def columns_of(store: Store) -> dict[str, list[str]]:
    """The columns of the tables that the first step made, as they are now."""
    made = importlib.import_module("postmeter.store.migrations.versions.0001_the_first_tables").TABLES
    return {name: [column["name"] for column in inspect(store.engine).get_columns(name)] for name in made}


def everything(store: Store, columns: dict[str, list[str]]) -> dict[str, list[tuple[object, ...]]]:
    """All rows of these tables and columns."""
    quote = store.engine.dialect.identifier_preparer.quote
    found = {}
    with store.read() as session:
        for name, own in columns.items():
            query = f"SELECT {', '.join(map(quote, own))} FROM {quote(name)} ORDER BY 1, 2"
            found[name] = [tuple(row) for row in session.execute(text(query))]
    return found


def test_two_processes_that_start_at_once_do_not_collide(empty_url: str, empty: Store) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=upgrade_at, args=(empty_url,)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    schema.check(empty)


def test_an_upgrade_that_breaks_off_leaves_nothing(empty: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def upgrade_and_fail(config: Config, revision: str) -> None:
        command_upgrade(config, revision)
        raise OSError("the disk is full")

    command_upgrade = command.upgrade
    monkeypatch.setattr(command, "upgrade", upgrade_and_fail)
    with pytest.raises(OSError, match="full"):
        schema.upgrade(empty)
    assert tables(empty) == set()


def test_a_database_without_tables_is_refused(empty: Store) -> None:
    with pytest.raises(PostmeterError, match="no tables yet"):
        schema.check(empty)


def test_a_database_of_a_newer_version_is_refused_and_left_alone(store: Store) -> None:
    set_version(store, "9999")
    for refuse in (schema.check, schema.upgrade, schema.ensure):
        with pytest.raises(PostmeterError, match="made by a newer Postmeter"):
            refuse(store)
    assert schema.version(store) == "9999"


def test_ensure_never_migrates_what_an_older_version_made(empty: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    schema.ensure(empty)
    monkeypatch.setattr(ScriptDirectory, "get_current_head", lambda self: "9999")
    with pytest.raises(PostmeterError, match="older Postmeter"):
        schema.ensure(empty)


def indexes(store: Store) -> dict[str, str]:
    if store.sqlite:
        query = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
    else:
        query = "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"
    with store.read() as session:
        return {name: definition for name, definition in session.execute(text(query)) if "alembic" not in name}


def set_version(store: Store, number: str) -> None:
    with store.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = :number"), {"number": number})


def upgrade_at(url: str) -> None:
    store = Store.open(url)
    schema.upgrade(store)
    store.close()
