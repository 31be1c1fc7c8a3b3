"""The shared limits with real processes: they hold for all, and a killed worker leaves no session behind."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from postmeter.server.board import SETS, Board

WORKER = """
import sys
from postmeter.config import Smtp
from postmeter.server.board import Board
from postmeter.server.census import Admission, Census
from postmeter.server.guard import Guard

board = Board(int(sys.argv[1]), int(sys.argv[2]))
limits = Smtp(max_sessions=5, max_sessions_per_ip=3, max_login_failures_per_user=2)
census, guard = Census(limits, board), Guard(limits, board)
do = {
    "enter": lambda address: census.enter(object(), address) is Admission.WELCOME,
    "fail": guard.failed,
    "succeed": guard.succeeded,
    "may": guard.may_log_in,
    "trusts": guard.trusted,
    "secret": lambda: board.secret.hex(),
}
for line in sys.stdin:
    action, *arguments = line.split()
    print(do[action](*arguments), flush=True)
"""
# For as long as standard input is open: numbers that tell their own key, in two sets that have too few places.
CHURN = """
import select, sys
from postmeter.server.board import SETS, Board

board, keys = Board(int(sys.argv[1]), int(sys.argv[2])), [n * SETS + n % 2 for n in range(1, 40)]
print("ready", flush=True)
moment = 0
while not select.select([0], [], [], 0)[0]:
    for key in keys:
        moment += 1
        board.put(key, key // SETS, 1_000_000 + moment)
        if moment % 5 == 0:
            board.put(key, 0)
for key in keys:
    board.put(key, 0)
board.put(1, 1)
"""


class Process:
    """A worker that does what it is told, line by line."""

    def __init__(self, script: str, descriptor: int, page: int) -> None:
        command = [sys.executable, "-c", script, str(descriptor), str(page)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, pass_fds=[descriptor]
        )

    def ask(self, *words: str) -> str:
        """What it answers."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{' '.join(words)}\n")
        self._process.stdin.flush()
        return self.read()

    def read(self) -> str:
        """The next line it says."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def end(self) -> None:
        """Close its standard input, and wait."""
        self._process.communicate(timeout=20)
        assert self._process.returncode == 0

    def kill(self) -> None:
        """It has no time for anything."""
        self._process.kill()
        self._process.communicate()


Start = Callable[..., Process]


@pytest.fixture
def descriptor() -> Iterator[int]:
    opened = Board.create(3)
    yield opened
    os.close(opened)


@pytest.fixture
def start(descriptor: int) -> Iterator[Start]:
    """Starts a worker with this page."""
    started: list[Process] = []

    def begin(page: int, script: str = WORKER) -> Process:
        started.append(Process(script, descriptor, page))
        return started[-1]

    yield begin
    for process in started:
        process.kill()


def test_a_killed_worker_leaves_no_session_behind(descriptor: int, start: Start) -> None:
    one, other = start(0), start(1)
    there = "192.0.2.1"
    assert [one.ask("enter", there), one.ask("enter", there), other.ask("enter", there)] == ["True"] * 3
    assert other.ask("enter", there) == "False"
    assert one.ask("enter", "192.0.2.2") == "True"
    assert other.ask("enter", "192.0.2.3") == "True"
    assert other.ask("enter", "192.0.2.4") == "False"  # the sixth that is let in
    one.kill()
    assert other.ask("enter", there) == "False"  # nobody has noticed yet
    Board.clear(descriptor, 0)
    assert other.ask("enter", "192.0.2.4") == "True"
    assert [other.ask("enter", there) for _ in range(3)] == ["True", "True", "False"]


def test_the_successor_of_a_killed_worker_begins_without_its_sessions(start: Start) -> None:
    one, other = start(0), start(1)
    assert [one.ask("enter", "192.0.2.1") for _ in range(3)] == ["True"] * 3
    one.kill()
    successor = start(0)
    assert successor.ask("enter", "192.0.2.1") == "True"
    assert [other.ask("enter", "192.0.2.1") for _ in range(3)] == ["True", "True", "False"]


def test_failures_and_log_ins_are_known_to_all_and_outlive_their_worker(descriptor: int, start: Start) -> None:
    one, other = start(0), start(1)
    one.ask("succeed", "shop-1", "192.0.2.1")
    one.ask("fail", "shop-2", "192.0.2.9")
    other.ask("fail", "shop-2", "198.51.100.1")
    one.kill()
    Board.clear(descriptor, 0)
    for worker in (other, start(0)):
        assert worker.ask("may", "shop-2", "203.0.113.1") == "False"
        assert worker.ask("may", "shop-3", "203.0.113.1") == "True"
        assert worker.ask("trusts", "192.0.2.1") == "True"


def test_all_workers_have_the_same_secret(descriptor: int, start: Start) -> None:
    assert start(0).ask("secret") == start(1).ask("secret") == Board(descriptor, 2).secret.hex()


def test_who_reads_while_others_write_sees_numbers_that_were_written(descriptor: int, start: Start) -> None:
    writers = [start(page, CHURN) for page in range(2)]
    assert [writer.read() for writer in writers] == ["ready"] * 2
    board, seen, deadline = Board(descriptor, 2), set(), time.monotonic() + 1
    while time.monotonic() < deadline:
        for n in range(1, 40):
            number = board.count(n * SETS + n % 2, 1_000_000)
            assert number in (0, n, 2 * n)
            seen.add(number // n)
    for writer in writers:
        writer.end()
    assert seen >= {0, 1}
    assert board.count(1, 0) == 2
