"""What all tests share: a clean reactor after each, a limit for Deferreds, and the store on both databases."""

from __future__ import annotations

import functools
import gc
import inspect
import os
import shutil
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, settings
from twisted.internet import reactor
from twisted.internet.defer import Deferred, ensureDeferred

from postmeter.store import schema
from postmeter.store.engine import Store
from postmeter.testing.workbench import migrated
from support.command import Cli
from support.hygiene import Watch
from support.postgres import Cluster, find_binaries

DEFERRED_TIMEOUT = 20.0  # seconds

settings.register_profile("postmeter", deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
settings.load_profile("postmeter")


@pytest.fixture(scope="module", autouse=True)
def settled() -> None:
    """Take what exists before a module out of garbage collection, so that collecting after each test is cheap."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Give a test that makes a Deferred a limit, so that one that never fires fails alone.

    Of a hypothesis test it is the inner function; put back afterwards, since pytest-twisted wraps it again for each
    set of parameters and would wait for itself.
    """
    holder, name = getattr(pyfuncitem.obj, "hypothesis", None), "inner_test"
    if holder is None:
        holder, name = pyfuncitem, "obj"
    function = getattr(holder, name)
    setattr(holder, name, _limited(function))
    try:
        return (yield)
    finally:
        setattr(holder, name, function)


def _limited(function: Callable[..., Any]) -> Callable[..., Any]:
    if not (inspect.iscoroutinefunction(function) or hasattr(function, "_pytest_twisted_mark")):
        return function

    @functools.wraps(function)
    def limited(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        if inspect.iscoroutine(result):
            result = ensureDeferred(result)
        return result.addTimeout(DEFERRED_TIMEOUT, reactor) if isinstance(result, Deferred) else result

    if hasattr(limited, "_pytest_twisted_mark"):
        del limited._pytest_twisted_mark  # what comes out now is a Deferred, not a coroutine
    return limited


@pytest.fixture(autouse=True)
def clean_reactor() -> Iterator[Watch]:
    """Fail a test that leaves a logged failure, an unhandled Deferred error, a delayed call or an open socket.

    A test that expects logged failures asks for this fixture and calls ``flush``.
    """
    watch = Watch()
    yield watch
    if left := watch.finish():
        pytest.fail("\n".join(left), pytrace=False)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file, to be copied."""
    return migrated(tmp_path_factory.mktemp("template") / "postmeter.db")


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    """A PostgreSQL server of this session, with a migrated template database called ``migrated``."""
    binaries = find_binaries()
    if binaries is None:
        reason = "PostgreSQL is not installed (no initdb and postgres in PATH or /usr/lib/postgresql)"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    cluster = Cluster(binaries)
    try:
        cluster.start()
        store = Store.open(cluster.url(cluster.create("migrated")))
        schema.upgrade(store)
        store.close()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """A migrated SQLite database of this test's own."""
    path = tmp_path / "postmeter.db"
    shutil.copyfile(sqlite_template, path)
    return f"sqlite:///{path}"


@pytest.fixture
def postgres_url(postgres: Cluster) -> Iterator[str]:
    """A migrated PostgreSQL database of this test's own."""
    database = postgres.lend()
    yield postgres.url(database)
    postgres.take_back(database)


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest) -> str:
    """A migrated database, once of each kind."""
    url: str = request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url")
    return url


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """An open, migrated store, once of each kind."""
    opened = Store.open(store_url)
    yield opened
    opened.close()


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data folder, not made yet, of a relay with the defaults; commands run in the folder above it."""
    for name in os.environ:
        if name.startswith("POSTMETER_") and not name.startswith("POSTMETER_TEST"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "data"


@pytest.fixture
def cli(data: Path) -> Cli:
    """Runs the command `postmeter` with arguments, in this process."""
    from postmeter.cli import main  # brings everything in: only for tests that need it

    def run(*arguments: str, **options: Any) -> Result:
        return CliRunner().invoke(main, arguments, catch_exceptions=False, **options)

    return run
