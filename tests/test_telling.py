"""Telling plugins: at least once, in order, each for itself, whatever the others do."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from postmeter import telling
from postmeter.hooks import Plugins, new_manager
from postmeter.hookspecs import Event, hookimpl
from postmeter.store import cursors, events
from postmeter.store.engine import Store
from postmeter.store.events import Position
from postmeter.store.tables import Cursor, DeadLetter
from postmeter.telling import BACK_OFF, DUTY_LEASE, TRIES, Teller
from support.postage import accept, funded, rows, submission
from support.tenants import NOW

pytestmark = pytest.mark.usefixtures("quiet")


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who hangs is left alone soon."""
    monkeypatch.setattr(telling, "PATIENCE", 0.5)


class Death(Exception):
    """Stands for the end of the process."""


class Plugin:
    """Notes what it is told; ``trouble`` may raise."""

    def __init__(self, trouble: Callable[[Event], object] = lambda event: None) -> None:
        self.told: list[Event] = []
        self.trouble = trouble

    @hookimpl
    def on_deliver(self, event: Event) -> None:
        self.told.append(event)
        self.trouble(event)

    @hookimpl
    def on_bounce(self, event: Event) -> None:
        self.told.append(event)
        self.trouble(event)

    @property
    def names(self) -> list[Any]:
        return [event.facts["name"] for event in self.told]


class OnlyQuota:
    """Listens to what hardly ever happens."""

    def __init__(self) -> None:
        self.told: list[Event] = []

    @hookimpl
    def on_quota_low(self, event: Event) -> None:
        self.told.append(event)


def teller(store: Store, worker: int = 1, **plugins: object) -> Teller:
    manager = new_manager()
    for name, plugin in plugins.items():
        manager.register(plugin, name)
    made = Teller(Plugins(manager), store, worker)
    made.begin()
    return made


def begun(store: Store, **plugins: object) -> Teller:
    """A teller whose plugins stand at the beginning."""
    made = teller(store, **plugins)
    made.tell(NOW)
    return made


def happen(store: Store, *names: object, kind: str = "delivered") -> None:
    for name in names:
        with store.write() as session:
            events.record(session, [events.about_account(1, kind, NOW, {"name": name})])


def raising(*names: str) -> Callable[[Event], None]:
    def trouble(event: Event) -> None:
        if event.facts["name"] in names:
            raise RuntimeError(f"no {event.facts['name']}")

    return trouble


def position(store: Store, plugin: str = "p") -> Position:
    with store.read() as session:
        found = cursors.position(session, plugin)
    assert found is not None
    return found


def test_events_are_told_once_and_in_order(store: Store) -> None:
    made = begun(store, p=(plugin := Plugin()))
    happen(store, "a", "b")
    happen(store, "c", kind="bounced")
    happen(store, "d", kind="expired")
    happen(store, "e", kind="accepted")
    made.tell(NOW)
    happen(store, "f")
    made.tell(NOW)
    made.tell(NOW)
    assert plugin.names == ["a", "b", "c", "d", "f"]
    assert [event.kind for event in plugin.told] == ["delivered", "delivered", "bounced", "expired", "delivered"]


def test_an_event_says_what_it_is_about(store: Store) -> None:
    made = begun(store, p=(plugin := Plugin()))
    funded(store)
    one = submission(2)
    accept(store, one)
    with store.write() as session:
        events.record(session, [events.about_recipient(1, one.id, 1, "delivered", NOW, {"reply": "250 ok"})])
    made.tell(NOW)
    [event] = plugin.told
    assert (event.kind, event.account_id, event.message_id, event.recipient) == (
        "delivered",
        1,
        one.id,
        "r1@example.net",
    )
    assert (event.at, event.facts) == (NOW, {"reply": "250 ok"})


def test_a_new_plugin_is_told_what_happens_from_now_on(store: Store) -> None:
    made = begun(store, p=Plugin())
    happen(store, "before")
    made.tell(NOW)
    later = teller(store, q=(plugin := Plugin()))
    later.tell(NOW)
    happen(store, "after")
    later.tell(NOW)
    assert plugin.names == ["after"]


def test_many_events_are_told_at_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "BATCH", 7)
    made = begun(store, p=(plugin := Plugin()))
    happen(store, *range(50))
    made.tell(NOW)
    assert plugin.names == list(range(50))


def test_a_plugin_that_fails_is_told_again_later_and_then_no_more(store: Store) -> None:
    made = begun(store, p=(plugin := Plugin(raising("bad"))))
    happen(store, "good", "bad", "next")
    made.tell(now := NOW)
    assert plugin.names == ["good", "bad"]
    for failures in range(1, TRIES):
        wait = BACK_OFF * 2 ** (failures - 1)
        assert (position(store).failures, position(store).retry_at) == (failures, now + wait)
        made.tell(now + wait - 0.01)
        assert plugin.names.count("bad") == failures
        made.tell(now := now + wait)
        assert plugin.names.count("bad") == failures + 1
    assert plugin.names == ["good", *["bad"] * TRIES, "next"]
    [letter] = rows(store, DeadLetter)
    assert (letter.plugin, letter.error, letter.at) == ("p", "RuntimeError: no bad", now)
    assert letter.event_id == plugin.told[1].id
    assert position(store).failures == 0
    happen(store, "more")
    made.tell(now)
    assert plugin.names[-1] == "more"


def test_back_off_begins_anew_with_each_event(store: Store) -> None:
    bad = ["a"]
    made = begun(store, p=Plugin(lambda event: raising(*bad)(event)))
    happen(store, "a", "b")
    made.tell(NOW)
    made.tell(NOW + 2)
    assert position(store).failures == 2
    bad[:] = ["b"]
    made.tell(NOW + 6)
    assert (position(store).failures, position(store).retry_at) == (1, NOW + 6 + BACK_OFF)


def test_another_plugin_is_not_held_up_by_one_that_fails(store: Store) -> None:
    plugins = {"a": Plugin(raising("x")), "b": Plugin(), "c": Plugin(raising("y"))}
    made = begun(store, **plugins)
    happen(store, "x", "y", "z")
    made.tell(NOW)
    assert {name: plugin.names for name, plugin in plugins.items()} == {
        "a": ["x"],
        "b": ["x", "y", "z"],
        "c": ["x", "y"],
    }


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), RuntimeError("nul \0 \ud800")])
def test_whatever_a_plugin_raises_becomes_a_dead_letter(store: Store, error: BaseException) -> None:
    def trouble(event: Event) -> None:
        raise error

    made = begun(store, p=Plugin(trouble), q=(good := Plugin()))
    happen(store, "a")
    for n in range(TRIES):
        made.tell(NOW + 1000 * n)
    assert [letter.plugin for letter in rows(store, DeadLetter)] == ["p"]
    assert good.names == ["a"]


def test_another_plugin_is_not_held_up_by_one_that_hangs(store: Store) -> None:
    go_on = threading.Event()
    hanging, good = Plugin(lambda event: go_on.wait(20)), Plugin()
    made = begun(store, hanging=hanging, good=good)
    happen(store, "a")
    made.tell(NOW)
    happen(store, "b")
    made.tell(NOW)
    assert (hanging.names, good.names) == (["a"], ["a", "b"])
    go_on.set()
    for thread in threading.enumerate():
        if thread.name == "hanging":
            thread.join(20)
    made.tell(NOW)
    assert hanging.names == ["a", "b"]


def test_a_restart_in_the_middle_tells_an_event_again_but_never_none(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*args: object) -> bool:
        raise Death

    made = begun(store, p=(plugin := Plugin()))
    happen(store, "a", "b", "c")
    monkeypatch.setattr(made, "_advance", dies)
    made.tell(NOW)
    assert plugin.names == ["a", "b", "c"]
    teller(store, p=plugin).tell(NOW)
    assert plugin.names == ["a", "b", "c", "a", "b", "c"]
    assert len({event.id for event in plugin.told}) == 3


def test_only_one_worker_has_the_duty(store: Store) -> None:
    first, second = Plugin(), Plugin()
    one, two = teller(store, 1, p=first), teller(store, 2, p=second)
    one.tell(NOW)
    two.tell(NOW)
    happen(store, "a")
    two.tell(NOW + DUTY_LEASE)
    one.tell(NOW + DUTY_LEASE)
    assert (first.names, second.names) == (["a"], [])
    happen(store, "b")
    two.tell(NOW + 2 * DUTY_LEASE + 1)
    one.tell(NOW + 2 * DUTY_LEASE + 1)
    assert (first.names, second.names) == (["a"], ["b"])


def test_a_worker_that_lost_the_duty_does_not_move_the_cursor(store: Store) -> None:
    two, late = teller(store, 2, p=(second := Plugin())), DUTY_LEASE + 1

    def overtake(event: Event) -> None:
        if event.facts["name"] == "a":
            two.tell(NOW + late)

    one = begun(store, p=(first := Plugin(overtake)))
    happen(store, "a", "b")
    one.tell(NOW)
    assert (first.names, second.names) == (["a", "b"], ["a", "b"])
    happen(store, "c")
    two.tell(NOW + late)
    assert second.names == ["a", "b", "c"]


def test_while_nothing_happens_nothing_is_written(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    made = begun(store, p=Plugin())

    def write() -> None:
        raise AssertionError

    monkeypatch.setattr(store, "write", write)
    made.tell(NOW + 1)
    made.tell(NOW + 2)
    assert position(store).failures == 0


def test_a_plugin_for_rare_events_does_not_read_all_others_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "FAR", 10)
    made = begun(store, q=(plugin := OnlyQuota()))
    happen(store, *range(12))
    made.tell(NOW)
    [cursor] = rows(store, Cursor)
    with store.read() as session:
        assert cursor.event_id == events.newest(session).event_id
    happen(store, "low", kind="quota_low")
    made.tell(NOW)
    assert [event.facts["name"] for event in plugin.told] == ["low"]


def test_without_listeners_nobody_is_needed(store: Store) -> None:
    assert not teller(store).needed
    assert teller(store, p=Plugin()).needed
