"""Recipients of a message whose routes are found: they wait a moment for the others, and leave together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IDelayedCall

from postmeter.delivery.route import Route
from postmeter.delivery.tls_policy import TlsPolicy
from postmeter.store.queue import QueuedRecipient

PATIENCE = 1.0  # seconds that a route which is found waits for others, whose DNS may be silent for a minute

Groups = dict[tuple[str, TlsPolicy], tuple[Route, list[QueuedRecipient]]]  # by key and TLS: what shares one transaction


def join(groups: Groups, route: Route, recipient: QueuedRecipient) -> None:
    """Add a recipient to those who go the same way."""
    groups.setdefault((route.key, route.tls), (route, []))[1].append(recipient)


class Gathering:
    """Waits for the routes of so many recipients; ``leave`` gets those that were found, in as few parts as it takes."""

    def __init__(self, reactor: Any, awaited: int, leave: Callable[[Groups], None]) -> None:
        self._reactor = reactor
        self._awaited = awaited
        self._leave = leave
        self._found: Groups = {}
        self._timer: IDelayedCall | None = None

    def add(self, route: Route, recipient: QueuedRecipient) -> None:
        """A route was found; ``end_one`` follows."""
        join(self._found, route, recipient)

    def end_one(self) -> None:
        """One recipient less to wait for, whether it has a route or none."""
        self._awaited -= 1
        if self._awaited == 0:
            if self._timer is not None:
                self._timer.cancel()
            self._go()
        elif self._found and self._timer is None:
            self._timer = self._reactor.callLater(PATIENCE, self._go)

    def _go(self) -> None:
        self._timer = None
        found, self._found = self._found, {}
        if found:
            self._leave(found)
