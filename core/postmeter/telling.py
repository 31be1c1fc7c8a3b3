"""Tells plugins what has happened: from the event table, in order, at least once, with a cursor for each plugin."""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace

import pluggy

from postmeter.hooks import Plugins
from postmeter.hookspecs import Event
from postmeter.store import cursors, events
from postmeter.store.engine import Store
from postmeter.store.events import Fact, Position

log = logging.getLogger(__name__)

DUTY = "telling"  # one worker of all does it
DUTY_LEASE = 30.0  # seconds
BATCH = 200
TRIES = 8  # then the event becomes a dead letter
PATIENCE = 1.0  # seconds that one plugin may keep the others waiting
FAR = 1000  # events that a plugin does not listen to, until its cursor is moved past them
BACK_OFF = 2.0  # seconds after the first failure, twice as long after each further one
HOOKS = {
    "accepted": "on_arrive",
    "delivered": "on_deliver",
    "deferred": "on_defer",
    "bounced": "on_bounce",
    "expired": "on_bounce",
    "complained": "on_complaint",
    "address_suppressed": "on_suppress",
    "quota_low": "on_quota_low",
    "quota_exhausted": "on_quota_low",
    "quota_overdraft": "on_quota_low",
    "quota_booked": "on_quota_change",
    "quota_renewed": "on_quota_change",
    "quota_expiring": "on_quota_change",
    "quota_expired": "on_quota_change",
    "connection_paused": "on_connection_change",
    "connection_resumed": "on_connection_change",
    "domain_verified": "on_domain_change",
    "domain_broken": "on_domain_change",
    "notice": "on_notice",
}


@dataclass(eq=False)
class Listener:
    """A plugin with the functions it has for kinds of events, and the thread in which it is told them."""

    name: str
    functions: dict[str, Callable[..., object]]
    follows: bool = False  # only the connections that it names
    thread: threading.Thread | None = None

    @property
    def follower(self) -> str | None:
        """Its name, if it is told only of connections that it follows."""
        return self.name if self.follows else None

    @property
    def busy(self) -> bool:
        """Whether it is still at events of an earlier time."""
        return self.thread is not None and self.thread.is_alive()


class Teller:
    """Feeds every plugin that listens, each in a thread of its own; only the worker that has the duty does so."""

    def __init__(self, plugins: Plugins, store: Store, worker: int) -> None:
        self._store = store
        self._worker = worker
        self._listeners = _listeners(plugins)
        self._duty_until = 0.0

    @property
    def needed(self) -> bool:
        """Whether anybody listens."""
        return bool(self._listeners)

    def begin(self) -> None:
        """Let plugins that are new here be told what happens from now on. Blocks."""
        for listener in self._listeners:
            with self._store.write() as session:
                if cursors.position(session, listener.name) is None:
                    cursors.begin(session, listener.name)

    def tell(self, now: float) -> None:
        """Tell each plugin what it has not been told yet. Blocks, but not for long: who hangs is left alone."""
        if not self._on_duty(now):
            return
        idle = [listener for listener in self._listeners if not listener.busy]
        for listener in idle:
            listener.thread = threading.Thread(target=self._feed, args=(listener, now), name=listener.name, daemon=True)
            listener.thread.start()
        end = time.monotonic() + PATIENCE
        for listener in idle:
            if listener.thread is not None:
                listener.thread.join(max(0.0, end - time.monotonic()))
            if listener.busy:
                log.warning("plugin %s takes long over its events", listener.name)

    def _on_duty(self, now: float) -> bool:
        if now < self._duty_until - DUTY_LEASE / 2:
            return True
        with self._store.read() as session:
            if cursors.duty_of_other(session, DUTY, self._worker, now):
                return False
        with self._store.write() as session:
            held = cursors.hold_duty(session, DUTY, self._worker, now, now + DUTY_LEASE)
        self._duty_until = now + DUTY_LEASE if held else 0.0
        return held

    def _feed(self, listener: Listener, now: float) -> None:
        try:
            while self._feed_some(listener, now):
                pass
        except Exception as error:
            log.error("plugin %s could not be told its events now", listener.name, exc_info=error)

    def _feed_some(self, listener: Listener, now: float) -> bool:
        """Tell a batch of events; whether there may be more to be told at once."""
        with self._store.read() as session:
            stands = cursors.position(session, listener.name)
            if stands is None or stands.retry_at > now:
                return False
            facts = events.after(session, stands, BATCH, list(listener.functions), listener.follower)
            newest = events.newest(session)
        reached = stands
        for fact in facts:
            error = _call(listener, fact)
            if error is not None:
                return self._failed(listener, stands, reached, fact, error, now)
            reached = Position(fact.tx, fact.id)
        if len(facts) == BATCH:
            return self._advance(listener, stands, reached)
        if facts or newest.event_id - stands.event_id >= FAR:
            self._advance(listener, stands, newest)
        return False

    def _advance(self, listener: Listener, stands: Position, reached: Position) -> bool:
        with self._store.write() as session:
            return cursors.advance(session, listener.name, stands, reached)

    def _failed(
        self, listener: Listener, stands: Position, reached: Position, fact: Fact, error: BaseException, now: float
    ) -> bool:
        """The event is told again later, or after all its tries put aside; whether the next one may come."""
        failures = reached.failures + 1  # 1 when the events before it were told just now
        dead = failures >= TRIES
        then = replace(reached, failures=failures, retry_at=now + BACK_OFF * 2 ** (failures - 1))
        if dead:
            then = Position(fact.tx, fact.id)
        with self._store.write() as session:
            ours = cursors.advance(session, listener.name, stands, then)
            if ours and dead:
                text = "".join(traceback.format_exception_only(error)).strip()
                cursors.put_aside(session, listener.name, fact.id, text, now)
        return ours and dead


def _listeners(plugins: Plugins) -> list[Listener]:
    found: dict[str, dict[str, Callable[..., object]]] = {}
    for kind, hook in HOOKS.items():
        for implementation in plugins.implementing(hook):
            found.setdefault(implementation.plugin_name, {})[kind] = _bound(plugins, implementation)
    return [Listener(name, functions, name in plugins.choosing) for name, functions in found.items()]


def _bound(plugins: Plugins, implementation: pluggy.HookImpl) -> Callable[..., object]:
    return lambda event: plugins.call(implementation, {"event": event})


def as_event(fact: Fact) -> Event:
    """What happened, as a plugin is told it."""
    return Event(
        fact.id,
        fact.kind,
        fact.account_id,
        fact.message_id,
        fact.forward_path,
        fact.at,
        fact.facts,
        fact.connection_id,
        fact.reference,
    )


def _call(listener: Listener, fact: Fact) -> BaseException | None:
    try:
        listener.functions[fact.kind](as_event(fact))
    except BaseException as error:  # also sys.exit(): it is not the plugin's to call
        log.error("%s failed in plugin %s", HOOKS[fact.kind], listener.name, exc_info=error)
        return error
    return None
