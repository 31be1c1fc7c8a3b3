"""What a failed change was caused by."""

from __future__ import annotations

import errno
import sqlite3

import psycopg
import pytest
from psycopg import errors as pg
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as NoConnection

from postmeter.store.errors import connection_lost, disk_is_full, in_short, unusable


def full() -> sqlite3.OperationalError:
    database = sqlite3.connect(":memory:")
    database.execute("CREATE TABLE t (x)")
    database.execute("PRAGMA max_page_count = 3")
    try:
        database.execute("INSERT INTO t VALUES (?)", (bytes(100_000),))
    except sqlite3.OperationalError as error:
        return error
    finally:
        database.close()
    raise AssertionError


def locked() -> sqlite3.OperationalError:
    made = sqlite3.OperationalError("database is locked")
    made.sqlite_errorcode = sqlite3.SQLITE_BUSY
    return made


def wrapped(error: BaseException) -> OperationalError:
    return OperationalError("INSERT", {}, error)


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "x"), OSError(errno.EDQUOT, "x"), full(), wrapped(full()), pg.DiskFull("x")]
)
def test_a_full_disk_is_known(error: Exception) -> None:
    assert disk_is_full(error)
    assert unusable(error)
    assert not connection_lost(error)


@pytest.mark.parametrize(
    "error",
    [
        psycopg.OperationalError("connection refused"),
        psycopg.InterfaceError("the connection is closed"),
        pg.AdminShutdown("x"),
        pg.ConnectionFailure("x"),
        pg.IdleInTransactionSessionTimeout("x"),
        wrapped(psycopg.OperationalError("gone")),
    ],
)
def test_a_lost_connection_is_known(error: Exception) -> None:
    assert connection_lost(error)
    assert unusable(error)
    assert not disk_is_full(error)


@pytest.mark.parametrize(
    "error",
    [
        pg.DeadlockDetected("x"),
        pg.UniqueViolation("x"),
        psycopg.DataError("NUL"),
        psycopg.ProgrammingError("no adapter"),
        sqlite3.OperationalError("database is locked"),
        ValueError("x"),
        OSError(errno.EIO, "x"),
    ],
)
def test_other_errors_are_neither(error: Exception) -> None:
    assert not connection_lost(error)
    assert not disk_is_full(error)
    assert not unusable(error)


@pytest.mark.parametrize(
    "error",
    [
        pg.LockNotAvailable("x"),
        pg.QueryCanceled("x"),
        wrapped(pg.QueryCanceled("x")),
        wrapped(locked()),
        NoConnection("x"),
    ],
)
def test_who_waited_too_long_need_not_try_parts_at_once(error: Exception) -> None:
    assert unusable(error)
    assert not connection_lost(error)
    assert not disk_is_full(error)


def test_what_is_wrong_is_said_in_one_line_without_the_statement() -> None:
    assert in_short(wrapped(full())) == "database or disk is full"
    assert in_short(pg.UniqueViolation("duplicate key\nDETAIL: Key (email)=(x)")) == "duplicate key"
