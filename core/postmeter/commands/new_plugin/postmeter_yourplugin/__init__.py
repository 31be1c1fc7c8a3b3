"""A plugin for Postmeter: names who sends in every mail, and counts what arrives at whose mail servers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click
from attrs import frozen
from postmeter import ConfigError, Core, Event, Job, Message, PluginSettings, console, hookimpl, pass_core, setting
from sqlalchemy import Connection, column, delete, func, insert, select, table, text

DAY = 86_400.0  # seconds
COLUMNS = ("event_id", "domain", "kind", "at")

outcome = table("yourplugin_outcome", *map(column, COLUMNS))
counts = (
    select(
        outcome.c.domain,
        func.count().filter(outcome.c.kind == "delivered"),
        func.count().filter(outcome.c.kind == "bounced"),
    )
    .group_by(outcome.c.domain)
    .order_by(outcome.c.domain)
)


@frozen
class OwnSettings(PluginSettings):
    """The plugin's table in postmeter.toml; what is wrong in it is an error when the relay starts."""

    organization: str = setting("", "what the field Organization of every mail says; empty: it is not added")
    keep_days: int = setting(30, "days that an outcome is kept and counted", least=1)

    def __attrs_post_init__(self) -> None:
        if not (self.organization.isascii() and self.organization.isprintable()):
            raise ConfigError("the organization must be written in printable ASCII characters")


class Plugin:
    """What the relay finds by the entry point; each of its processes makes one."""

    _core: Core
    _own: OwnSettings

    def __init__(self) -> None:
        self._gathered: dict[int, dict[str, Any]] = {}  # by event: the rows to be written

    @hookimpl
    def settings_schema(self) -> type[PluginSettings]:
        """The settings, with their defaults and meanings."""
        return OwnSettings

    @hookimpl
    def migrations(self) -> list[Callable[[Connection], None]]:
        """The steps that make the table; a new version adds some, and leaves those that were published alone."""
        return [make_table]

    @hookimpl
    def on_start(self, core: Core) -> None:
        """Before anything else."""
        assert isinstance(core.own, OwnSettings)
        self._core, self._own = core, core.own

    @hookimpl
    def on_accept(self, message: Message) -> list[tuple[str, str]]:
        """Asked about every message: what is added to its header section."""
        return [("Organization", self._own.organization)] if self._own.organization else []

    @hookimpl
    def on_deliver(self, event: Event) -> None:
        """Told that a recipient has a mail."""
        self._gather(event, "delivered")

    @hookimpl
    def on_bounce(self, event: Event) -> None:
        """Told that a recipient will never have it."""
        self._gather(event, "bounced")

    @hookimpl
    def flush(self) -> None:
        """Write what was gathered at once; an event that was told before is passed over, so that it counts once."""
        gathered, self._gathered = self._gathered, {}
        if not gathered:
            return
        with self._core.write() as session:
            known = set(session.scalars(select(outcome.c.event_id).where(outcome.c.event_id.in_(gathered))))
            if new := [row for event_id, row in gathered.items() if event_id not in known]:
                session.execute(insert(outcome), new)

    @hookimpl
    def jobs(self) -> list[Job]:
        """What is done again and again."""
        return [Job("tidy", DAY, self._tidy)]

    @hookimpl
    def commands(self) -> list[click.Command]:
        """What is added to the command postmeter."""
        return [show_counts]

    def _gather(self, event: Event, kind: str) -> None:
        domain = (event.recipient or "").rpartition("@")[2].lower()
        self._gathered[event.id] = {"event_id": event.id, "domain": domain, "kind": kind, "at": event.at}

    def _tidy(self, now: float) -> None:
        with self._core.write() as session:
            session.execute(delete(outcome).where(outcome.c.at < now - self._own.keep_days * DAY))


def make_table(connection: Connection) -> None:
    """The first step: a row for each recipient whose fate is known."""
    columns = "event_id BIGINT PRIMARY KEY, domain TEXT NOT NULL, kind TEXT NOT NULL, at DOUBLE PRECISION NOT NULL"
    connection.execute(text(f"CREATE TABLE yourplugin_outcome ({columns})"))


@click.command("yourplugin")
@console.json_option
@pass_core
def show_counts(core: Core, as_json: bool) -> None:
    """Print what was delivered and what bounced, for each domain."""
    with core.read() as session:
        rows = [tuple(row) for row in session.execute(counts)]
    heads = ("domain", "delivered", "bounced")
    data = [dict(zip(heads, row, strict=True)) for row in rows]
    console.show(as_json, data, console.table(("Domain", "Delivered", "Bounced"), rows))
