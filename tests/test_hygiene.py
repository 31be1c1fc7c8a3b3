"""The tests' own safety net: what a test leaves behind makes it fail, and a Deferred that never fires fails alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parent
BAD_HABITS = """
import pytest, pytest_twisted
from hypothesis import given, settings, strategies as st
from twisted.internet import defer, protocol, reactor
from twisted.internet.task import deferLater
from twisted.logger import Logger

def test_bad_delayed_call():
    reactor.callLater(60, print)

def test_bad_open_port():
    reactor.listenTCP(0, protocol.Factory(), interface="127.0.0.1")

def test_bad_logged_failure():
    try:
        raise ValueError
    except ValueError:
        Logger().failure("logged")

def test_bad_unhandled_deferred():
    deferred = defer.fail(ValueError())
    deferred.cycle = deferred

@pytest_twisted.ensureDeferred
async def test_bad_never_fires():
    await defer.Deferred()

@pytest_twisted.inlineCallbacks
def test_bad_never_fires_in_callbacks():
    yield defer.Deferred()

async def test_bad_never_fires_unmarked():
    await defer.Deferred()

def test_good_expected_failure(clean_reactor):
    try:
        raise ValueError
    except ValueError:
        Logger().failure("logged")
    assert len(clean_reactor.flush(ValueError)) == 1

@pytest.mark.parametrize("parameter", [1, 2])
@given(number=st.integers())
def test_good_property(parameter, number):
    assert number == number

@pytest.mark.parametrize("parameter", [1, 2])
@pytest_twisted.ensureDeferred
@given(number=st.integers())
@settings(max_examples=5)
async def test_good_property_with_deferreds(parameter, number):
    await deferLater(reactor, 0, lambda: None)
"""


def test_bad_habits_fail_and_good_ones_pass(tmp_path: Path) -> None:
    conftest = (TESTS / "conftest.py").read_text()
    (tmp_path / "conftest.py").write_text(conftest.replace("DEFERRED_TIMEOUT = 20.0", "DEFERRED_TIMEOUT = 1.0"))
    (tmp_path / "test_habits.py").write_text(BAD_HABITS)
    (tmp_path / "pytest.ini").write_text(f"[pytest]\npythonpath = {TESTS}\naddopts = -p no:cacheprovider\n")
    command = [sys.executable, "-m", "pytest", "-q", "-rA", "--import-mode=importlib", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False)
    lines = [line.split() for line in done.stdout.splitlines() if "::test_" in line and " " in line]
    outcomes = {line[1]: line[0] for line in lines}
    failed = {name.partition("::")[2] for name, outcome in outcomes.items() if outcome in ("FAILED", "ERROR")}
    assert {name for name in failed if not name.startswith("test_bad_")} == set(), done.stdout
    assert sum(outcome == "PASSED" and "::test_good" in name for name, outcome in outcomes.items()) == 5
    assert len(failed) == BAD_HABITS.count("def test_bad_")
