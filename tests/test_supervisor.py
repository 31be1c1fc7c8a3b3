"""The supervisor without processes: one that cannot be started, the moment of ``ready``, the end of patience."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock

from postmeter import supervisor
from postmeter.config import Server, Settings
from postmeter.hookspecs import Service
from postmeter.supervisor import LAST_STEPS, Child, Prepared, Supervisor


class Reactor(Clock):
    """Starts no process; ``run`` runs what waits for it, and ``stop`` is noted."""

    def __init__(self) -> None:
        super().__init__()
        self.trouble: list[OSError] = []
        self.started: list[str] = []
        self.stopped = 0
        self._first: list[Any] = []

    def spawnProcess(self, child: Child, *_: Any, **__: Any) -> None:
        """A process, or the worker's next trouble."""
        if self.trouble and child.name == "worker 1":
            raise self.trouble.pop()
        self.started.append(child.name)
        child.pid = len(self.started)

    def addSystemEventTrigger(self, *_: Any) -> None:
        """Never needed."""

    def callWhenRunning(self, function: Any, *arguments: Any) -> None:
        """Kept for ``run``."""
        self._first.append((function, arguments))

    def run(self) -> None:
        """All that waited."""
        for function, arguments in self._first:
            function(*arguments)

    def stop(self) -> None:
        """Noted."""
        self.stopped += 1


class Family(Supervisor):
    """A worker and a panel."""

    def __init__(self, prepared: Any, reactor: Any, options: list[str]) -> None:
        self.signals: list[tuple[str, str]] = []
        super().__init__(prepared, reactor, options)

    def _workers(self) -> list[Child]:
        return [Known(self, "worker 1", [], [])]

    def _services(self) -> list[Child]:
        return [Known(self, "panel", [], [])]

    def _take_over(self, pid: int | None, page: int | None) -> None:
        assert pid is None


class Known(Child):
    """Its signals are noted."""

    def signal(self, name: str) -> None:
        """See ``Child``."""
        family: Any = self._supervisor
        family.signals.append((self.name, name))


@pytest.fixture
def reactor(monkeypatch: pytest.MonkeyPatch) -> Reactor:
    """A reactor of the test's own; threads are none."""
    made = Reactor()
    monkeypatch.setattr("twisted.internet.reactor", made)
    monkeypatch.setattr(supervisor, "deferToThread", maybeDeferred)
    monkeypatch.setattr(supervisor, "stop_on_signals", lambda _: None)
    return made


@pytest.fixture
def prepared(tmp_path: Path) -> Prepared:
    """Settings, and nothing else."""
    nothing: Any = Nothing()
    settings = Settings(server=Server(hostname="mail.test", data=str(tmp_path), drain_timeout=7))
    return Prepared(settings, nothing, "node", nothing, 0, 0)


class Nothing:
    """A store and plugins that have nothing."""

    missing: tuple[str, ...] = ()

    def close(self) -> None:
        """Closed."""


def test_a_process_that_cannot_be_started_is_tried_again_later_and_later(
    reactor: Reactor, prepared: Prepared, caplog: pytest.LogCaptureFixture
) -> None:
    reactor.trouble = [OSError(11, "Resource temporarily unavailable") for _ in range(3)]
    Family(prepared, reactor, []).start()
    assert reactor.started == ["panel"]
    reactor.advance(0)
    assert reactor.started == ["panel"]
    reactor.advance(1)
    assert reactor.started == ["panel"]
    reactor.advance(2)
    assert reactor.started == ["panel", "worker 1"]
    assert caplog.text.count("worker 1 cannot be started: [Errno 11]") == 3


def test_mail_is_taken_when_the_workers_are_ready_whatever_the_panel_does(reactor: Reactor, prepared: Prepared) -> None:
    family, ready = Family(prepared, reactor, []), []
    family.start().addCallback(ready.append)
    assert not ready
    family._children[0].outReceived(b"ready\n")
    assert len(ready) == 1


def test_who_does_not_end_is_killed_a_little_after_the_drain_time(reactor: Reactor, prepared: Prepared) -> None:
    family, gone = Family(prepared, reactor, []), []
    family.start()
    family.stop().addCallback(gone.append)
    family._children[1].ended.callback(None)
    reactor.advance(7 + LAST_STEPS - 0.1)
    assert family.signals == [("worker 1", "TERM"), ("panel", "TERM")]
    reactor.advance(0.2)
    assert ("worker 1", "KILL") in family.signals
    family._children[0].ended.callback(None)
    assert len(gone) == 1


@pytest.fixture
def ready_family(reactor: Reactor, prepared: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    """``run`` with processes that are ready at once."""

    def start(self: Supervisor) -> Deferred[Any]:
        for child in self._children:
            child.outReceived(b"ready")
        return self._workers_ready

    monkeypatch.setattr(supervisor, "prepare", lambda _: prepared)
    monkeypatch.setattr(supervisor, "Supervisor", Family)
    monkeypatch.setattr(Family, "start", start)


@pytest.mark.usefixtures("ready_family")
def test_the_first_operator_is_told_with_the_word_ready(
    prepared: Prepared, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    began: list[Prepared] = []
    monkeypatch.setattr(supervisor, "first_operator", lambda *_: ("operator@mail.test", "word"))
    assert supervisor.run(prepared.settings, [], lambda one, _: began.append(one)) == 0
    first, ready = capsys.readouterr().out.splitlines()
    assert "operator@mail.test with password word" in first
    assert ready.startswith("ready: ")
    assert began == [prepared]


@pytest.mark.usefixtures("ready_family")
def test_what_plugins_offered_at_first_is_what_is_announced(
    prepared: Prepared, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(supervisor, "first_operator", lambda *_: None)
    assert supervisor.run(prepared.settings, []) == 0
    assert "panel http://" not in capsys.readouterr().out
    prepared.services.append(Service("panel", "127.0.0.1:0", lambda settings, fd: None))
    assert supervisor.run(prepared.settings, []) == 0  # ``plugins`` could not be asked again
    assert "panel http://127.0.0.1:8025/" in capsys.readouterr().out


@pytest.mark.usefixtures("ready_family")
def test_a_start_that_fails_is_told_and_ends_with_1(
    reactor: Reactor,
    prepared: Prepared,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def broken(*_: object) -> None:
        raise OSError("the database is gone")

    monkeypatch.setattr(supervisor, "first_operator", broken)
    assert supervisor.run(prepared.settings, []) == 1
    assert reactor.stopped == 1
    assert "the relay cannot start" in caplog.text
    assert "the database is gone" in caplog.text
    assert capsys.readouterr().out == ""
