"""The endpoints in memory, so that an event of an account that has none costs nothing."""

from __future__ import annotations

from postmeter import Core, Event
from postmeter_webhooks import endpoints
from postmeter_webhooks.body import TYPES, Names
from postmeter_webhooks.endpoints import Endpoint

FRESH = 5.0  # seconds after which the endpoints are read again
NAMES_FRESH = 60.0  # seconds after which names are: they hardly ever change


class Directory:
    """Who wants which event. Blocks now and then, to read what has changed."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._read_at: float | None = None
        self._endpoints: dict[int, list[Endpoint]] = {}  # by account
        self._names: dict[int, tuple[float, Names]] = {}  # by account, each with the time it was read

    def wanting(self, event: Event) -> list[Endpoint]:
        """The endpoints that are to be told the event."""
        type = TYPES.get(event.kind)
        found = self._of(event.account_id)
        if type is None or not found:
            return []
        connection = self._connection_of(event)
        return [endpoint for endpoint in found if endpoint.wants(type, connection)]

    def names(self, event: Event) -> Names:
        """What the event's account and its connections are called."""
        now, account_id = self._core.clock(), event.account_id
        read_at, names = self._names.get(account_id, (now - NAMES_FRESH, Names("")))
        if now - read_at >= NAMES_FRESH or not _has_connection(names, event):
            names = read_names(self._core, account_id)
            self._names[account_id] = (now, names)
        return names

    def _of(self, account_id: int) -> list[Endpoint]:
        now = self._core.clock()
        if self._read_at is None or now - self._read_at >= FRESH:
            with self._core.read() as session:
                found = endpoints.every(session, self._core, on=True)
            self._endpoints = {}
            for endpoint in found:
                self._endpoints.setdefault(endpoint.account_id, []).append(endpoint)
            self._read_at = now
        return self._endpoints.get(account_id, [])

    def _connection_of(self, event: Event) -> int | None:
        """The connection that an event is about: its message's, or the one that it names."""
        name = event.facts.get("connection")
        if event.connection_id is not None or not isinstance(name, str):
            return event.connection_id
        return self.names(event).number(name)


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
