"""A throwaway PostgreSQL cluster for one test session: installed binaries, a Unix socket, nothing on the network."""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path

import psycopg

_SETTINGS = (
    "listen_addresses=''",
    "fsync=off",  # the data is thrown away
    "synchronous_commit=on",
    "full_page_writes=off",
    "max_connections=200",
    "shared_buffers=32MB",
    "autovacuum=off",
)


def find_binaries() -> Path | None:
    """The folder that has initdb, pg_ctl and postgres: the newest one installed; None without PostgreSQL."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_version, reverse=True)
    if found := shutil.which("pg_ctl"):
        folders.append(Path(found).resolve().parent)
    needed = ("initdb", "pg_ctl", "postgres")
    return next((folder for folder in folders if all((folder / name).exists() for name in needed)), None)


def _version(folder: Path) -> float:
    try:
        return float(folder.parent.name)
    except ValueError:
        return 0.0


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
    """A server with a template database, of which each test gets a copy."""

    def __init__(self, binaries: Path) -> None:
        self._binaries = binaries
        self._user = _user()
        self._folder = Path(tempfile.mkdtemp(prefix="pm-pg-", dir="/tmp"))  # a socket's path must be short
        self._numbers = itertools.count(1)
        if self._user:
            os.chown(self._folder, self._user.pw_uid, self._user.pw_gid)

    def start(self) -> None:
        """Make the cluster and start its server."""
        data = self._folder / "data"
        self._run("initdb", "-D", data, "-U", "postmeter", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        settings = " ".join(f"-c {setting}" for setting in (*_SETTINGS, f"unix_socket_directories={self._folder}"))
        self._run("pg_ctl", "start", "-w", "-t", "30", "-D", data, "-l", self._folder / "log", "-o", settings)

    def stop(self) -> None:
        """Stop the server and remove everything."""
        try:
            self._run("pg_ctl", "stop", "-m", "immediate", "-D", self._folder / "data")
        finally:
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

    def _execute(self, statement: str) -> None:
        with psycopg.connect(
            host=str(self._folder), user="postmeter", dbname="postgres", autocommit=True
        ) as connection:
            connection.execute(statement.encode())

    def _run(self, program: str, *arguments: str | Path) -> None:
        user = {"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": []} if self._user else {}
        done = subprocess.run(
            [self._binaries / program, *arguments],
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if program == "initdb" else subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
            check=False,
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
            **user,  # type: ignore[arg-type]
        )
        if done.returncode:
            log = self._folder / "log"
            said = (done.stdout or b"").decode() + (log.read_text() if log.exists() else "")
            raise RuntimeError(f"{program} failed: {said[-2000:]}")
