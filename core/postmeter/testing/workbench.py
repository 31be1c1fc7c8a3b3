"""The relay as one plugin sees it, within the test: no process, no reactor; only what the test says happens."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result
from sqlalchemy import select
from sqlalchemy.orm import Session

from postmeter.asking import encode_fields
from postmeter.config import Settings
from postmeter.console import Opener
from postmeter.core import Core
from postmeter.event import Event, as_event
from postmeter.hooks import Plugins
from postmeter.hookspecs import HeaderField, Message
from postmeter.message.editing import prepare
from postmeter.message.envelope import Envelope, Recipient
from postmeter.message.header import HeaderSection
from postmeter.message.identifier import IdFactory
from postmeter.roster import HOOKS
from postmeter.smtp.reply import Refused, Reply
from postmeter.store import accounts, connections, domains, events, plugin_steps, queue, quota, schema, tables
from postmeter.store.accept import Acceptance, Submission
from postmeter.store.accounts import AccountFacts
from postmeter.store.connections import ConnectionFacts
from postmeter.store.engine import Store
from postmeter.store.events import Position
from postmeter.store.own_mail import OPERATOR
from postmeter.store.queue import QueuedMessage, QueuedRecipient
from postmeter.store.secrets import NewPassword, Secrets
from postmeter.store.settle import Settlement, settle
from postmeter.store.tables import BOUNCED, DEFERRED, DELIVERED
from postmeter.testing.recipient_side import Arrived

NOW = 1_800_000_000.0  # seconds since the epoch: the beginning of a test
LIST_HELP = "https://shop.example/help"
CUSTOMER = "anna@kunde.example"
NO_FIELDS: Mapping[str, str] = {}
EVER = 1e12  # seconds
ALL = 100_000  # events and recipients of one test
PASSWORD = NewPassword("nobody logs in with this", "it is no hash")


@dataclass
class Clock:
    """Gives seconds since the epoch; only the test moves it."""

    now: float = NOW

    def __call__(self) -> float:
        """The time."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


def migrated(path: Path) -> Path:
    """The path, after an SQLite file with the relay's tables was made there."""
    store = Store.open(f"sqlite:///{path}")
    schema.upgrade(store)
    store.close()
    return path


class Bench:
    """One plugin with its ``core`` on a database of its own, customers, and mail whose fate the test decides."""

    def __init__(self, settings: Settings, plugins: Plugins, name: str, clock: Clock) -> None:
        self.clock = clock
        self._plugins, self._name = plugins, name
        self._store = Store.open(settings.store_url)
        schema.ensure(self._store)
        plugin_steps.migrate(self._store, plugins.migrations())
        plugins.attach(settings, self._store, Secrets.open(settings.data), clock)
        self._accept = Acceptance(settings.overdraft, settings.demo)
        self._new_id = IdFactory(clock, os.urandom)
        self._leased: dict[tuple[str, str], tuple[QueuedMessage, QueuedRecipient]] = {}
        self._told = Position(0, 0)
        with self._store.write() as session:
            self._worker = queue.register(session, "bench", os.getpid(), clock(), EVER)

    def close(self) -> None:
        """Close the database."""
        self._store.close()

    @property
    def core(self) -> Core:
        """What the relay offers the plugin."""
        return self._plugins.core(self._name)

    # Customers

    def account(self, name: str = "shop", block: int = 25_000) -> AccountFacts:
        """A new account with its owner (owner@NAME.example) and a booked block of mails."""
        settings, now = self.core.settings, self.clock()
        with self._store.write() as session:
            owner = f"owner@{name}.example"
            added = accounts.add_account(session, name, owner, False, settings, PASSWORD, now)
            quota.book_block(session, added.account_id, block, settings.block, now)
            return accounts.account_facts(session, added.account_id)

    def connection(self, account: AccountFacts, name: str = "Web shop", domain: str = "") -> ConnectionFacts:
        """A new connection of the account, which sends from ``domain`` (empty: NAME.example)."""
        domain = domain or f"{account.name}.example"
        with self._store.write() as session:
            row = session.get_one(tables.Account, account.id)
            domains.add_domain(session, self.core.secrets, row, domain, LIST_HELP, True, [], self.clock())
            made = connections.add_connection(session, self.core.secrets, row, name, [domain], self.clock())
            found = connections.connections_of(session, account.id)
        return next(one for one in found if one.id == made.connection_id)

    @cached_property
    def shop(self) -> ConnectionFacts:
        """The connection of messages for which the test names none: "Web shop" of the account "shop"."""
        return self.connection(self.account())

    # Messages

    def message(
        self,
        *recipients: str,
        connection: ConnectionFacts | None = None,
        headers: Mapping[str, str] = NO_FIELDS,
        text: str = "Thank you for your order.\r\n",
    ) -> Message:
        """A message as ``on_accept`` is asked about it, to anna@kunde.example unless recipients are named.

        ``headers`` are further fields, or others in place of From and Subject.
        """
        customer = connection or self.shop
        fields = {"From": f"orders@{customer.domains[0]}", "Subject": "Your order", **headers}
        section = HeaderSection.parse("".join(f"{n}: {v}\r\n" for n, v in fields.items()).encode() + b"\r\n")
        identifier, body = self._new_id(), text.encode()
        head = prepare(
            section,
            identifier=identifier,
            connection=str(customer.id),
            hostname=self.core.settings.hostname,
            seconds=int(self.clock()),
            list_help=f"<{LIST_HELP}>",
        )
        paths = tuple(Recipient(path) for path in recipients or (CUSTOMER,))
        raw = head.section.raw
        sender = f"bounce@{customer.domains[0]}"
        size = len(raw) + len(body)
        return Message(identifier, customer.account_id, customer.id, sender, paths, raw, size, body, head.reference)

    def ask(self, hook: str, message: Message) -> Sequence[HeaderField]:
        """What the plugin adds when it is asked ``on_accept`` or ``on_sign``; what it raises is raised.

        ValueError for a field that is not a plugin's to add.
        """
        fields = [field for answer in self._call(hook, {"message": message}) for field in answer or ()]
        encode_fields(fields, hook)
        return fields

    def accept(self, message: Message | None = None) -> Message:
        """Accept a message (None: an ordinary one) with what the plugin adds; Refused when it or the quota refuses."""
        asked = message or self.message()
        added = encode_fields(self.ask("on_accept", asked))
        taken = replace(
            asked,
            header=added.fields + asked.header,
            reference=added.reference or asked.reference,
            size=asked.size + len(added.fields),
        )
        with self._store.write() as session:
            (answer,) = self._accept(session, [_submission(taken, self.clock())])
        if isinstance(answer, Reply):
            raise Refused(answer)
        return taken

    def deliver(self, message: Message, *recipients: str, reply: str = "250 2.0.0 Ok") -> None:
        """The recipients' mail server takes the mail; no recipients named: for all that wait."""
        self._attempt(message, recipients, DELIVERED, reply)

    def defer(self, message: Message, *recipients: str, reply: str = "450 4.2.1 Try again later") -> None:
        """The recipients' mail server defers the mail; they wait on."""
        self._attempt(message, recipients, DEFERRED, reply)

    def bounce(self, message: Message, *recipients: str, reply: str = "550 5.1.1 No such user") -> None:
        """The recipients' mail server refuses the mail for good."""
        self._attempt(message, recipients, BOUNCED, reply)

    def happen(self, kind: str, account: AccountFacts, **facts: Any) -> None:
        """Something else has happened to an account, such as ``quota_low`` with ``left=7``."""
        with self._store.write() as session:
            events.record(session, [events.about_account(account.id, kind, self.clock(), facts)])

    # The plugin's turn

    def tell(self, again: bool = False) -> list[Event]:
        """Tell the plugin what it has not been told, then ``flush``; the events. What it raises is raised.

        ``again``: everything since the beginning, as after a crash: a plugin has to bear that.
        """
        stands = Position(0, 0) if again else self._told
        with self._store.read() as session:
            follower = self._name if self._name in self._plugins.choosing else None
            facts = events.after(session, stands, ALL, list(HOOKS), follower)
        told = []
        for event in map(as_event, facts):
            if self._call(HOOKS[event.kind], {"event": event}):
                told.append(event)
        if told:
            self._call("flush", {})
        if facts:
            self._told = Position(facts[-1].tx, facts[-1].id)
        return told

    def run_jobs(self) -> None:
        """Do each of the plugin's jobs once, whether it is due or not."""
        for jobs in self._call("jobs", {}):
            for job in jobs or ():
                job.run(self.clock())

    def invoke(self, command: str, *arguments: str) -> Result:
        """Run one of the plugin's commands; click's result. PostmeterError for what a person is told as an error."""
        commands = {one.name: one for one in self._plugins.commands(self._name)}
        return CliRunner().invoke(commands[command], arguments, obj=Opener(lambda: self.core), catch_exceptions=False)

    def sent(self) -> list[Arrived]:
        """The mails that the plugin has had sent by ``Core.send``, in order."""
        own = select(tables.Event.message_id).where(
            tables.Event.account_id == OPERATOR, tables.Event.kind == "accepted"
        )
        with self._store.read() as session:
            return [_mail(session, identifier) for identifier in session.scalars(own.order_by(tables.Event.id))]

    # Inside

    def _call(self, hook: str, facts: Mapping[str, Any]) -> list[Any]:
        """What the plugin's functions for a hook answer."""
        return [self._plugins.call(one, facts) for one in self._plugins.implementing(hook, self._name)]

    def _attempt(self, message: Message, recipients: Sequence[str], state: str, reply: str) -> None:
        now = self.clock()
        with self._store.write() as session:
            for leased in queue.lease_due(session, self._worker, now, ALL):
                self._leased |= {
                    (leased.message.id, r.path.forward_path): (leased.message, r) for r in leased.recipients
                }
            waiting = [path for identifier, path in self._leased if identifier == message.id]
            ended = [self._leased.pop((message.id, path)) for path in recipients or waiting]
            facts = {"remote": "mx.example", "address": "192.0.2.25", "port": 25, "tls": "TLSv1.3"}
            outcomes = [Settlement(m, r, self._worker, state, reply, now, now, True, False, facts) for m, r in ended]
            settle(session, outcomes)


def _submission(message: Message, now: float) -> Submission:
    domain = message.reverse_path.partition("@")[2]
    section = HeaderSection.read(message.header)
    return Submission(
        id=message.id,
        account_id=message.account_id,
        connection_id=message.connection_id,
        domain=domain,
        envelope=Envelope(message.reverse_path, message.recipients),
        header_from=domain,
        subject=(section.get(b"subject") or b"").decode(),
        message_id=(section.get(b"message-id") or b"").decode(),
        size=message.size,
        content=lambda: (message.header + message.body,),
        accepted_at=now,
        worker=None,
        reference=message.reference,
    )


def _mail(session: Session, identifier: str | None) -> Arrived:
    row = session.scalars(select(tables.Recipient).where(tables.Recipient.message_id == identifier)).one()
    return Arrived("", (row.forward_path,), queue.content(session, OPERATOR, row.message_id))
