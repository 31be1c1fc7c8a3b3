"""Plugins that note what they are told, and a teller with a clock for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from postmeter.event import Event
from postmeter.hooks import Plugins, new_manager
from postmeter.hookspecs import hookimpl
from postmeter.store import cursors, events, parked, replays
from postmeter.store.engine import Store
from postmeter.store.events import Position
from postmeter.store.plugin_tables import DeadLetter
from postmeter.store.replays import Span
from postmeter.telling import Teller
from support.postage import rows
from support.tenants import NOW


class Plugin:
    """Notes what it is told; ``trouble`` may raise."""

    def __init__(self, trouble: Callable[[Event], object] = lambda event: None) -> None:
        self.told: list[Event] = []
        self.trouble = trouble

    @hookimpl
    def on_deliver(self, event: Event) -> None:
        """The hook."""
        self.told.append(event)
        self.trouble(event)

    @hookimpl
    def on_bounce(self, event: Event) -> None:
        """The hook."""
        self.told.append(event)
        self.trouble(event)

    @property
    def names(self) -> list[Any]:
        """Of all that it was told, also what it failed with."""
        return [event.facts["name"] for event in self.told]

    def forget(self) -> list[Any]:
        """The names so far, and a new beginning."""
        names, self.told = self.names, []
        return names


def raising(*names: object) -> Callable[[Event], None]:
    """Trouble with these events."""

    def trouble(event: Event) -> None:
        if event.facts["name"] in names:
            raise RuntimeError(f"no {event.facts['name']}")

    return trouble


def broken(event: Event) -> None:
    """Trouble with all events."""
    raise RuntimeError("broken")


def happen(store: Store, *names: object, kind: str = "delivered", message: str | None = None, account: int = 1) -> None:
    """Events of these names, about an account, or about one of its messages."""
    with store.write() as session:
        written = [events.about_recipient(account, message, None, kind, NOW, {"name": name}) for name in names]
        events.record(session, written)


def scattered(store: Store, *names: object) -> None:
    """Events of these names, each about another message, so that none waits behind another."""
    with store.write() as session:
        written = [
            events.about_recipient(1, f"message {name}", None, "delivered", NOW, {"name": name}) for name in names
        ]
        events.record(session, written)


class Bench:
    """A teller whose plugins stand at the beginning, and its clock."""

    def __init__(self, store: Store, worker: int = 1, **plugins: object) -> None:
        self.store = store
        self.now = NOW
        manager = new_manager()
        for name, plugin in plugins.items():
            manager.register(plugin, name)
        self.plugins = Plugins(manager)
        self.teller = Teller(self.plugins, store, worker, lambda: self.now)
        self.teller.begin()

    def tell(self, after: float = 0.0, *, wait: bool = True) -> None:
        """Let so many seconds go by, then tell what there is; without ``wait`` plugins may still be at it."""
        self.now += after
        self.teller.tell()
        if wait:
            for thread in self.teller._threads:
                assert thread.wait(60)

    def replay(self, span: Span = Span(), plugin: str = "p") -> None:  # noqa: B008 - frozen
        """Wish for events."""
        with self.store.write() as session:
            replays.wish(session, plugin, span)

    def revive(self, plugin: str = "p") -> int:
        """Have its dead letters told again."""
        with self.store.write() as session:
            return parked.revive(session, plugin)

    def position(self, plugin: str = "p") -> Position:
        """Where a plugin stands."""
        with self.store.read() as session:
            found = cursors.position(session, plugin)
        assert found is not None
        return found

    @property
    def dead(self) -> list[tuple[str, int, str]]:
        """The dead letters: plugin, event and error."""
        return [(letter.plugin, letter.event_id, letter.error) for letter in rows(self.store, DeadLetter)]
