"""What is found while the relay runs: workers, plugins, clocks, the panel's protection."""

from __future__ import annotations

import time
from pathlib import Path
from unittest.mock import Mock

import pytest
from sqlalchemy.orm import Session

from postmeter.config import Server, Settings, Web
from postmeter.config import Store as StoreSettings
from postmeter.health import running
from postmeter.health.finding import Finding
from postmeter.store import queue, troubles, vitals
from postmeter.store.engine import Store
from postmeter.store.troubles import Trouble
from postmeter.store.vitals import WorkerFacts


def at_work(url: str) -> dict[str, Finding]:
    """What is found in that database, by what was looked at."""
    return {one.check: one for one in running.database_at_work(Settings(store=StoreSettings(url=url)))}


def test_workers_are_alive_while_their_hearts_beat(store: Store, store_url: str) -> None:
    assert at_work(store_url)["workers"].state == "warning"
    assert at_work(store_url)["speed of the database"].state in ("ok", "warning")
    with store.write() as session:
        queue.register(session, "here", 4711, 0.0, time.time() + 60)
    assert (at_work(store_url)["workers"].state, at_work(store_url)["workers"].text) == ("ok", "1 receive and deliver")
    with store.write() as session:
        queue.register(session, "here", 4712, 0.0, time.time() - 1)
    found = list(running.database_at_work(Settings(store=StoreSettings(url=store_url))))
    assert ["4712" in one.text for one in found if one.check == "workers"] == [True, False]


def test_a_plugin_in_trouble_is_named(store: Store, store_url: str) -> None:
    with store.write() as session:
        worker = queue.register(session, "here", 4711, 0.0, time.time() + 60)
        troubles.note(session, [Trouble("greeter", "on_accept", worker, "ValueError: no", 1.0)])
    assert at_work(store_url)["plugins at work"].text == "greeter fails at on_accept: ValueError: no"


def test_the_databases_clock_is_compared(store: Store, store_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vitals, "database_time", lambda session: time.time() + 60)
    found = at_work(store_url)["clock of the database"]
    assert (found.state, found.text) == ("problem", "the database's clock is +60.0 s from ours")
    monkeypatch.undo()
    assert "clock of the database" not in at_work(store_url) or not store.sqlite


def test_a_slow_database_is_not_taken_for_a_wrong_clock(
    store: Store, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, workers = time.time(), vitals.workers

    def slowly(session: Session) -> list[WorkerFacts]:
        nonlocal now
        now += 60
        return workers(session)

    monkeypatch.setattr(running, "time", Mock(time=lambda: now, monotonic=time.monotonic))
    monkeypatch.setattr(vitals, "database_time", lambda session: now)
    monkeypatch.setattr(vitals, "workers", slowly)
    found = at_work(store_url)["clock of the database"]
    assert (found.state, found.text) == ("ok", "the database's clock is +0.0 s from ours")


def test_a_database_that_is_not_there_yet_has_nothing_at_work(tmp_path: Path) -> None:
    assert list(running.database_at_work(Settings(server=Server(data=str(tmp_path))))) == []


@pytest.mark.parametrize(("took", "state"), [(0.001, "ok"), (0.2, "warning")])
def test_a_slow_disk_is_told(took: float, state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "_written", lambda file: took)
    [found] = running.disk_speed(Settings(server=Server(data=str(tmp_path))))
    assert found.state == state
    assert list(tmp_path.iterdir()) == []


def test_the_kernels_clock_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [one.state for one in running.clock_synchronised(Settings())] in (["ok"], ["warning"], [])
    for status, states in ((0x2001, ["ok"]), (0x40, ["warning"]), (None, [])):
        monkeypatch.setattr(running, "_kernel_clock", lambda status=status: status)
        assert [one.state for one in running.clock_synchronised(Settings())] == states


@pytest.mark.parametrize(
    ("web", "state"),
    [
        (Web(listen=""), "ok"),
        (Web(listen="127.0.0.1:8025", url="https://panel.example.net"), "ok"),
        (Web(listen="[::1]:8025"), "warning"),
        (Web(listen="0.0.0.0:8025", url="https://panel.example.net"), "problem"),
    ],
)
def test_the_panel_is_to_be_reached_by_https_only(web: Web, state: str) -> None:
    assert [one.state for one in running.panel(Settings(web=web))] == [state]


@pytest.mark.parametrize(("who", "state"), [("nobody", "warning"), ("operators", "ok"), ("everybody", "ok")])
def test_operators_should_need_a_second_factor(who: str, state: str) -> None:
    assert [one.state for one in running.second_factor(Settings(web=Web(second_factor=who)))] == [state]
