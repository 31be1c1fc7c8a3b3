"""What a webhook says: an event's type and its data, in fields that never change their names."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from postmeter import Event

PING = "test.ping"
_MESSAGE = ("account", "connection", "message_id", "reference")
_RECIPIENT = (*_MESSAGE, "recipient")
_ATTEMPT = (*_RECIPIENT, "reply", "status", "attempt", "remote")
FIELDS = {  # of the data, by type; what is not known is null
    "message.accepted": (*_MESSAGE, "size"),
    "message.deferred": (*_ATTEMPT, "class"),
    "message.delayed": (*_RECIPIENT, "after", "reply", "status", "attempts"),
    "message.delivered": _ATTEMPT,
    "message.bounced": (*_ATTEMPT, "class", "state"),
    "message.complained": (*_RECIPIENT, "feedback_type"),
    "message.suppressed": (*_RECIPIENT, "reason", "detail", "expires_at"),
    "quota.low": ("account", "left", "threshold"),
    "quota.exhausted": ("account", "left", "threshold"),
    "quota.overdraft": ("account", "overdraft"),
    "quota.booked": ("account", "block", "kind", "size", "expires_at"),
    "quota.renewed": ("account", "block", "kind", "size", "expires_at"),
    "quota.expiring": ("account", "block", "left", "expires_at"),
    "quota.expired": ("account", "block", "size", "lost"),
    "connection.active": ("account", "connection"),
    "connection.inactive": ("account", "connection", "reason"),
    "connection.warned": ("account", "connection", "reason", "cause", "provider"),
    "domain.verified": ("account", "domain"),
    "domain.broken": ("account", "domain", "problems", "warning"),
    "domain.refused": ("account", "domain", "provider", "reply"),
    PING: ("account", "connection", "endpoint"),
}
TYPES = {  # by the kind of the event
    "accepted": "message.accepted",
    "deferred": "message.deferred",
    "delayed": "message.delayed",
    "delivered": "message.delivered",
    "bounced": "message.bounced",
    "expired": "message.bounced",
    "complained": "message.complained",
    "address_suppressed": "message.suppressed",
    "quota_low": "quota.low",
    "quota_exhausted": "quota.exhausted",
    "quota_overdraft": "quota.overdraft",
    "quota_booked": "quota.booked",
    "quota_renewed": "quota.renewed",
    "quota_expiring": "quota.expiring",
    "quota_expired": "quota.expired",
    "connection_resumed": "connection.active",
    "connection_paused": "connection.inactive",
    "connection_warned": "connection.warned",
    "domain_verified": "domain.verified",
    "domain_broken": "domain.broken",
    "domain_refused": "domain.refused",
}
CHOSEN = tuple(name for name in FIELDS if name != PING)  # what an endpoint may choose from
_STATUS = re.compile(r"[245][0-9]{2}[ -]([245]\.[0-9]{1,3}\.[0-9]{1,3})(?![0-9.])")  # RFC 2034, 4


@dataclass(frozen=True)
class Names:
    """An account's name, and those of its connections by number."""

    account: str
    connections: Mapping[int, str] = field(default_factory=dict)

    def number(self, connection: str) -> int | None:
        """The number of the connection of that name."""
        return next((number for number, name in self.connections.items() if name == connection), None)


def is_of_connection(type: str) -> bool:
    """Whether an endpoint of a single connection may have it; the rest is the account's."""
    return type.startswith(("message.", "connection."))


def data_of(event: Event, type: str, names: Names) -> dict[str, object]:
    """The data of a webhook of that type."""
    known = {
        **event.facts,
        "account": names.account,
        "connection": event.facts.get("connection") or names.connections.get(event.connection_id or 0),
        "message_id": event.message_id,
        "reference": event.reference or None,
        "recipient": event.recipient or suppressed(event),
        "status": status_of(str(event.facts.get("reply", ""))),
        "state": event.kind,
        "warning": bool(event.facts.get("warning")),
    }
    return {name: _shown(name, known.get(name)) for name in FIELDS[type]}


def render(type: str, at: float, data: Mapping[str, object]) -> str:
    """The body, in ASCII; ``at`` is when the fact came to be, in seconds since the epoch."""
    return json.dumps({"type": type, "timestamp": rfc3339(at), "data": data}, separators=(",", ":"))


def rfc3339(at: float) -> str:
    """Seconds since the epoch as RFC 3339 text in UTC, to the millisecond."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def status_of(reply: str) -> str | None:
    """The enhanced status code that a reply begins with (RFC 3463)."""
    found = _STATUS.match(reply)
    return found[1] if found else None


def suppressed(event: Event) -> object:
    """The address that is not to be tried any more (an attempt's ``address`` is that of a mail server)."""
    return event.facts.get("address") if event.kind == "address_suppressed" else None


def _shown(name: str, value: object) -> object:
    return rfc3339(value) if name.endswith("_at") and isinstance(value, (int, float)) else value
