"""A committed fact, as plugins are told it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from postmeter.store.events import Fact


@dataclass(frozen=True, slots=True)
class Event:
    """A committed fact as the tell hooks get it.

    ``id`` is the idempotency key: the same event may come again. ``recipient`` is the forward path the event is
    about, ``at`` seconds since the epoch, ``facts`` what belongs to the kind (``reply``, ``remote``, ``left`` …).
    Of a message ``connection_id`` and ``reference`` are those that it came with.
    """

    id: int
    kind: str
    account_id: int
    message_id: str | None
    recipient: str | None
    at: float
    facts: Mapping[str, Any]
    connection_id: int | None = None
    reference: str = ""


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
