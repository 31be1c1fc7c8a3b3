"""Opening a database that keeps what it commits, and taking turns at writing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, OperationalError

from postmeter.errors import ConfigError, UnreachableError
from postmeter.store import schema
from postmeter.store.engine import Store, Turns
from postmeter.store.errors import unusable
from postmeter.store.tables import Account
from support.postage import at_once, rows
from support.postgres import Cluster
from support.tenants import NOW


def test_sqlite_commits_are_durable(sqlite_url: str) -> None:
    store = Store.open(sqlite_url)
    for opened in (store.read, store.write):
        with opened() as session:
            pragmas = [session.scalar(text(f"PRAGMA {name}")) for name in ("journal_mode", "synchronous")]
            assert pragmas == ["wal", 2]
            assert session.scalar(text("PRAGMA foreign_keys")) == 1
            assert session.scalar(text("PRAGMA busy_timeout")) >= 5000
    assert store.sqlite
    store.close()


def test_an_exception_rolls_back_and_the_next_write_goes_on(store: Store) -> None:
    with pytest.raises(LookupError), store.write() as session:
        session.add(Account(name="a", created_at=NOW))
        session.flush()
        raise LookupError
    with store.write() as session:
        session.add(Account(name="b", created_at=NOW))
    assert [account.name for account in rows(store, Account)] == ["b"]


def test_a_reader_sees_one_state(store: Store) -> None:
    with store.read() as session:
        before = session.scalar(text("SELECT count(*) FROM account"))
        writer = threading.Thread(target=add, args=(store,))
        writer.start()
        writer.join()
        assert session.scalar(text("SELECT count(*) FROM account")) == before == 0
    assert len(rows(store, Account)) == 1


def add(store: Store) -> None:
    with store.write() as session:
        session.add(Account(name="later", created_at=NOW))


# Databases that cannot be used


def sentence(url: str, kind: type[Exception]) -> str:
    with pytest.raises(kind) as caught:
        Store.open(url)
    told = str(caught.value)
    assert "\n" not in told
    assert "Traceback" not in told
    return told


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    assert "no-such" in sentence(f"sqlite:///{tmp_path}/no-such/x.db", UnreachableError)


def test_a_folder_in_place_of_the_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.db").mkdir()
    sentence(f"sqlite:///{tmp_path}/x.db", UnreachableError)


def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_bytes(b"not a database at all " * 100)
    assert "not a database" in sentence(f"sqlite:///{tmp_path}/x.db", UnreachableError)


def test_a_folder_that_may_not_be_written_is_told(tmp_path: Path) -> None:
    """As another user, since root may write everywhere."""
    folder = tmp_path / "locked"
    folder.mkdir()
    code = f"""
import os, sys
sys.path[:] = {sys.path!r}
from postmeter.errors import UnreachableError
from postmeter.store.engine import Store
import postmeter.store.tables
os.chmod({str(folder)!r}, 0o555)
if os.geteuid() == 0:
    import sqlite3, sqlalchemy.dialects.sqlite
    os.chdir({str(folder)!r})
    os.seteuid(65534)
try:
    Store.open("sqlite:///x.db")
except UnreachableError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert "cannot be opened" in done.stdout, done.stderr
    assert done.stdout.count("\n") == 1


def test_a_database_in_memory_is_not_durable() -> None:
    assert "durable" in sentence("sqlite://", UnreachableError)


@pytest.mark.parametrize("url", ["nonsense", "postgresql+nodriver://x/y", "unknown://x"])
def test_a_url_that_means_nothing_is_told(url: str) -> None:
    assert "store.url" in sentence(url, ConfigError)


def test_a_server_that_does_not_answer_is_told_without_the_password(tmp_path: Path) -> None:
    told = sentence(f"postgresql+psycopg://me:secret@/x?host={tmp_path}", UnreachableError)
    assert "secret" not in told


@pytest.mark.parametrize("setting", ["synchronous_commit"])
def test_postgresql_that_does_not_wait_for_the_disk_is_refused(postgres: Cluster, setting: str) -> None:
    name = postgres.create()
    url = postgres.url(name)
    folder = url.rpartition("host=")[2]
    with psycopg.connect(host=folder, user="postmeter", dbname=name, autocommit=True) as connection:
        connection.execute(f'ALTER DATABASE "{name}" SET {setting} = off'.encode())
    assert f"{setting} = off" in sentence(url, ConfigError)
    postgres.drop(name)


LIMITS = ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout")


def limits(store: Store) -> list[str]:
    with store.write() as session:
        return [str(session.scalar(text(f"SHOW {name}"))) for name in LIMITS]


def test_postgresql_lets_nobody_wait_for_ever(postgres_url: str) -> None:
    store = Store.open(postgres_url)
    assert limits(store) == ["10s", "1min", "1min"]
    schema.upgrade(store)  # that may take longer, and changes nothing for those after it
    assert limits(store) == ["10s", "1min", "1min"]
    store.close()


def test_the_operator_may_set_other_limits_in_the_url(postgres_url: str) -> None:
    store = Store.open(f"{postgres_url}&options=-c%20lock_timeout%3D50ms%20-c%20work_mem%3D8MB")
    assert limits(store) == ["50ms", "1min", "1min"]
    store.close()


def test_a_lock_that_another_holds_is_an_error_in_time(postgres_url: str) -> None:
    store = Store.open(f"{postgres_url}&options=-c%20lock_timeout%3D50ms")
    add(store)
    with store.write() as first, pytest.raises(OperationalError) as caught, store.write() as second:
        first.execute(text("UPDATE account SET name = 'a'"))
        second.execute(text("UPDATE account SET name = 'b'"))
    assert unusable(caught.value)
    add(store)
    store.close()


def test_an_error_does_not_tell_the_values(store: Store) -> None:
    with pytest.raises(DBAPIError) as caught, store.write() as session:
        session.execute(text("INSERT INTO no_such_table VALUES (:address)"), {"address": "joe@example.org"})
    assert "no_such_table" in str(caught.value)
    assert "joe" not in str(caught.value)


# Turns


@pytest.fixture
def turns(tmp_path: Path) -> Iterator[Turns]:
    """The lock of a file, as this process has it."""
    made = Turns(tmp_path / "turns")
    yield made
    made.close()


def process(path: Path, body: str) -> subprocess.Popen[str]:
    code = "import sys, time\nfrom pathlib import Path\nfrom postmeter.store.engine import Turns\n"
    code += f"turns = Turns(Path({str(path)!r}))\n{body}"
    return subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=dict(os.environ)
    )


CONTEND = """
print("ready", flush=True)
sys.stdin.readline()
got, end = 0, time.monotonic() + 1
while time.monotonic() < end:
    with turns:
        got += 1
        time.sleep(0.002)
print(got)
"""


def test_two_processes_get_equal_shares(tmp_path: Path) -> None:
    both = [process(tmp_path / "turns", CONTEND) for _ in range(2)]
    for one in both:
        assert one.stdout is not None
        assert one.stdout.readline() == "ready\n"
    for one in both:
        assert one.stdin is not None
        one.stdin.write("go\n")
        one.stdin.flush()
    shares = [int(one.communicate(timeout=30)[0]) for one in both]
    assert min(shares) > 20
    assert max(shares) <= 1.2 * min(shares)


def test_a_killed_holder_leaves_nothing_locked(tmp_path: Path, turns: Turns) -> None:
    holder = process(tmp_path / "turns", 'turns.__enter__()\nprint("held", flush=True)\ntime.sleep(60)')
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    got = threading.Event()

    def take() -> None:
        with turns:
            got.set()

    waiting = threading.Thread(target=take)
    waiting.start()
    assert not got.wait(0.1)
    os.kill(holder.pid, signal.SIGKILL)
    holder.communicate()
    assert got.wait(20)
    waiting.join()


def test_threads_of_one_process_exclude_each_other(turns: Turns) -> None:
    inside, most = [0], [0]

    def work(n: int) -> None:
        for _ in range(20):
            with turns:
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                time.sleep(0.0002)
                inside[0] -= 1

    at_once(work, 4)
    assert most == [1]


def test_who_takes_a_turn_inside_of_its_own_is_told_instead_of_waiting_for_itself(turns: Turns) -> None:
    for _ in range(2):
        with pytest.raises(RuntimeError, match="inside of another"), turns, turns:
            pass
    with turns:
        pass


def test_an_exception_gives_the_turn_back(tmp_path: Path, turns: Turns) -> None:
    other = Turns(tmp_path / "turns")
    with pytest.raises(LookupError), turns:
        raise LookupError
    with other:
        pass
    other.close()
    assert (tmp_path / "turns").stat().st_mode & 0o777 == 0o600


def test_who_is_interrupted_while_waiting_leaves_nothing_locked(
    tmp_path: Path, turns: Turns, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = Turns._set, [0]

    def interrupted(self: Turns, byte: int, kind: int) -> None:
        calls[0] += 1
        if calls[0] == 2:
            raise KeyboardInterrupt
        real(self, byte, kind)

    monkeypatch.setattr(Turns, "_set", interrupted)
    with pytest.raises(KeyboardInterrupt), turns:
        pass
    monkeypatch.undo()
    other = Turns(tmp_path / "turns")
    with other:
        pass
    other.close()
    with turns:
        pass
