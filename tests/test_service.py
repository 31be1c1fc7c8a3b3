"""The relay's processes: ready soon, an orderly end, and what happens when one of them dies."""

from __future__ import annotations

import os
import resource
import signal
import smtplib
import socket
import sqlite3
import ssl
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock, Mock

import pytest
from twisted.internet.error import ProcessDone, ProcessExitedAlready, ProcessTerminated
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from postmeter import service
from postmeter.delivery.lease import HEARTBEAT, LEASE, Lease, Moment
from postmeter.process import OpenFiles, allow_many_files, node_name
from postmeter.service import Worker
from postmeter.supervisor import Child
from postmeter.testing.running import START_PATIENCE
from support.relay import Relay, wait_until

NOWHERE = "127.0.0.1:1"


@pytest.fixture
def relay(tmp_path: Path) -> Iterator[Relay]:
    """A relay with two workers, not started yet."""
    made = Relay(tmp_path, NOWHERE)
    try:
        yield made
    finally:
        made.kill()


def open_session(relay: Relay) -> smtplib.SMTP:
    """An idle session inside TLS."""
    client = smtplib.SMTP("127.0.0.1", relay.port, timeout=START_PATIENCE)
    client.starttls(context=ssl.create_default_context(cafile=str(relay.certificate)))
    assert client.ehlo()[0] == 250
    return client


def pids_alive(pids: list[int]) -> list[int]:
    """Those of the processes that run."""
    return [pid for pid in pids if Path(f"/proc/{pid}/stat").exists() and not _zombie(pid)]


def _zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_idle_sessions_are_told_and_the_relay_ends_in_order(relay: Relay) -> None:
    relay.start()
    clients = [open_session(relay) for _ in range(4)]
    pids = relay.children()
    began = time.monotonic()
    assert relay.stop() == 0
    assert time.monotonic() - began < 25  # less than the drain time
    for client in clients:
        assert client.getreply()[0] == 421
        client.close()
    assert pids_alive(pids) == []
    assert "Traceback" not in relay.log()


def test_a_dead_worker_is_replaced_at_once_and_its_clients_are_served_again(relay: Relay) -> None:
    relay.start()
    before = relay.workers()
    killed = relay.kill_worker()
    wait_until(lambda: len(relay.workers()) == 2 and killed not in relay.workers(), START_PATIENCE, relay.log)
    after = relay.workers()
    assert len(set(before) & set(after)) == 1
    for _ in range(8):  # the kernel deals them out to both
        open_session(relay).quit()
    assert relay.stop() == 0


def test_the_processes_of_a_killed_supervisor_end_by_themselves(relay: Relay) -> None:
    relay.start()
    pids = relay.children()
    assert relay._process is not None
    os.kill(relay._process.pid, signal.SIGKILL)
    relay._process.wait()
    wait_until(lambda: not pids_alive(pids), 20, "all processes gone")
    relay.start()  # the data folder and the ports are free again
    assert relay.stop() == 0


def test_a_second_relay_on_the_same_data_says_so(relay: Relay, tmp_path: Path) -> None:
    relay.start()
    second = tmp_path / "second"
    second.mkdir()
    other = Relay(second, NOWHERE, settings={})
    other.config.write_text(other.config.read_text().replace(str(second / "data"), str(relay.data)))
    other.launch()
    assert other.wait(30) == 4
    assert f"Postmeter runs already on {relay.data} (process {relay._process.pid})" in other.log()  # type: ignore[union-attr]
    assert "Traceback" not in other.log()
    open_session(relay).quit()
    assert relay.stop() == 0


def test_a_port_in_use_is_told_in_one_line(relay: Relay) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", relay.port))
        other.listen()
        relay.launch()
        assert relay.wait(30) == 4
    assert f"smtp.submission: cannot listen on 127.0.0.1:{relay.port}: the port is in use" in relay.log()
    assert "Traceback" not in relay.log()


def test_the_node_keeps_its_name(tmp_path: Path) -> None:
    name = node_name(tmp_path)
    assert len(name) == 16
    assert node_name(tmp_path) == name


class Overseer:
    """What a child needs of its supervisor."""

    def __init__(self) -> None:
        self.stopping = False
        self.reactor = Clock()
        self.waits: list[float] = []

    def child_died(self, child: Child, pid: int | None, wait: float) -> None:
        """Noted."""
        self.waits.append(wait)


def die(child: Child, after: float, monkeypatch: pytest.MonkeyPatch, reason: Exception | None = None) -> None:
    """One life of a process."""
    child._started = 1000.0
    child.ended = Mock()
    monkeypatch.setattr("postmeter.supervisor.time.monotonic", lambda: 1000.0 + after)
    child.processEnded(Failure(reason or ProcessTerminated(signal=9)))


def test_a_process_that_ran_well_is_started_again_at_once_and_one_that_does_not_later_and_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    overseer: Any = Overseer()
    child = Child(overseer, "worker 1", [], [])
    for after in (3600, 1, 1, 1, 1, 1, 1, 3600, 1):
        die(child, after, monkeypatch)
    assert overseer.waits == [0.0, 1.0, 2.0, 5.0, 15.0, 15.0, 15.0, 0.0, 1.0]


def test_the_first_death_of_a_process_costs_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    overseer: Any = Overseer()
    die(Child(overseer, "worker 1", [], []), 0.1, monkeypatch, ProcessDone(0))
    assert overseer.waits == [0.0]


def test_a_signal_to_a_process_that_has_just_died_is_no_error() -> None:
    overseer: Any = Overseer()
    child = Child(overseer, "worker 1", [], [])
    child.makeConnection(Mock(pid=5, signalProcess=Mock(side_effect=ProcessExitedAlready())))
    child.signal("TERM")
    assert child.pid == 5


class Heart:
    """A worker of which only the heart beats, with a clock and a store that the test moves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        self.submitted: list[tuple[str, Any]] = []
        self.exits: list[int] = []
        self.answer: Any = True
        self.worker: Any = object.__new__(Worker)
        self.worker.number = 7
        self.worker._lease = Lease(lambda: Moment(self.now, self.now))
        self.worker._writer = Mock(submit=self._submit)
        self.worker._scheduler = Mock()
        monkeypatch.setattr("postmeter.service.time.time", lambda: self.now)
        monkeypatch.setattr("postmeter.service.os._exit", self.exits.append)

    def _submit(self, change: Any, item: Any, done: Any) -> None:
        self.submitted.append((change.__name__, item))
        done(self.answer)

    def live(self, seconds: float) -> list[str]:
        """What is asked of the store meanwhile."""
        self.submitted.clear()
        for _ in range(int(seconds // HEARTBEAT)):
            self.now += HEARTBEAT
            self.worker._beat()
            self.worker._take_over()
        return [name for name, _ in self.submitted]


def test_a_worker_looks_after_others_when_its_own_heart_has_beaten_for_a_whole_lease(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    heart = Heart(monkeypatch)
    assert heart.live(40) == ["heartbeats"] * 4
    assert heart.submitted[-1] == ("heartbeats", (7, heart.now + LEASE))
    assert heart.live(20) == ["heartbeats", "take_overs"] * 2
    heart.answer = OSError("the database is gone")
    heart.live(60)
    assert not heart.worker._lease.held
    heart.answer = True
    assert heart.live(40) == ["heartbeats"] * 4  # others may be late as well: let them renew first
    assert heart.live(20)[-1] == "take_overs"
    assert heart.exits == []


def test_what_waits_for_the_leases_goes_on_with_the_first_confirmed_heartbeat(monkeypatch: pytest.MonkeyPatch) -> None:
    heart = Heart(monkeypatch)
    heart.answer = OSError("the database is gone")
    heart.live(60)
    resume = heart.worker._scheduler.resume
    assert (resume.call_count, heart.worker._lease.held) == (0, False)
    heart.answer = True
    heart.live(10)
    assert (resume.call_count, heart.worker._lease.held) == (1, True)


def test_a_worker_whose_leases_were_taken_over_ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    heart = Heart(monkeypatch)
    heart.answer = False
    heart.live(10)
    assert heart.exits == [1]
    assert heart.worker._scheduler.resume.call_count == 0


def test_a_look_at_the_domains_that_fails_is_told_and_does_not_end_the_loop(caplog: pytest.LogCaptureFixture) -> None:
    worker: Any = object.__new__(Worker)
    worker._domains = Mock(look=AsyncMock(side_effect=OSError("the database is gone")))
    for _ in range(2):
        worker._look_at_domains()
    assert caplog.messages == ["a defect: the database is gone"] * 2


class FirstSteps:
    """A reactor and a worker in one, whose start may fail."""

    def __init__(self, trouble: Exception | None = None) -> None:
        self.trouble = trouble
        self.triggers: list[Any] = []

    def start(self) -> None:
        """The worker's."""
        if self.trouble is not None:
            raise self.trouble

    def stop(self) -> None:
        """The worker's."""

    def addSystemEventTrigger(self, *trigger: Any) -> None:
        """The reactor's."""
        self.triggers.append(trigger)


def test_a_worker_says_ready_when_it_has_started(capsys: pytest.CaptureFixture[str]) -> None:
    worker: Any = FirstSteps()
    service.begin(worker, worker)
    assert capsys.readouterr().out == "ready\n"
    assert worker.triggers == [("before", "shutdown", worker.stop)]


def test_a_worker_that_cannot_start_ends_without_the_word_ready(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(os, "_exit", Mock(side_effect=SystemExit))
    worker: Any = FirstSteps(OSError("no files left"))
    with pytest.raises(SystemExit):
        service.begin(worker, worker)
    os._exit.assert_called_once_with(1)  # type: ignore[attr-defined]
    assert capsys.readouterr().out == ""
    assert "no files left" in caplog.text


def test_as_many_files_as_the_system_allows() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, hard - 1), hard))
        allow_many_files()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_nearly_as_many_open_files_as_allowed_are_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    used = [89, 90, 95, 50, 90]
    monkeypatch.setattr(resource, "getrlimit", lambda _: (100, 100))
    monkeypatch.setattr(os, "listdir", lambda _: [""] * used.pop(0))
    files = OpenFiles()
    for _ in range(5):
        files.look()
    assert [message[:28] for message in caplog.messages] == ["90 of 100 files are open: ra"] * 2


@pytest.fixture
def deaf_resolver() -> Iterator[str]:
    """The address of a DNS server that never answers."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf:
        deaf.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{deaf.getsockname()[1]}"


def test_a_look_up_without_end_does_not_hold_the_stop_and_files_are_the_relays_own(
    tmp_path: Path, deaf_resolver: str
) -> None:
    settings = {"server": "drain_timeout = 1", "delivery": f'resolver = "{deaf_resolver}"'}
    relay = Relay(tmp_path, "", workers=1, settings=settings)
    before = os.umask(0o022)
    try:
        relay.start()
        limits = [resource.prlimit(pid, resource.RLIMIT_NOFILE) for pid in relay.children()]
        assert all(soft == hard for soft, hard in limits)
        access = relay.set_up()
        with open_session(relay) as client:
            client.login(access.username, access.password)
            client.sendmail("a@shop.example", "b@slow.example", "From: a@shop.example\r\n\r\nHello\r\n")
        assert relay.stop() == 0
        with closing(sqlite3.connect(relay.database)) as database:
            left = database.execute("SELECT pid FROM worker").fetchall()
        assert left == []  # who has to be killed, says no good-bye
        assert {path.name: oct(path.stat().st_mode & 0o077) for path in relay.data.rglob("*")} == {
            path.name: "0o0" for path in relay.data.rglob("*")
        }
        assert relay.database.exists()
        assert relay.stats()["queued"] == 1
    finally:
        os.umask(before)
        relay.kill()
