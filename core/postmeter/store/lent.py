"""SQLite for those who are not trusted with it: a write transaction that takes too long is taken away."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, cast
from weakref import WeakSet

from sqlalchemy import Connection

log = logging.getLogger(__name__)

INTERRUPT_EVERY = 0.05  # seconds


class LentConnection(sqlite3.Connection):
    """A connection that can be taken from the thread that uses it, whatever that is at; for ever.

    Each use locks it, so that it is never closed under a statement. Whoever still uses it then gets an
    OperationalError, also at the commit.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.taken = False
        self.used = threading.RLock()
        self._cursors: WeakSet[LentCursor] = WeakSet()

    @contextmanager
    def using(self) -> Iterator[None]:
        """Inside, nobody takes it; OperationalError when that was done."""
        with self.used:
            if self.taken:
                raise sqlite3.OperationalError("the transaction took too long and was rolled back")
            yield

    def take(self) -> None:
        """Let no further statement begin, interrupt the one that runs, roll back and close."""
        self.taken = True
        while not self.used.acquire(timeout=INTERRUPT_EVERY):
            self.interrupt()
        try:
            for cursor in self._cursors:  # one with rows to come would have the rollback interrupted as well
                sqlite3.Cursor.close(cursor)
            super().rollback()
        finally:
            self.close()
            self.used.release()

    def cursor(self, factory: Any = None) -> Any:
        """A cursor that asks before each use."""
        with self.using():
            cursor = super().cursor(LentCursor)
            self._cursors.add(cursor)
            return cursor

    def commit(self) -> None:
        """As sqlite3 does it, if it is not too late."""
        with self.using():
            super().commit()

    def rollback(self) -> None:
        """As sqlite3 does it; of one that was taken there is nothing left."""
        with self.used:
            if not self.taken:
                super().rollback()


class LentCursor(sqlite3.Cursor):
    """A cursor of such a connection."""

    def execute(self, sql: str, parameters: Any = (), /) -> LentCursor:
        """As sqlite3 does it."""
        with self._using():
            super().execute(sql, parameters)
        return self

    def executemany(self, sql: str, rows: Iterable[Any], /) -> LentCursor:
        """As sqlite3 does it; the rows are there before it begins."""
        rows = list(rows)
        with self._using():
            super().executemany(sql, rows)
        return self

    def executescript(self, script: str, /) -> LentCursor:
        """As sqlite3 does it."""
        with self._using():
            super().executescript(script)
        return self

    def fetchone(self) -> Any:
        """As sqlite3 does it."""
        with self._using():
            return super().fetchone()

    def fetchmany(self, size: int | None = None) -> list[Any]:
        """As sqlite3 does it."""
        with self._using():
            return super().fetchmany(self.arraysize if size is None else size)

    def fetchall(self) -> list[Any]:
        """As sqlite3 does it."""
        with self._using():
            return super().fetchall()

    def __next__(self) -> Any:
        with self._using():
            return super().__next__()

    def close(self) -> None:
        """As sqlite3 does it; of a connection that was taken all are closed."""
        with self._lent.used:
            if not self._lent.taken:
                super().close()

    @property
    def _lent(self) -> LentConnection:
        return cast(LentConnection, self.connection)

    def _using(self) -> AbstractContextManager[None]:
        return self._lent.using()


class Loan:
    """The turn of ``borrower`` to write: it ends with the transaction, or ends that after ``limit`` seconds."""

    def __init__(
        self, connection: Connection, turns: AbstractContextManager[None], borrower: str, limit: float
    ) -> None:
        self._connection = connection
        self._lent = cast(LentConnection, connection.connection.dbapi_connection)
        self._turns = turns
        self._borrower = borrower
        self._limit = limit
        self._ending = threading.Lock()
        self._over = False
        self._timer = threading.Timer(limit, self._take_back)
        self._timer.daemon = True

    def __enter__(self) -> None:
        self._turns.__enter__()
        try:
            self._timer.start()
        except BaseException:
            self._turns.__exit__(None, None, None)
            raise

    def __exit__(self, *exc: object) -> None:
        self._timer.cancel()
        with self._ending:
            self._end()
        if self._lent.taken:
            self._connection.invalidate()  # the pool makes a new one

    def _take_back(self) -> None:
        with self._ending:
            if self._over:
                return
            log.error("plugin %s has kept all others from writing for %g s", self._borrower, self._limit)
            try:
                self._lent.take()
            finally:
                self._end()

    def _end(self) -> None:
        if not self._over:
            self._over = True
            self._turns.__exit__(None, None, None)
