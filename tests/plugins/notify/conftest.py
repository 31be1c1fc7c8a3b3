"""The plugin with a core on both databases, and a clock that the test sets."""

from __future__ import annotations

import email
from dataclasses import dataclass, field
from email import policy
from email.message import EmailMessage
from itertools import count
from typing import Any

import pytest
from sqlalchemy import select

from postmeter import Event
from postmeter.config import Overdraft, Server, Settings
from postmeter.core import Core
from postmeter.store import plugin_steps, queue
from postmeter.store.accounts import add_user, set_role
from postmeter.store.engine import Store
from postmeter.store.own_mail import OPERATOR
from postmeter.store.tables import Message, Recipient
from postmeter_notify.plugin import Notify
from postmeter_notify.settings import NotifySettings
from support.tenants import NOW, PASSWORD, SECRETS, make_account

_events = count(1)


@dataclass
class Post:
    """The started plugin; account 1 is acme, with an owner, an admin and a viewer."""

    store: Store
    now: float = NOW
    plugin: Notify = field(default_factory=Notify)

    def start(self, policy: str = "agreement", **own: Any) -> Post:
        """Start it (anew) with these settings."""
        settings = Settings(server=Server(hostname="mail.test"), overdraft=Overdraft(policy=policy))
        self.core = Core(
            "notify", settings, NotifySettings(**own), self.store.lend("notify"), SECRETS, lambda: self.now
        )
        self.plugin = Notify()
        self.plugin.on_start(self.core)
        return self

    def tell(self, *events: Event) -> None:
        """What the relay does with a run of events."""
        for event in events:
            HOOKS[event.kind.partition("_")[0]](self.plugin, event)
        self.plugin.flush()

    def mails(self) -> list[tuple[str, EmailMessage]]:
        """All mails that wait for delivery, in order: to whom, and what."""
        with self.store.read() as session:
            query = select(Message.id, Recipient.forward_path).join(Recipient, Recipient.message_id == Message.id)
            found = session.execute(query.where(Message.account_id == OPERATOR).order_by(Message.id, Recipient.n)).all()
            contents = [queue.content(session, OPERATOR, identifier) for identifier, _ in found]
        parsed = [email.message_from_bytes(content, policy=policy.default) for content in contents]
        return [(to, mail) for (_, to), mail in zip(found, parsed, strict=True)]

    def subjects(self) -> list[tuple[str, str]]:
        """To whom and with what subject, in any order."""
        return sorted((to, mail["Subject"]) for to, mail in self.mails())


HOOKS: dict[str, Any] = {
    "connection": Notify.on_connection_change,
    "domain": Notify.on_domain_change,
    "notice": Notify.on_notice,
    "quota": lambda plugin, event: plugin.on_quota_low(event) if event.kind in LOW else plugin.on_quota_change(event),
}
LOW = ("quota_low", "quota_exhausted", "quota_overdraft")


def event(kind: str, account: int = 1, at: float = NOW, number: int | None = None, **facts: Any) -> Event:
    """An event about an account."""
    return Event(number or next(_events), kind, account, None, None, at, facts)


@pytest.fixture
def post(store: Store) -> Post:
    """The plugin with the defaults."""
    made = Post(store)
    plugin_steps.migrate(store, {"notify": made.plugin.migrations()})
    with store.write() as session:
        account = make_account(session)
        for address, role in (("ann@acme.example", "admin"), ("vic@acme.example", "viewer")):
            add_user(session, address, False, PASSWORD, NOW)
            set_role(session, account.id, address, role)
    return made.start()
