"""The test that a person has sent to an endpoint at once."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from postmeter import Core
from postmeter_webhooks import deliveries
from postmeter_webhooks.body import PING, render
from postmeter_webhooks.directory import read_names
from postmeter_webhooks.endpoints import Endpoint
from postmeter_webhooks.schedule import DELIVERED, FAILED, Answer, Verdict
from postmeter_webhooks.sending import Sender


@dataclass(frozen=True)
class Ping:
    """A test that was sent: the answer, and the row that ``keep`` writes."""

    answer: Answer
    row: dict[str, Any]
    at: float  # seconds since the epoch


def send(core: Core, endpoint: Endpoint, sender: Sender | None = None) -> Ping:
    """Send test.ping and wait for the answer."""
    names, now = read_names(core, endpoint.account_id), core.clock()
    connection = names.connections.get(endpoint.connection_id or 0)
    body = render(PING, now, {"account": names.account, "connection": connection, "endpoint": endpoint.id})
    key = f"msg_ping{os.urandom(8).hex()}_{endpoint.id}"
    answer = (sender or Sender(core)).post(endpoint, key, body.encode("ascii"))
    return Ping(answer, deliveries.row(key, endpoint.account_id, endpoint.id, None, PING, "", body, now), now)


def keep(session: Session, ping: Ping, now: float) -> None:
    """Put it among the endpoint's deliveries."""
    judged = Verdict(DELIVERED if ping.answer.ok else FAILED, 1, ping.at)
    deliveries.keep(session, ping.row, ping.answer, judged, now)
