"""What a failed change was caused by."""

from __future__ import annotations

import errno
import sqlite3

import psycopg
import pytest
from psycopg import errors as pg
from sqlalchemy.exc import OperationalError

from postmeter.store.errors import connection_lost, disk_is_full


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


def wrapped(error: BaseException) -> OperationalError:
    return OperationalError("INSERT", {}, error)


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "x"), OSError(errno.EDQUOT, "x"), full(), wrapped(full()), pg.DiskFull("x")]
)
def test_a_full_disk_is_known(error: Exception) -> None:
    assert disk_is_full(error)
    assert not connection_lost(error)


@pytest.mark.parametrize(
    "error",
    [
        psycopg.OperationalError("connection refused"),
        psycopg.InterfaceError("the connection is closed"),
        pg.AdminShutdown("x"),
        pg.ConnectionFailure("x"),
        wrapped(psycopg.OperationalError("gone")),
    ],
)
def test_a_lost_connection_is_known(error: Exception) -> None:
    assert connection_lost(error)
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
