"""The plugin: gathers the events that it is told, and sends each admin one mail about each."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from email.message import EmailMessage

import click
from sqlalchemy import Connection
from sqlalchemy.orm import Session

from postmeter import Core, Event, Job, Page, PluginSettings, UsageError, hookimpl
from postmeter_notify import tables
from postmeter_notify.commands import notify
from postmeter_notify.desk import mail_about, settings_of
from postmeter_notify.settings import NotifySettings

log = logging.getLogger(__name__)

OPERATOR = 0  # the relay's own mail: nothing about it is told, so that no mail leads to another
LATE = 3 * 86_400.0  # seconds: nobody wants to know of older events (told again by hand, or after a long rest)
DAY = 86_400.0
MOST = 10  # mails written in one transaction, which keeps others from writing


@dataclass(frozen=True)
class Notice:
    """One mail that is to be sent about an event."""

    event: Event
    to: str
    mail: EmailMessage


class Notify:
    """What the relay finds under the entry point."""

    _core: Core

    def __init__(self) -> None:
        self._gathered: list[Event] = []

    @hookimpl
    def settings_schema(self) -> type[PluginSettings]:
        """See ``NotifySettings``."""
        return NotifySettings

    @hookimpl
    def migrations(self) -> Sequence[Callable[[Connection], None]]:
        """The plugin's tables."""
        return [tables.create]

    @hookimpl
    def commands(self) -> Sequence[click.Command]:
        """`postmeter notify`."""
        return [notify]

    @hookimpl
    def pages(self) -> Sequence[Page]:
        """An account's notices: who is told what, and in which language."""
        from postmeter_notify.pages import pages  # Flask is where the panel runs

        return pages(self._core)

    @hookimpl
    def jobs(self) -> Sequence[Job]:
        """Forgets, once a day, what was sent about events that are too old to be told again."""
        return [Job("forget", DAY, self._forget)]

    @hookimpl
    def on_start(self, core: Core) -> None:
        """Keep what the relay offers."""
        self._core = core

    @hookimpl
    def on_quota_low(self, event: Event) -> None:
        """Low, exhausted, first overdraft."""
        self._gather(event)

    @hookimpl
    def on_quota_change(self, event: Event) -> None:
        """A block is renewed, ends, or will end soon."""
        self._gather(event)

    @hookimpl
    def on_domain_change(self, event: Event) -> None:
        """A DKIM record is gone."""
        self._gather(event)

    @hookimpl
    def on_connection_change(self, event: Event) -> None:
        """A connection is paused."""
        self._gather(event)

    @hookimpl
    def on_notice(self, event: Event) -> None:
        """Another plugin has something to say."""
        self._gather(event)

    @hookimpl
    def flush(self) -> None:
        """Send what the gathered events call for: each mail in one transaction with the note that it was sent."""
        gathered, self._gathered = self._gathered, []
        if not gathered:
            return
        with self._core.read() as session:
            notices = [notice for event in gathered for notice in self._notices(session, event)]
        for begin in range(0, len(notices), MOST):
            with self._core.write() as session:
                for notice in notices[begin : begin + MOST]:
                    self._send(session, notice)

    def _gather(self, event: Event) -> None:
        recent = event.at >= self._core.clock() - LATE
        empty = event.kind == "notice" and not event.facts.get("texts")
        if recent and not empty and event.account_id != OPERATOR and event.kind in settings_of(self._core).events:
            self._gathered.append(event)

    def _notices(self, session: Session, event: Event) -> list[Notice]:
        try:
            account = self._core.account(session, event.account_id)
        except UsageError as error:
            log.warning("nobody is told of the event %d: %s", event.id, error)
            return []
        made = mail_about(self._core, session, account, event)
        return [Notice(event, address, made) for address in sorted(account.admins)]

    def _send(self, session: Session, notice: Notice) -> None:
        if not tables.mark(session, notice.event.id, notice.to, notice.event.at):
            return
        try:
            self._core.send(session, notice.mail, notice.to)
        except UsageError as error:
            log.warning("an admin of account %d is not told: %s", notice.event.account_id, error)

    def _forget(self, now: float) -> None:
        with self._core.write() as session:
            tables.forget(session, now - LATE - DAY)
