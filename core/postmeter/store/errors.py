"""What a failed change to the database was caused by."""

from __future__ import annotations

import errno
import sqlite3

from sqlalchemy.exc import DBAPIError, TimeoutError

_GONE = ("08", "57P", "25P03")  # SQLSTATEs: connection exception, shutdown, the time for an idle transaction is over
_WAITED = ("55P03", "57014")  # SQLSTATEs: a lock, or the end of a statement, was waited for too long


def disk_is_full(error: BaseException) -> bool:
    """Whether there was no room left: the operator must make some, and clients come back later."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(cause, sqlite3.Error):
        return getattr(cause, "sqlite_errorcode", 0) == sqlite3.SQLITE_FULL
    return getattr(cause, "sqlstate", None) == "53100"  # PostgreSQL: disk_full


def connection_lost(error: BaseException) -> bool:
    """Whether the database server cannot be reached (now), so that trying the same again at once is of no use."""
    if isinstance(error, DBAPIError):
        return error.connection_invalidated or (error.orig is not None and connection_lost(error.orig))
    if isinstance(error, sqlite3.Error) or not hasattr(error, "sqlstate"):
        return False
    if error.sqlstate is None:  # psycopg: not the server's word but the connection's
        return {"OperationalError", "InterfaceError"} & {kind.__name__ for kind in type(error).__mro__} != set()
    return str(error.sqlstate).startswith(_GONE)


def unusable(error: BaseException) -> bool:
    """Whether the trouble is the whole database's, so that trying the same at once, or in parts, is of no use."""
    if disk_is_full(error) or connection_lost(error) or isinstance(error, TimeoutError):  # no connection was free
        return True
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(cause, sqlite3.Error):
        return getattr(cause, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_IOERR)
    return getattr(cause, "sqlstate", None) in _WAITED


def in_short(error: BaseException) -> str:
    """One line that says what is wrong, without the statement that met it."""
    return str(getattr(error, "orig", None) or error).strip().split("\n")[0]
