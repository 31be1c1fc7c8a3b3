"""Migrations: the same tables as the models, all or nothing, one at a time."""

from __future__ import annotations

import importlib
import multiprocessing
import time
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
from postmeter.quota.level import OVERDRAFT
from postmeter.store import quota, renewal, rotation, schema
from postmeter.store.accept import Accepted, Duplicate
from postmeter.store.connection_changes import retire
from postmeter.store.connections import add_connection
from postmeter.store.counters import Change, count
from postmeter.store.domain_checks import claim, record_check
from postmeter.store.domains import domain_keys
from postmeter.store.engine import Store
from postmeter.store.quota_tables import Block, Ledger
from postmeter.store.tables import BOUNCED, Account, Base, Connection, Counter
from support import old_tables
from support.postage import (
    accept,
    add_account,
    add_block,
    add_worker,
    audit,
    kinds,
    lease,
    recipients,
    rows,
    settle_all,
    submission,
    told_quota,
)
from support.postgres import Cluster
from support.tenants import NOW, SECRETS, make_account, make_domain, new_key


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


@pytest.mark.filterwarnings("ignore:.*expression-based index '?ix_recipient_address")  # see the next test for SQLite's
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


WIDTHS = {"message": 15, "sending_domain": 7, "recipient": 18}  # columns before a step has added more


def test_what_an_older_version_has_stored_is_kept(empty: Store) -> None:
    with empty.write() as session:
        command.upgrade(schema._config(session.connection()), "0001")
        old_tables.fill(session)
    before = everything(empty)
    schema.upgrade(empty)
    schema.check(empty)
    assert everything(empty) == before
    audit(empty)
    one, again = (replace(submission(), key=b"order 17") for _ in range(2))
    assert accept(empty, one, again) == [Accepted((1,)), Duplicate(one.id)]
    audit(empty)


def test_the_quota_of_an_older_version_gets_signs_ends_and_renewals(empty: Store) -> None:
    with empty.write() as session:
        command.upgrade(schema._config(session.connection()), "0001")
        old_tables.fill(session)
    schema.upgrade(empty)
    entries = [(entry.block_id, entry.kind, entry.units) for entry in rows(empty, Ledger)]
    assert entries[3:] == [
        (1, "reserve", -3),
        (None, "overdraft", -2),
        (1, "charge", 1),
        (1, "release", 1),
        (None, "overdraft", 1),
        (3, "expire", -7),
    ]
    later = old_tables.LATER
    assert [(block.renews, block.due_at) for block in rows(empty, Block)] == [
        (True, later),
        (False, later - 3 * 86_400),
        (False, None),  # ended before anybody knew of renewals
    ]
    with empty.write() as session:
        assert renewal.look_after(session, [NOW]) == [0]
    assert kinds(empty) == ["accepted", "delivered", "bounced", "bounced"]  # and nobody is told of it now
    audit(empty)
    [account] = rows(empty, Account)
    assert (account.paid_since, account.invoiced) == (1.0, 0)
    assert (account.low_armed, account.empty_armed, account.overdraft_armed) == (False, True, False)
    assert [recipient.leaves_at for recipient in recipients(empty)] == [NOW] * 5
    with empty.write() as session:
        command.downgrade(schema._config(session.connection()), "0001")
    with empty.read() as session:
        query = text("SELECT block_id, kind, units FROM ledger ORDER BY id")
        assert tuple(map(tuple, session.execute(query))) == (*old_tables.LEDGER, (3, "expire", -7))


def test_an_overdraft_is_invoiced_once_though_the_step_to_such_quota_is_taken_back_and_again(store: Store) -> None:
    now = time.time() - 100
    with store.write() as session:
        add_account(session, agreement=True)
        add_block(session, 1, 5, now + 1e6)
        add_block(session, 1, 5, now + 10, now)
    worker = add_worker(store)
    accept(store, submission(15, at=now))
    with store.write() as session:
        renewal.look_after(session, [now + 10])
    settle_all(store, lease(store, worker), worker, BOUNCED, at=now + 20, transmitted=False)
    accept(store, submission(12, at=now + 21))
    with store.write() as session:
        assert quota.invoice_overdraft(session, 1, now + 22) == 7
    audit(store)
    [before] = columns(store)
    with store.write() as session:
        command.downgrade(schema._config(session.connection()), "0003")
    schema.upgrade(store)
    assert columns(store) == [before]
    audit(store)
    with store.write() as session:
        assert quota.invoice_overdraft(session, 1, now + 23) == 0
    accept(store, submission(2, at=now + 24))
    assert told_quota(store)[-1] == (OVERDRAFT, {"overdraft": 2})  # the invoice has armed it
    with store.write() as session:
        assert quota.invoice_overdraft(session, 1, now + 25) == 2


def columns(store: Store) -> list[tuple[object, ...]]:
    """What accounts owe and may be told of."""
    return [(a.overdraft, a.invoiced, a.low_armed, a.empty_armed, a.overdraft_armed) for a in rows(store, Account)]


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


def test_what_an_older_version_has_counted_is_of_no_domain_and_no_provider(empty: Store) -> None:
    with empty.write() as session:
        command.upgrade(schema._config(session.connection()), "0001")
        old_tables.fill(session)
    schema.upgrade(empty)
    [counter] = rows(empty, Counter)
    assert (counter.account_id, counter.connection_id, counter.bucket) == (1, 7, 0)
    assert (counter.domain, counter.provider) == ("", "")
    assert (counter.arrived, counter.delivered, counter.bounced, counter.deferred) == (5, 1, 2, 0)


def test_counters_of_all_domains_and_providers_are_summed_up_for_an_older_version(store: Store) -> None:
    changes = [
        ("arrived", 5, "a.example", ""),
        ("delivered", 2, "a.example", "Google"),
        ("arrived", 1, "b.example", ""),
    ]
    with store.write() as session:
        count(session, [Change(1, 7, NOW, *change) for change in changes])
        count(session, [Change(1, 8, NOW, "arrived", 3), Change(2, 7, NOW + 900, "arrived", 4)])
        command.downgrade(schema._config(session.connection()), "0007")
        query = text("SELECT account_id, connection_id, bucket, arrived, delivered FROM counter ORDER BY 1, 2")
        assert [tuple(map(int, row)) for row in session.execute(query)] == [
            (1, 7, NOW, 6, 2),
            (1, 8, NOW, 3, 0),
            (2, 7, NOW + 900, 4, 0),
        ]
    schema.upgrade(store)
    assert sum(row.arrived for row in rows(store, Counter)) == 13


def test_keys_that_were_replaced_are_not_taken_for_new_ones_after_a_step_back_and_forth(store: Store) -> None:
    with store.write() as session:
        account = make_account(session)
        make_domain(session, account, "shop.example", trust=False)
        record_check(session, account.id, "shop.example", [], NOW)
        rotation.rotate(session, SECRETS, account.id, "shop.example", signs := new_key(), NOW)
        record_check(session, account.id, "shop.example", [], NOW + 1, [signs.selector])
        rotation.rotate(session, SECRETS, account.id, "shop.example", new_key(), NOW + 2)
    with store.write() as session:
        command.downgrade(schema._config(session.connection()), "0006")
    schema.upgrade(store)
    with store.read() as session:
        keys = domain_keys(session, SECRETS, 1, "shop.example")
    assert ([key.selector for key in keys.active], keys.waiting) == ([signs.selector], ())


def test_a_name_that_was_used_again_is_not_in_the_way_of_an_older_version(store: Store) -> None:
    with store.write() as session:
        account = make_account(session)
        for _ in range(2):
            added = add_connection(session, SECRETS, account, "web shop", (), NOW)
            retire(session, session.get_one(Connection, added.connection_id), NOW)
        add_connection(session, SECRETS, account, "web shop", (), NOW)
        command.downgrade(schema._config(session.connection()), "0006")
        names = session.execute(text("SELECT name FROM connection ORDER BY id")).scalars().all()
    assert names == ["web shop (1)", "web shop (2)", "web shop"]


def everything(store: Store) -> dict[str, list[tuple[object, ...]]]:
    """All rows, as wide as they were at first, of the tables in which no step has changed what was there."""
    first = importlib.import_module("postmeter.store.migrations.versions.0001_the_first_tables").TABLES
    quote = store.engine.dialect.identifier_preparer.quote
    kept = sorted({*first} - {"account", "connection", "block", "ledger", "counter"})
    with store.read() as session:
        rows = {name: session.execute(text(f"SELECT * FROM {quote(name)} ORDER BY 1, 2")).all() for name in kept}
    return {name: [tuple(row)[: WIDTHS.get(name)] for row in found] for name, found in rows.items()}


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
