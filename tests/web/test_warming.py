"""The past of all accounts is summed up when the panel starts, and a failure of that is told and does no harm."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import event

from postmeter.store.counters import Change, count
from postmeter.store.engine import Store
from postmeter_web import warming
from postmeter_web.context import Panel
from support.panel import House


@pytest.fixture
def panel(house: House) -> Panel:
    """Its parts."""
    found: Panel = house.app().extensions["postmeter"]
    return found


def warm(panel: Panel) -> None:
    warming.begin(panel)
    found = [one for one in threading.enumerate() if one.name == "warming"]
    assert all(thread.daemon for thread in found)
    for thread in found:
        thread.join(20)


def sums_read(store: Store) -> list[str]:
    """The statements that ask for counters from now on."""
    found: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if "FROM counter" in statement:
            found.append(statement)

    event.listen(store.engine, "before_cursor_execute", note)
    return found


def test_only_the_last_hours_are_read_afterwards(panel: Panel, house: House) -> None:
    with house.store.write() as session:
        count(session, [Change(1, 7, house.now - 86_400, "arrived", 5)])
    warm(panel)
    asked = sums_read(house.store)
    with house.store.read() as session:
        assert panel.ever.totals(session, house.now).arrived >= 5
        assert panel.lately.buckets(session, None, house.now - 2 * 86_400, house.now)
    assert len(asked) == 1
    assert "bucket >= " in asked[0]
    assert "bucket < " not in asked[0]


def test_a_failure_is_told_and_the_first_look_reads_it_all(
    panel: Panel, house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(house.store, "read", lambda: 1 / 0)
        warm(panel)
    assert "could not be summed up" in caplog.text
    with house.store.read() as session:
        panel.ever.totals(session, house.now)
