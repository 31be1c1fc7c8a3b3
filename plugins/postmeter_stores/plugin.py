"""What the relay finds under the entry point: order numbers on the way in, notes on the way out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import click
from sqlalchemy import Connection

from postmeter import Core, Event, Job, Message, Page, PluginSettings, hookimpl
from postmeter_stores import queue
from postmeter_stores.commands import store
from postmeter_stores.directory import Directory
from postmeter_stores.reference import order_in
from postmeter_stores.settings import Settings
from postmeter_stores.tables import first_tables, notes_by_shop
from postmeter_stores.writer import Writer

EVERY = 2.0  # seconds
REFERENCE = "X-Postmeter-Ref"


class StoresPlugin:
    """Writes bounces, and deliveries on wish, into the orders of shops."""

    _core: Core
    _directory: Directory

    def __init__(self) -> None:
        self._gathered: list[Event] = []

    @hookimpl
    def settings_schema(self) -> type[PluginSettings]:
        """[plugins.stores]."""
        return Settings

    @hookimpl
    def migrations(self) -> Sequence[Callable[[Connection], None]]:
        """The tables stores_shop and stores_note."""
        return [first_tables, notes_by_shop]

    @hookimpl
    def commands(self) -> Sequence[click.Command]:
        """`postmeter store`."""
        return [store]

    @hookimpl
    def pages(self) -> Sequence[Page]:
        """An account's shops."""
        from postmeter_stores.pages import pages  # Flask is where the panel runs

        return pages(self._core)

    @hookimpl
    def by_connection(self) -> bool:
        """Only those that have a shop."""
        return True

    @hookimpl
    def on_start(self, core: Core) -> None:
        """Keep what the relay offers."""
        self._core = core
        self._directory = Directory(core)

    @hookimpl
    def on_accept(self, message: Message) -> list[tuple[str, str]]:
        """The order that the pattern finds, unless the sender has named one."""
        shop = self._directory.entry(message.connection_id)
        if message.reference or shop is None or shop.pattern is None:
            return []
        number = order_in(shop.pattern, message.header, message.body)
        return [(REFERENCE, f"order:{number}")] if number else []

    @hookimpl
    def on_bounce(self, event: Event) -> None:
        """Gather it for the shop."""
        if self._directory.entry(event.connection_id):
            self._gather(event)

    @hookimpl
    def on_deliver(self, event: Event) -> None:
        """Gather it for a shop that wants deliveries, too."""
        shop = self._directory.entry(event.connection_id)
        if shop and shop.deliveries:
            self._gather(event)

    def _gather(self, event: Event) -> None:
        if event.message_id and event.recipient:  # else the message was deleted meanwhile
            self._gathered.append(event)

    @hookimpl
    def flush(self) -> None:
        """Put what was gathered into the queue; if that fails, it is told again."""
        gathered, self._gathered = self._gathered, []
        if gathered:
            with self._core.write() as session:
                queue.add(session, gathered, self._core.clock())

    @hookimpl
    def jobs(self) -> Sequence[Job]:
        """Writing what waits."""
        assert isinstance(self._core.own, Settings)
        return [Job("write", EVERY, Writer(self._core, self._core.own).run)]
