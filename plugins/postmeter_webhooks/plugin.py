"""What the relay finds under the entry point: listens to events, queues what endpoints want, and has it sent."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import click
from sqlalchemy import Connection
from sqlalchemy.orm import Session

from postmeter import Core, Event, Job, Page, PluginSettings, hookimpl
from postmeter_webhooks import deliveries, endpoints, tables
from postmeter_webhooks.commands import webhook
from postmeter_webhooks.directory import Directory
from postmeter_webhooks.sending import Sender
from postmeter_webhooks.settings import WebhookSettings, own

SEND_EVERY = 1.0  # seconds
PRUNE_EVERY = 3600.0
DAY = 86_400.0


class Webhooks:
    """The plugin. What it is told is gathered in memory, and queued with one commit when a run of events ends.

    Only then the endpoints are read: an event that one was not told since it was off, or not there, is in the database
    when it is switched on or added, so that a replay finds it.
    """

    def __init__(self) -> None:
        self._events: list[Event] = []

    @hookimpl
    def settings_schema(self) -> type[PluginSettings]:
        """The plugin's settings."""
        return WebhookSettings

    @hookimpl
    def migrations(self) -> Sequence[Callable[[Connection], None]]:
        """The plugin's tables."""
        return tables.STEPS

    @hookimpl
    def commands(self) -> list[click.Command]:
        """`postmeter webhook`."""
        return [webhook]

    @hookimpl
    def on_start(self, core: Core) -> None:
        """Keep what the relay offers."""
        self._core = core
        self._directory = Directory(core)
        self._sender = Sender(core)

    @hookimpl
    def pages(self) -> Sequence[Page]:
        """An account's endpoints."""
        from postmeter_webhooks.pages import pages  # Flask is where the panel runs

        return pages(self._core)

    @hookimpl
    def jobs(self) -> list[Job]:
        """Send what is due; forget what is old."""
        return [Job("send", SEND_EVERY, self._sender.dispatch), Job("prune", PRUNE_EVERY, self._prune)]

    @hookimpl
    def on_arrive(self, event: Event) -> None:
        """message.accepted"""
        self._events.append(event)

    @hookimpl
    def on_delay(self, event: Event) -> None:
        """message.delayed"""
        self._events.append(event)

    @hookimpl
    def on_deliver(self, event: Event) -> None:
        """message.delivered"""
        self._events.append(event)

    @hookimpl
    def on_defer(self, event: Event) -> None:
        """message.deferred"""
        self._events.append(event)

    @hookimpl
    def on_bounce(self, event: Event) -> None:
        """message.bounced"""
        self._events.append(event)

    @hookimpl
    def on_complaint(self, event: Event) -> None:
        """message.complained"""
        self._events.append(event)

    @hookimpl
    def on_suppress(self, event: Event) -> None:
        """message.suppressed"""
        self._events.append(event)

    @hookimpl
    def on_quota_low(self, event: Event) -> None:
        """quota.low, quota.exhausted, quota.overdraft"""
        self._events.append(event)

    @hookimpl
    def on_quota_change(self, event: Event) -> None:
        """quota.booked, quota.renewed, quota.expiring, quota.expired"""
        self._events.append(event)

    @hookimpl
    def on_connection_change(self, event: Event) -> None:
        """connection.active, connection.inactive, connection.warned"""
        self._events.append(event)

    @hookimpl
    def on_domain_change(self, event: Event) -> None:
        """domain.verified, domain.broken, domain.refused"""
        self._events.append(event)

    @hookimpl
    def flush(self) -> None:
        """Queue what was gathered; if that fails, all of it is told again."""
        events, self._events = self._events, []
        with self._core.read() as session:
            called = endpoints.called(session, self._core, {event.account_id for event in events})
        if rows := self._directory.rows(events, called):
            with self._core.write() as session:
                deliveries.enqueue(session, rows)

    def _prune(self, now: float) -> None:
        before = now - own(self._core).keep_days * DAY
        self._bit_by_bit(lambda session: deliveries.give_up(session, before, now))
        self._bit_by_bit(lambda session: deliveries.prune(session, before))

    def _bit_by_bit(self, change: Callable[[Session], int]) -> None:
        """Change a little with each commit, so that others can write meanwhile."""
        while True:
            with self._core.write() as session:
                if not change(session):
                    return
