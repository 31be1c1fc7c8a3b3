"""Opens the database so that a commit is on disk when it returns, and gives out read and write transactions."""

from __future__ import annotations

import fcntl
import os
import struct
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.orm import Session

from postmeter.errors import ConfigError, UnreachableError
from postmeter.store.errors import in_short

# A server that is gone is given up: seconds; ms
_CONNECTING = {"connect_timeout": 10, "tcp_user_timeout": 15_000}
# Nobody waits for ever for somebody who hangs; the commits of a worker must go on well within its lease.
_LIMITS = "-c lock_timeout=10s -c statement_timeout=60s -c idle_in_transaction_session_timeout=60s"


class Turns:
    """A fair lock between processes: writers of one SQLite file take turns (SQLite's own lock starves some).

    Two byte-range locks: who holds *next in line* waits for *the pen* and lets go of the first when it has the
    pen, so the kernel's queue is first come, first served. A killed process leaves nothing behind.
    """

    _NEXT, _PEN = 0, 1

    def __init__(self, path: Path) -> None:
        self._mutex = threading.Lock()
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def __enter__(self) -> None:
        self._mutex.acquire()
        try:
            self._set(self._NEXT, fcntl.F_WRLCK)
            self._set(self._PEN, fcntl.F_WRLCK)
            self._set(self._NEXT, fcntl.F_UNLCK)
        except BaseException:
            self._set(self._NEXT, fcntl.F_UNLCK)
            self._set(self._PEN, fcntl.F_UNLCK)
            self._mutex.release()
            raise

    def __exit__(self, *exc: object) -> None:
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
        # PostgreSQL: READ COMMITTED (set in _postgresql) for writes, which lock the rows they go by
        self._reading = engine if turns else engine.execution_options(isolation_level="REPEATABLE READ")
        self._writing = engine.execution_options(writing=True) if turns else engine

    @classmethod
    def open(cls, url: str) -> Store:
        """Connect and make sure that a commit will be durable; UnreachableError or ConfigError say what is wrong."""
        try:
            target = make_url(url)
            if target.get_backend_name() == "sqlite":
                return cls(_sqlite(url), Turns(Path(f"{target.database}.turns")))
            engine = _postgresql(url)
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

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()
        if self._turns:
            self._turns.close()


def _sqlite(url: str) -> Engine:
    driver = {"isolation_level": None, "timeout": 15, "check_same_thread": False}
    engine = create_engine(
        url,
        connect_args=driver,
        pool_reset_on_return=None,  # sessions end their transactions
        hide_parameters=True,  # errors are logged; addresses and hashes are not
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: object) -> None:
        mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA wal_autocheckpoint = 4000")  # pages: most are written again before they are copied
        connection.execute("PRAGMA cache_size = -8192")  # KiB
        connection.execute("PRAGMA mmap_size = 268435456")  # octets read without a system call
        synchronous = connection.execute("PRAGMA synchronous").fetchone()[0]
        if (mode, synchronous) != ("wal", 2):
            raise UnreachableError(f"SQLite would not be durable here (journal_mode {mode}, synchronous {synchronous})")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writing = connection.get_execution_options().get("writing")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")

    with _checked(engine):
        return engine


def _postgresql(url: str) -> Engine:
    own = make_url(url).query.get("options", ())
    engine = create_engine(
        url,
        hide_parameters=True,  # errors are logged; addresses and hashes are not
        pool_size=8,
        max_overflow=8,
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


def _public(url: str) -> str:
    """The URL without its password."""
    try:
        return make_url(url).render_as_string(hide_password=True)
    except ArgumentError:
        return "(not a URL)"
