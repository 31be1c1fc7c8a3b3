"""What a failed change to the database was caused by."""

from __future__ import annotations

import errno
import sqlite3

from sqlalchemy.exc import DBAPIError


def disk_is_full(error: BaseException) -> bool:
    """Whether there was no room left: the operator must make some, and clients come back later."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(cause, sqlite3.Error):
        return getattr(cause, "sqlite_errorcode", 0) == sqlite3.SQLITE_FULL
    return getattr(cause, "sqlstate", None) == "53100"  # PostgreSQL: disk_full
