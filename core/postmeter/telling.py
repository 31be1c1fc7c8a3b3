"""Tells plugins what has happened: from the event table, at least once, each plugin in a thread of its own."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import pluggy

from postmeter.hooks import Plugins
from postmeter.listener import Doing, Functions, Listener
from postmeter.roster import HOOKS
from postmeter.store import cursors, moved, troubles
from postmeter.store.engine import Store
from postmeter.store.troubles import Trouble

log = logging.getLogger(__name__)

DUTY = "telling"  # one worker of all does it
DUTY_LEASE = 30.0  # seconds
PATIENCE = 1.0  # seconds that one plugin may keep the others waiting
HANGS = 60.0  # seconds that a call takes: then it is said to hang
OTHERS = ("flush", "jobs")


class Teller:
    """Has every plugin told that listens or has jobs; only the worker that has the duty does so.

    ``clock`` gives seconds since the epoch.
    """

    def __init__(self, plugins: Plugins, store: Store, worker: int, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._worker = worker
        self._clock = clock
        self._threads = [
            Thread(Listener(name, functions, store, clock)) for name, functions in functions_of(plugins).items()
        ]
        self._duty_until = 0.0
        self._stopped = False

    @property
    def needed(self) -> bool:
        """Whether anybody listens, or has jobs."""
        return bool(self._threads)

    def begin(self) -> None:
        """Let plugins that are new here be told what happens from now on, and the others go on. Blocks."""
        with self._store.write() as session:
            moved.settle_in(session)
        for name in (thread.listener.name for thread in self._threads if thread.listener.kinds):
            with self._store.write() as session:
                if cursors.position(session, name) is None:
                    cursors.begin(session, name)

    def tell(self) -> None:
        """Tell each plugin what it has not been told yet. Blocks, but not for long: who hangs is left alone."""
        self._note_hanging()
        if self._stopped or not self._on_duty(self._clock()):
            return
        idle = [thread for thread in self._threads if not thread.busy]
        for thread in idle:
            thread.begin(self._held)
        end = time.monotonic() + PATIENCE
        for thread in idle:
            if not thread.wait(end - time.monotonic()):
                log.warning("plugin %s takes long over its events", thread.listener.name)

    def stop(self) -> None:
        """Let all end after the events that they are told just now. Blocks, a second at most."""
        self._stopped = True
        end = time.monotonic() + PATIENCE
        for thread in self._threads:
            thread.wait(end - time.monotonic())

    def _held(self) -> bool:
        return not self._stopped and self._clock() < self._duty_until

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

    def _note_hanging(self) -> None:
        """Let `plugin list` show what hangs, and what does no longer."""
        noted: list[Trouble] = []
        for thread in self._threads:
            name, before, hanging = thread.listener.name, thread.hanging, thread.hangs(self._clock())
            if hanging is not before:
                thread.hanging = hanging
                noted += [Trouble(name, before.what, self._worker, "", before.since)] if before else []
            if hanging and hanging is not before:
                log.error("plugin %s hangs in %s", name, hanging.what)
                noted.append(Trouble(name, hanging.what, self._worker, "does not come back", hanging.since))
        if noted:
            with self._store.write() as session:
                troubles.note(session, noted)


class Thread:
    """The thread of one plugin at a time: a new one for each time there may be something to tell."""

    def __init__(self, listener: Listener) -> None:
        self.listener = listener
        self.hanging: Doing | None = None  # as it was noted
        self._thread: threading.Thread | None = None

    @property
    def busy(self) -> bool:
        """Whether it is still at events of an earlier time."""
        return self._thread is not None and self._thread.is_alive()

    def begin(self, on_duty: Callable[[], bool]) -> None:
        """Let it work."""
        self._thread = threading.Thread(
            target=self.listener.work, args=(on_duty,), name=self.listener.name, daemon=True
        )
        self._thread.start()

    def wait(self, seconds: float) -> bool:
        """Whether it has come to an end within so many seconds."""
        if self._thread is not None:
            self._thread.join(max(0.0, seconds))
        return not self.busy

    def hangs(self, now: float) -> Doing | None:
        """What it hangs in."""
        doing = self.listener.doing
        return doing if doing and now - doing.since >= HANGS else None


def functions_of(plugins: Plugins) -> dict[str, Functions]:
    """What each plugin has that is told events or has jobs."""
    told: dict[str, dict[str, Any]] = {}
    for kind, hook in HOOKS.items():
        for one in plugins.implementing(hook):
            told.setdefault(one.plugin_name, {})[kind] = (hook, _telling(plugins, one))
    calls = {hook: {one.plugin_name: _calling(plugins, one) for one in plugins.implementing(hook)} for hook in OTHERS}
    names = dict.fromkeys((*told, *calls["jobs"]))
    return {
        name: Functions(told.get(name, {}), name in plugins.choosing, *(calls[hook].get(name) for hook in OTHERS))
        for name in names
    }


def _telling(plugins: Plugins, implementation: pluggy.HookImpl) -> Callable[..., object]:
    return lambda event: plugins.call(implementation, {"event": event})


def _calling(plugins: Plugins, implementation: pluggy.HookImpl) -> Callable[[], Any]:
    return lambda: plugins.call(implementation, {})
