"""Tells plugins what has happened: from the event table, in order, at least once, with a cursor for each plugin."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import pluggy

from postmeter.hooks import Plugins
from postmeter.hookspecs import Event
from postmeter.store import cursors, events
from postmeter.store.engine import Store
from postmeter.store.events import Fact

log = logging.getLogger(__name__)

DUTY = "telling"  # one worker of all does it
DUTY_LEASE = 30.0  # seconds
BATCH = 200
TRIES = 8  # then the event becomes a dead letter
BACK_OFF = 2.0  # seconds after the first failure, twice as long after each further one
HOOKS = {
    "delivered": "on_deliver",
    "bounced": "on_bounce",
    "expired": "on_bounce",
    "quota_low": "on_quota_low",
}


@dataclass(frozen=True, slots=True)
class Listener:
    """A plugin with the functions it has for kinds of events."""

    name: str
    functions: dict[str, Callable[..., object]]


class Teller:
    """Feeds every plugin that listens; runs in a thread of the worker that has the duty."""

    def __init__(self, plugins: Plugins, store: Store, worker: int) -> None:
        self._store = store
        self._worker = worker
        self._listeners = _listeners(plugins)

    @property
    def needed(self) -> bool:
        """Whether anybody listens."""
        return bool(self._listeners)

    def tell(self, now: float) -> None:
        """Tell each plugin what it has not been told yet. Blocks."""
        with self._store.write() as session:
            if not cursors.hold_duty(session, DUTY, self._worker, now, now + DUTY_LEASE):
                return
        for listener in self._listeners:
            self._feed(listener, now)

    def _feed(self, listener: Listener, now: float) -> None:
        with self._store.read() as session:
            cursor = cursors.position(session, listener.name)
            if cursor is not None and cursor.retry_at > now:
                return
            facts = events.after(session, cursor, BATCH, list(listener.functions)) if cursor else []
            paths = {fact.id: cursors.forward_path(session, fact) for fact in facts}
        if cursor is None:
            with self._store.write() as session:
                cursors.begin(session, listener.name)  # a new plugin is told what happens from now on
            return
        told: Fact | None = None
        for fact in facts:
            error = _call(listener, fact, paths[fact.id])
            if error is None:
                told = fact
                continue
            with self._store.write() as session:
                cursors.advance(session, listener.name, told)
                wait = BACK_OFF * 2**cursor.failures if told is None else BACK_OFF
                cursors.failed(session, listener.name, fact, str(error), now, now + wait, TRIES)
            return
        if told is not None:
            with self._store.write() as session:
                cursors.advance(session, listener.name, told)


def _listeners(plugins: Plugins) -> list[Listener]:
    found: dict[str, dict[str, Callable[..., object]]] = {}
    for kind, hook in HOOKS.items():
        for implementation in plugins.implementing(hook):
            found.setdefault(implementation.plugin_name, {})[kind] = _bound(implementation)
    return [Listener(name, functions) for name, functions in found.items()]


def _bound(implementation: pluggy.HookImpl) -> Callable[..., object]:
    return lambda event: implementation.function(*(event for _ in implementation.argnames))


def _call(listener: Listener, fact: Fact, path: str | None) -> Exception | None:
    event = Event(fact.id, fact.kind, fact.account_id, fact.message_id, path, fact.at, fact.facts)
    try:
        listener.functions[fact.kind](event)
    except Exception as error:
        log.error("%s failed in plugin %s", HOOKS[fact.kind], listener.name, exc_info=error)
        return error
    return None
