"""Opens the database so that a commit is on disk when it returns, and gives out read and write transactions."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import struct
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Self

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError
from sqlalchemy.orm import Session

from postmeter.errors import ConfigError, UnreachableError
from postmeter.store.errors import in_short
from postmeter.store.lent import LentConnection, Loan

# A server that is gone is given up: seconds; ms
_CONNECTING = {"connect_timeout": 10, "tcp_user_timeout": 15_000}
# Nobody waits for ever for somebody who hangs; the commits of a worker must go on well within its lease.
_LIMITS = "-c lock_timeout=10s -c statement_timeout=60s -c idle_in_transaction_session_timeout=60s"
_MANY: dict[str, Any] = {"pool_size": 8, "max_overflow": 8}  # connections to PostgreSQL that are kept, and more
_FEW: dict[str, Any] = {"pool_size": 2, "max_overflow": 6}  # of a plugin
LIMIT = 5.0  # seconds that a plugin may keep others from writing; they wait longer than that


class Turns:
    """A fair lock between processes: writers of one SQLite file take turns (SQLite's own lock starves some).

    Two byte-range locks: who holds *next in line* waits for *the pen* and lets go of the first when it has the
    pen, so the kernel's queue is first come, first served. A killed process leaves nothing behind. RuntimeError for
    a thread that has its turn already and would wait for itself.
    """

    _NEXT, _PEN = 0, 1

    def __init__(self, path: Path) -> None:
        self._mutex = threading.Lock()
        self._owner: int | None = None  # the thread whose turn it is
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def __enter__(self) -> None:
        if self._owner == threading.get_ident():
            raise RuntimeError("a write transaction cannot begin inside of another")
        self._mutex.acquire()
        try:
            self._set(self._NEXT, fcntl.F_WRLCK)
            self._set(self._PEN, fcntl.F_WRLCK)
            self._set(self._NEXT, fcntl.F_UNLCK)
            self._owner = threading.get_ident()
        except BaseException:
            self._set(self._NEXT, fcntl.F_UNLCK)
            self._set(self._PEN, fcntl.F_UNLCK)
            self._mutex.release()
            raise

    def __exit__(self, *exc: object) -> None:
        self._owner = None
        self._set(self._PEN, fcntl.F_UNLCK)
        self._mutex.release()

    def close(self) -> None:
        """Give the file back."""
        os.close(self._fd)

    def _set(self, byte: int, kind: int) -> None:
        # struct flock: type, whence, start, length, pid (must be 0 for locks of an open file description)
        lock = struct.pack("hhqqi4x", kind, os.SEEK_SET, byte, 1, 0)
        fcntl.fcntl(self._fd, fcntl.F_OFD_SETLKW, lock)


class Store:
    """One database: ``read()`` and ``write()`` give a Session inside a transaction. Everything here blocks."""

    def __init__(self, engine: Engine, turns: Turns | None) -> None:
        self.engine = engine
        self._turns = turns
        self._lent: list[LentStore] = []
        # PostgreSQL: READ COMMITTED (set in _postgresql) for writes, which lock the rows they go by
        self._reading = engine if turns else engine.execution_options(isolation_level="REPEATABLE READ")
        self._writing = engine.execution_options(writing=True) if turns else engine

    @classmethod
    def open(cls, url: str | URL, lent: bool = False) -> Self:
        """Connect and make sure that a commit will be durable; UnreachableError or ConfigError say what is wrong.

        ``lent``: with few connections, which can be taken back.
        """
        try:
            target = make_url(url)
            if target.get_backend_name() == "sqlite":
                return cls(_sqlite(target, lent), Turns(Path(f"{target.database}.turns")))
            engine = _postgresql(target, lent)
        except (ArgumentError, NoSuchModuleError, ImportError) as error:
            raise ConfigError(f"store.url {_public(url)!r} cannot be used: {error}") from None
        except (DBAPIError, OSError) as error:
            raise UnreachableError(f"the database {_public(url)} cannot be opened: {in_short(error)}") from None
        return cls(engine, None)

    @property
    def sqlite(self) -> bool:
        """Whether this is the embedded database of one machine."""
        return self._turns is not None

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A Session that sees one state of the database."""
        with Session(self._reading, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A Session inside one write transaction, committed durably at the end, rolled back on an exception."""
        turn: AbstractContextManager[None] = self._turns or nullcontext()
        with turn, Session(self._writing, expire_on_commit=False) as session, session.begin():
            yield session

    def lend(self, borrower: str, limit: float = LIMIT) -> LentStore:
        """The same database for a plugin of that name; closed with this store."""
        lent = LentStore(self, borrower, limit)
        self._lent.append(lent)
        return lent

    def close(self) -> None:
        """Close all connections."""
        for lent in self._lent:
            lent.close()
        self.engine.dispose()
        if self._turns:
            self._turns.close()


class LentStore:
    """A database that ``borrower`` uses by a few connections of its own, opened when they are first needed.

    Whatever becomes of them, nobody else is short of any. A write transaction has ``limit`` seconds (PostgreSQL: for
    each pause in it), then it is rolled back: its next statement, or its commit, raises a DBAPIError.
    """

    def __init__(self, lender: Store, borrower: str, limit: float) -> None:
        self._lender = lender
        self._borrower = borrower
        self._limit = limit
        self._opening = threading.Lock()
        self._store: Store | None = None

    def read(self) -> AbstractContextManager[Session]:
        """As ``Store.read``."""
        return self._opened().read()

    @contextmanager
    def write(self) -> Iterator[Session]:
        """As ``Store.write``."""
        store = self._opened()
        # The connection first: whoever waits for one keeps nobody waiting for his turn.
        with (
            store._writing.connect() as connection,
            self._turn(store, connection),
            Session(connection, expire_on_commit=False) as session,
            session.begin(),
        ):
            self._begin(store, session)
            yield session

    def close(self) -> None:
        """Close its connections, if there are any."""
        if self._store:
            self._store.close()

    def _opened(self) -> Store:
        with self._opening:
            if self._store is None:
                self._store = Store.open(self._lender.engine.url, lent=True)
            return self._store

    def _turn(self, store: Store, connection: Connection) -> AbstractContextManager[None]:
        return Loan(connection, store._turns, self._borrower, self._limit) if store._turns else nullcontext()

    def _begin(self, store: Store, session: Session) -> None:
        """From now on, not from the first statement, others cannot write (SQLite), and the limit holds (PostgreSQL)."""
        connection = session.connection()
        if not store.sqlite:
            limit = int(self._limit * 1000)
            connection.exec_driver_sql(f"SET LOCAL idle_in_transaction_session_timeout = {limit}")


def _sqlite(url: URL, lent: bool) -> Engine:
    driver = {"isolation_level": None, "timeout": 15, "check_same_thread": False}
    engine = create_engine(
        url,
        connect_args={**driver, "factory": LentConnection} if lent else driver,
        pool_reset_on_return=None,  # sessions end their transactions
        hide_parameters=True,  # errors are logged; addresses and hashes are not
        **(_FEW if lent else {}),
    )
    cache = 2048 if lent else 8192  # KiB

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: object) -> None:
        mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA wal_autocheckpoint = 4000")  # pages: most are written again before they are copied
        connection.execute(f"PRAGMA cache_size = -{cache}")
        connection.execute("PRAGMA mmap_size = 268435456")  # octets read without a system call
        synchronous = connection.execute("PRAGMA synchronous").fetchone()[0]
        if (mode, synchronous) != ("wal", 2):
            raise UnreachableError(f"SQLite would not be durable here (journal_mode {mode}, synchronous {synchronous})")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        sql = "BEGIN IMMEDIATE" if connection.get_execution_options().get("writing") else "BEGIN"
        driver: Any = connection.connection.dbapi_connection
        try:
            driver.execute(sql)  # SQLAlchemy would need more for it than all the rest of a small transaction
        except sqlite3.Error as error:
            raise OperationalError(sql, None, error, hide_parameters=True) from error

    with _checked(engine):
        return engine


def _postgresql(url: URL, lent: bool) -> Engine:
    own = url.query.get("options", ())
    engine = create_engine(
        url,
        hide_parameters=True,  # errors are logged; addresses and hashes are not
        **(_FEW if lent else _MANY),
        pool_pre_ping=True,
        isolation_level="READ COMMITTED",
        connect_args={**_CONNECTING, "options": " ".join([_LIMITS, *([own] if isinstance(own, str) else own)])},
    )
    with _checked(engine) as connection:
        for name in ("synchronous_commit", "fsync"):
            if connection.exec_driver_sql(f"SHOW {name}").scalar_one() == "off":
                raise ConfigError(f"PostgreSQL runs with {name} = off: an accepted mail could be lost; switch it on")
    return engine


@contextmanager
def _checked(engine: Engine) -> Iterator[Connection]:
    """A first connection; an engine that cannot be used keeps none open."""
    try:
        with engine.connect() as connection:
            yield connection
    except BaseException:
        engine.dispose()
        raise


def _public(url: str | URL) -> str:
    """The URL without its password."""
    try:
        return make_url(url).render_as_string(hide_password=True)
    except ArgumentError:
        return "(not a URL)"
