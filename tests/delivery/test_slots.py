"""Places that workers share: exact between processes, and given back by whoever is gone."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postmeter.delivery.slots import MOST, Slots, key

KEY = key("Google ")
WORKER = """
import sys
from pathlib import Path
from postmeter.delivery.slots import Slots, key
slots = Slots(Path(sys.argv[1]))
for line in sys.stdin:
    verb, place = line.split()
    at = key("Google ")
    if verb == "take":
        got = slots.take(at, int(place))
        print(-1 if got is None else got - at, flush=True)
    else:
        slots.give_back(at + int(place))
        print(0, flush=True)
"""


class Process:
    """A worker in a process of its own, that takes and gives back as it is told."""

    def __init__(self, path: Path) -> None:
        command = [sys.executable, "-c", WORKER, str(path)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, verb: str, number: int) -> int:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(f"{verb} {number}\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sessions"


@pytest.fixture
def workers(path: Path) -> Iterator[tuple[Slots, Slots]]:
    """Two workers of one machine."""
    made = Slots(path), Slots(path)
    yield made
    for one in made:
        one.close()


def test_no_more_are_taken_than_there_are(workers: tuple[Slots, Slots]) -> None:
    one, other = workers
    taken = [one.take(KEY, 3), other.take(KEY, 3), one.take(KEY, 3)]
    assert taken == [KEY, KEY + 1, KEY + 2]
    assert (one.take(KEY, 3), other.take(KEY, 3)) == (None, None)
    assert other.take(key("Yahoo "), 1) == key("Yahoo ")
    one.give_back(KEY)
    assert other.take(KEY, 3) == KEY


def test_who_waits_for_one_is_known_to_the_others(workers: tuple[Slots, Slots]) -> None:
    one, other = workers
    other.want(KEY)
    assert (one.wanted(KEY), other.wanted(KEY), one.wanted(key("Yahoo "))) == (True, False, False)
    one.want(KEY)
    assert (one.wanted(KEY), other.wanted(KEY)) == (True, True)
    other.be_content(KEY)
    assert (one.wanted(KEY), other.wanted(KEY)) == (False, True)


def test_places_of_a_worker_that_ends_are_free(workers: tuple[Slots, Slots], path: Path) -> None:
    gone = Slots(path)
    gone.take(KEY, 1)
    gone.want(KEY)
    gone.close()
    assert workers[0].take(KEY, 1) == KEY
    assert not workers[0].wanted(KEY)


def test_two_processes_share_one_place_and_a_killed_one_leaves_it(path: Path) -> None:
    one, other = Process(path), Process(path)
    try:
        assert (one.ask("take", 1), other.ask("take", 1)) == (0, -1)
        one.ask("give", 0)
        assert (other.ask("take", 1), one.ask("take", 1)) == (0, -1)
        other.kill()
        assert one.ask("take", 1) == 0
    finally:
        one.kill()
        other.kill()


def test_the_file_stays_empty(workers: tuple[Slots, Slots], path: Path) -> None:
    workers[0].take(KEY, 5)
    assert path.stat().st_size == 0
    assert path.stat().st_mode & 0o777 == 0o600


@given(st.text(), st.text())
def test_places_of_two_names_do_not_meet(one: str, other: str) -> None:
    assert 0 <= key(one) < key(one) + MOST < 1 << 63
    assert one == other or abs(key(one) - key(other)) > MOST
