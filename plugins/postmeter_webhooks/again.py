"""What is sent again beyond the deliveries that are known: what happened while an endpoint was off or not there yet."""

from __future__ import annotations

from collections.abc import Iterator

from postmeter import Core, Event
from postmeter_webhooks import deliveries
from postmeter_webhooks.body import TYPES
from postmeter_webhooks.directory import Directory
from postmeter_webhooks.endpoints import Endpoint

PAGE = 500  # events that are read, and queued with one commit


def catch_up(core: Core, endpoint: Endpoint, since: float) -> int:
    """Queue what happened since then and is not known as the endpoint's; how many."""
    directory, number = Directory(core), 0
    for events in _pages(core, endpoint, since):
        if rows := directory.rows(events, [endpoint]):
            with core.write() as session:
                number += deliveries.enqueue(session, rows)
    return number


def missed(core: Core, endpoint: Endpoint, since: float, most: int) -> int | None:
    """How many ``catch_up`` would queue; None when more than ``most`` events would have to be looked at."""
    directory, number, seen = Directory(core), 0, 0
    for events in _pages(core, endpoint, since):
        seen += len(events)
        if seen > most:
            return None
        keys = [row["webhook_id"] for row in directory.rows(events, [endpoint])]
        with core.read() as session:
            number += len(keys) - deliveries.known(session, keys)
    return number


def _pages(core: Core, endpoint: Endpoint, since: float) -> Iterator[list[Event]]:
    kinds = tuple(kind for kind, type in TYPES.items() if not endpoint.types or type in endpoint.types)
    behind = 0
    while True:
        with core.read() as session:
            events = core.events(session, endpoint.account_id, kinds, since, behind, PAGE)
        if not events:
            return
        yield events
        behind = events[-1].id
