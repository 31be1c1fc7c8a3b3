"""The plugin on a real store, with a clock of the test's own and shops that it can be connected with."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

from click.testing import CliRunner, Result
from sqlalchemy import select

from plugins.stores.fakes.base import FakeShop, away
from postmeter import Core, Event
from postmeter.config import Settings as RelaySettings
from postmeter.console import Opener
from postmeter.store import tables
from postmeter.store.connections import add_connection
from postmeter.store.engine import Store
from postmeter_stores import writer
from postmeter_stores.commands import store as command
from postmeter_stores.plugin import StoresPlugin
from postmeter_stores.settings import Settings
from postmeter_stores.tables import NoteRow, ShopRow, first_tables
from support.postage import rows
from support.tenants import NOW, SECRETS, make_account, make_domain

REPLY = "550 5.1.1 No such user"


class Bench:
    """An account acme with the connections shop and forum; ``now`` is the time."""

    def __init__(self, store: Store, credentials: dict[str, dict[str, str]], **own: Any) -> None:
        self.store = store
        self.now = NOW
        self.own = Settings(allow_private=True, timeout=5, **own)
        self.core = Core("stores", RelaySettings(), self.own, store.lend("stores"), SECRETS, lambda: self.now)
        self._credentials = credentials
        self._numbers: Iterator[int] = count(1)
        with store.write() as session:
            first_tables(session.connection())
            account = make_account(session)
            make_domain(session, account)
            self.connections = {
                name: add_connection(session, SECRETS, account, name, ["shop.example"], NOW).connection_id
                for name in ("shop", "forum")
            }
        self.start()

    def start(self) -> None:
        """A new process: whatever the old one knew is forgotten."""
        self.plugin = StoresPlugin()
        self.plugin.on_start(self.core)
        self.writer = writer.Writer(self.core, self.own)

    def run(self, *arguments: str) -> Result:
        """`postmeter store`, with these arguments."""
        return CliRunner().invoke(command, arguments, obj=Opener(lambda: self.core), catch_exceptions=False)

    def connect(self, kind: str, fake: FakeShop, *options: str, connection: str = "shop", **changed: str) -> None:
        """Connect a shop by the command."""
        given = {**self._credentials[kind], **changed}
        log_in = [word for name, text in given.items() for word in (f"--{name.replace('_', '-')}", text)]
        result = self.run("connect", "acme", connection, kind, "--url", fake.base, *log_in, *options)
        assert result.exit_code == 0, result.output

    def event(
        self, kind: str = "bounced", reference: str = "order:1234", connection: str = "shop", **more: Any
    ) -> Event:
        """What the relay tells about a mail of its own for joe@example.org."""
        number = next(self._numbers)
        facts = {"message_id": f"{number:026d}", "recipient": "joe@example.org", **more}
        return Event(
            id=number,
            kind=kind,
            account_id=1,
            at=self.now,
            facts={"reply": REPLY, "stage": "rcpt"},
            connection_id=self.connections[connection],
            reference=reference,
            **facts,
        )

    def tell(self, *events: Event) -> None:
        """Tell the plugin, as the relay does."""
        for event in events:
            {"delivered": self.plugin.on_deliver}.get(event.kind, self.plugin.on_bounce)(event)
        self.plugin.flush()

    def happen(self, kind: str = "bounced", **more: Any) -> Event:
        """An event that is told at once."""
        self.tell(event := self.event(kind, **more))
        return event

    async def write(self, after: float = 0.0) -> None:
        """Let time pass, and the job be done to its end."""
        self.now += after
        await away(self._write)

    def _write(self) -> None:
        self.writer.run(self.now)
        self.writer.join(20)

    @property
    def notes(self) -> list[NoteRow]:
        """All notes."""
        found: list[NoteRow] = rows(self.store, NoteRow)
        return found

    @property
    def shop(self) -> ShopRow:
        """The only shop."""
        (found,) = rows(self.store, ShopRow)
        assert isinstance(found, ShopRow)
        return found

    @property
    def notices(self) -> list[dict[str, Any]]:
        """What the account's admins were told."""
        with self.store.read() as session:
            return list(session.scalars(select(tables.Event.facts).where(tables.Event.kind == "notice")))
