"""Creates and migrates the tables, and refuses to work on those of another version."""

from __future__ import annotations

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, text

from postmeter.errors import PostmeterError
from postmeter.store.engine import Store

_LOCK = 0x706F73746D657465  # "postmete": PostgreSQL's advisory lock of whoever migrates


def upgrade(store: Store) -> None:
    """Create the tables or bring them to this version, all or nothing; who comes second finds it done.

    PostmeterError when a newer version has made them.
    """
    with store.write() as session:  # SQLite: nobody else writes meanwhile
        connection = session.connection()
        alone(connection)
        current = _current(connection)
        if _known(current):
            command.upgrade(_config(connection), "head")
        else:
            raise _newer(current)


def alone(connection: Connection) -> None:
    """Let nobody else migrate during this transaction, however long it takes (SQLite has one writer anyway)."""
    if connection.dialect.name == "postgresql":
        for limit in ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout"):
            connection.exec_driver_sql(f"SET LOCAL {limit} = 0")  # many rows take their time
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})


def check(store: Store) -> None:
    """PostmeterError with a sentence unless the tables are those of this version."""
    with store.read() as session:
        current = _current(session.connection())
    if current is None:
        raise PostmeterError("the database has no tables yet; `postmeter up` makes them")
    if not _known(current):
        raise _newer(current)
    if current != _scripts().get_current_head():
        raise PostmeterError("the database was made by an older Postmeter; stop it, then `postmeter up` migrates it")


def ensure(store: Store) -> None:
    """Create the tables if there are none, else ``check`` them: never migrates under a relay that runs."""
    with store.read() as session:
        empty = _current(session.connection()) is None
    if empty:
        upgrade(store)
    else:
        check(store)


def version(store: Store) -> str | None:
    """The number of the last migration step that was taken; None when there are no tables."""
    with store.read() as session:
        return _current(session.connection())


def _current(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _known(current: str | None) -> bool:
    if current is None:
        return True
    try:
        return _scripts().get_revision(current) is not None
    except CommandError:
        return False


def _newer(current: str | None) -> PostmeterError:
    return PostmeterError(f"the database was made by a newer Postmeter (step {current}); install that version")


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config(None))


def _config(connection: Connection | None) -> Config:
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", "postmeter.store:migrations")
    config.set_main_option("path_separator", "os")
    return config
