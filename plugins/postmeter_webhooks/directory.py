"""What events become in the queue: which endpoints are told which of them, with names that are kept in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from postmeter import Core, Event
from postmeter_webhooks.body import TYPES, Names, data_of, render
from postmeter_webhooks.deliveries import row
from postmeter_webhooks.endpoints import Endpoint

NAMES_FRESH = 60.0  # seconds after which names are read again: they hardly ever change


class Directory:
    """What accounts and connections are called. Blocks now and then, to read what has changed."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._names: dict[int, tuple[float, Names]] = {}  # by account, each with the time it was read

    def rows(self, events: Sequence[Event], endpoints: Sequence[Endpoint]) -> list[dict[str, Any]]:
        """What these endpoints want of these events, for ``deliveries.enqueue``."""
        of: dict[int, list[Endpoint]] = {}
        for endpoint in endpoints:
            of.setdefault(endpoint.account_id, []).append(endpoint)
        return [row for event in events if event.account_id in of for row in self._rows(event, of[event.account_id])]

    def _rows(self, event: Event, endpoints: Sequence[Endpoint]) -> list[dict[str, Any]]:
        type, connection = TYPES[event.kind], self._connection_of(event)
        wanting = [endpoint.id for endpoint in endpoints if endpoint.wants(type, connection)]
        if not wanting:
            return []
        body = render(type, event.at, data_of(event, type, self._names_of(event)))
        about, now = event.message_id or "", self._core.clock()
        return [
            row(f"msg_{event.id}_{number}", event.account_id, number, event.id, type, about, body, now)
            for number in wanting
        ]

    def _connection_of(self, event: Event) -> int | None:
        """The connection that an event is about: its message's, or the one that it names."""
        name = event.facts.get("connection")
        if event.connection_id is not None or not isinstance(name, str):
            return event.connection_id
        return self._names_of(event).number(name)

    def _names_of(self, event: Event) -> Names:
        """What the event's account and its connections are called."""
        now, account_id = self._core.clock(), event.account_id
        read_at, names = self._names.get(account_id, (now - NAMES_FRESH, Names("")))
        if now - read_at >= NAMES_FRESH or not _has_connection(names, event):
            names = read_names(self._core, account_id)
            self._names[account_id] = (now, names)
        return names


def read_names(core: Core, account_id: int) -> Names:
    """What an account and its connections are called now."""
    with core.read() as session:
        account = core.account(session, account_id)
        return Names(account.name, {one.id: one.name for one in core.connections(session, account_id)})


def _has_connection(names: Names, event: Event) -> bool:
    """Whether the event's connection is among them; a new one is not."""
    if event.connection_id is not None:
        return event.connection_id in names.connections
    return event.facts.get("connection") in (None, *names.connections.values())
