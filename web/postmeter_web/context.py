"""What every view works with: the settings, the store, the clock and the person who is logged in."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

from flask import current_app
from flask_login import UserMixin, current_user

from postmeter.config import Settings
from postmeter.store.accounts import UserFacts
from postmeter.store.engine import Store
from postmeter_web.throttle import Throttle


@dataclass(frozen=True)
class Panel:
    """One application's parts; ``clock`` gives seconds since the epoch."""

    settings: Settings
    store: Store
    clock: Callable[[], float]
    throttle: Throttle = field(default_factory=Throttle)
    # Checking a password takes 64 MiB for a moment: two at a time are enough for two cores.
    checks: threading.BoundedSemaphore = field(default_factory=lambda: threading.BoundedSemaphore(2))


class Visitor(UserMixin):  # type: ignore[misc]
    """A logged-in person, as Flask-Login wants it."""

    def __init__(self, facts: UserFacts) -> None:
        self.facts = facts

    def get_id(self) -> str:
        """What the session holds: the epoch in it ends all sessions of a user when it is raised."""
        return f"{self.facts.id}.{self.facts.epoch}"


def panel() -> Panel:
    """The parts of the application that answers this request."""
    return cast(Panel, current_app.extensions["postmeter"])


def visitor() -> UserFacts:
    """Who asks; only views behind the log-in call this."""
    return cast(UserFacts, current_user.facts)
