"""A throwaway PostgreSQL cluster for one test session: installed binaries, a Unix socket, nothing on the network."""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import psycopg

from postmeter.store import (  # noqa: F401 - their tables are among all
    conduct_tables,
    operator_tables,
    panel_tables,
    plugin_tables,
    recipient_tables,
    tls_tables,
)
from postmeter.store.tables import Base

_SETTINGS = (
    "listen_addresses=",
    "fsync=on",  # as Postmeter demands; costs little in memory
    "synchronous_commit=on",
    "full_page_writes=off",
    "max_connections=200",
    "shared_buffers=32MB",
    "autovacuum=off",
)
# Runs the server until our end of its standard input closes, which it does however the tests end.
_GUARD = """
folder=$1; shift
"$@" >"$folder/log" 2>&1 </dev/null & server=$!
cat >/dev/null
kill -QUIT $server; wait $server; rm -rf "$folder"
"""
_OWN = ", ".join(f"'{name}'" for name in ("alembic_version", *Base.metadata.tables))
_EMPTY = f"""
SET lock_timeout = '3s';
DO $$ DECLARE names text; BEGIN
    SELECT string_agg(quote_ident(tablename), ', ') INTO names
    FROM pg_tables WHERE schemaname = 'public' AND tablename NOT IN ({_OWN});
    IF names IS NOT NULL THEN EXECUTE 'DROP TABLE ' || names || ' CASCADE'; END IF;
    SELECT string_agg(quote_ident(tablename), ', ') INTO names
    FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version';
    EXECUTE 'TRUNCATE ' || names || ' RESTART IDENTITY CASCADE';
END $$
"""


def find_binaries() -> Path | None:
    """The folder that has initdb and postgres: the newest one installed; None without PostgreSQL."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_version, reverse=True)
    if found := shutil.which("initdb"):
        folders.append(Path(found).resolve().parent)
    needed = ("initdb", "postgres")
    return next((folder for folder in folders if all((folder / name).exists() for name in needed)), None)


def _version(folder: Path) -> float:
    try:
        return float(folder.parent.name)
    except ValueError:
        return 0.0


def _roomy_memory() -> str | None:
    """A file system in memory that has room for some hundred small databases."""
    shared = "/dev/shm"
    return shared if os.path.ismount(shared) and shutil.disk_usage(shared).free > 4 << 30 else None


def _user() -> pwd.struct_passwd | None:
    """Whom the server runs as when the tests run as root, which PostgreSQL refuses."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    return None


class Cluster:
    """A server with a template database called ``migrated``, of which tests are lent copies."""

    def __init__(self, binaries: Path) -> None:
        self._binaries = binaries
        self._folder = Path(tempfile.mkdtemp(prefix="pm-pg-", dir=_roomy_memory() or "/tmp"))  # short, for the socket
        self._numbers = itertools.count(1)
        self._emptied: list[str] = []
        self._server: subprocess.Popen[bytes] | None = None
        self._options: dict[str, Any] = {"cwd": self._folder, "env": {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}}
        if user := _user():
            os.chown(self._folder, user.pw_uid, user.pw_gid)
            self._options |= {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}

    def start(self) -> None:
        """Make the cluster and start its server."""
        data = self._folder / "data"
        self._run("initdb", "-D", data, "-U", "postmeter", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        settings = [f"-c{setting}" for setting in (*_SETTINGS, f"unix_socket_directories={self._folder}")]
        self._server = subprocess.Popen(
            ["/bin/sh", "-c", _GUARD, "guard", self._folder, self._binaries / "postgres", "-D", data, *settings],
            stdin=subprocess.PIPE,
            **self._options,
        )
        self._wait()

    def stop(self) -> None:
        """Stop the server and remove everything."""
        if self._server:
            self._server.communicate()
        shutil.rmtree(self._folder, ignore_errors=True)

    def url(self, database: str) -> str:
        """The SQLAlchemy URL of a database."""
        return f"postgresql+psycopg://postmeter@/{database}?host={self._folder}"

    def create(self, database: str = "", template: str = "template1") -> str:
        """Make a database (of a new name) as a copy of ``template`` and give its name."""
        name = database or f"test{next(self._numbers)}"
        self._execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY file_copy')
        return name

    def drop(self, database: str) -> None:
        """Remove a database, whoever is still connected."""
        self._execute(f'DROP DATABASE "{database}" WITH (FORCE)')

    def lend(self) -> str:
        """A migrated database without rows: one that was given back, or a new copy."""
        return self._emptied.pop() if self._emptied else self.create(template="migrated")

    def take_back(self, database: str) -> None:
        """Empty a database for the next test (ten times faster than a copy), or drop it if somebody still uses it.

        Tables of plugins go.
        """
        try:
            self._execute(_EMPTY, database)
        except psycopg.Error:
            self.drop(database)
        else:
            self._emptied.append(database)

    def _execute(self, statement: str, database: str = "postgres") -> None:
        with psycopg.connect(host=str(self._folder), user="postmeter", dbname=database, autocommit=True) as connection:
            connection.execute(statement.encode())

    def _wait(self) -> None:
        deadline = time.monotonic() + 30
        while True:
            try:
                self._execute("SELECT 1")
            except psycopg.OperationalError:
                if time.monotonic() > deadline or (self._server and self._server.poll() is not None):
                    raise RuntimeError(
                        f"postgres does not start: {(self._folder / 'log').read_text()[-2000:]}"
                    ) from None
                time.sleep(0.02)
            else:
                return

    def _run(self, program: str, *arguments: str | Path) -> None:
        done = subprocess.run(
            [self._binaries / program, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            **self._options,
        )
        if done.returncode:
            raise RuntimeError(f"{program} failed: {done.stdout.decode()[-2000:]}")
