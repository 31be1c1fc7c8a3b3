"""What the core offers a plugin: the database, facts about accounts and messages, sealing, mail of the relay's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from email.message import EmailMessage

from sqlalchemy.orm import Session

from postmeter.config import Settings
from postmeter.event import Event, as_event
from postmeter.plugin_settings import PluginSettings
from postmeter.store import accounts, connections, events, own_mail, quota, timeline
from postmeter.store.accounts import AccountFacts
from postmeter.store.connections import ConnectionFacts
from postmeter.store.engine import LentStore
from postmeter.store.quota import Booking, QuotaFacts
from postmeter.store.secrets import Secrets
from postmeter.store.timeline import MessageFacts

Texts = Mapping[str, tuple[str, str]]  # by language (en, de): title and text


@dataclass(frozen=True)
class Core:
    """The relay as the plugin ``name`` sees it, with the ``settings`` of all and the plugin's ``own``.

    ``clock`` gives seconds since the epoch. All methods block: they are for a plugin's own threads, its commands and
    its pages. Those that take a Session belong to the transaction it was given by ``read`` or ``write``.
    """

    name: str
    settings: Settings
    own: PluginSettings
    store: LentStore
    secrets: Secrets
    clock: Callable[[], float]

    def read(self) -> AbstractContextManager[Session]:
        """A Session that sees one state of the database."""
        return self.store.read()

    def write(self) -> AbstractContextManager[Session]:
        """A Session inside one write transaction: committed durably at the end, rolled back on an exception.

        Nobody else may write meanwhile (SQLite), so nothing slow belongs into it: after five seconds it is rolled
        back, and the next statement, or the commit, raises an exception. RuntimeError inside of another one (SQLite).
        """
        return self.store.write()

    def seal(self, plain: bytes) -> bytes:
        """Encrypt what must not be readable in a copied database (AES-256-GCM with the data folder's key)."""
        return self.secrets.seal(plain)

    def unseal(self, sealed: bytes) -> bytes:
        """What ``seal`` was given; PostmeterError when it was sealed with another key or changed since."""
        return self.secrets.unseal(sealed)

    def accounts(self, session: Session) -> list[AccountFacts]:
        """All accounts with their members, by name."""
        return accounts.accounts_of(session)

    def account(self, session: Session, account: int | str) -> AccountFacts:
        """The account of that number or name; UsageError when there is none."""
        return accounts.account_facts(session, account)

    def connections(self, session: Session, account_id: int | None = None) -> list[ConnectionFacts]:
        """The connections of an account (None: of all), by name."""
        return connections.connections_of(session, account_id)

    def follow(self, session: Session, connection_id: int, wanted: bool = True) -> None:
        """Be told of the messages of a connection, and asked about them from its next log-ins on; or not any more.

        For a plugin that has the hook ``by_connection``.
        """
        connections.follow(session, connection_id, self.name, wanted)

    def message(self, session: Session, message_id: str) -> MessageFacts | None:
        """Everything about a message: its recipients, their states and its timeline; None when there is none."""
        return timeline.message_facts(session, message_id)

    def quota(self, session: Session, account_id: int) -> QuotaFacts:
        """What the account has left and until when; UsageError when there is no such account."""
        return quota.quota_of(session, account_id, self.clock())

    def bookings(self, session: Session, account_id: int) -> list[Booking]:
        """All blocks that the account has ever booked or had renewed, and its demo quota, oldest first."""
        return quota.bookings_of(session, account_id)

    def invoice_overdraft(self, session: Session, account_id: int) -> int:
        """Mark all units beyond the account's blocks that are on no invoice as invoiced; how many that is."""
        return quota.invoice_overdraft(session, account_id, self.clock())

    def events(
        self, session: Session, account_id: int, kinds: Sequence[str], since: float, behind: int, limit: int
    ) -> list[Event]:
        """What has happened to the account and its mail since then: at most ``limit`` events of these kinds.

        They come by number, from the first one behind the event ``behind`` on. One that is not committed yet may have
        a lower number: it is still to be told.
        """
        return [as_event(fact) for fact in events.since(session, account_id, since, kinds, behind, limit)]

    def notice(self, session: Session, account_id: int, texts: Texts) -> None:
        """Tell the account's admins something, by ``on_notice``; ``texts`` has a title and a text in each language."""
        facts = {"plugin": self.name, "texts": {language: list(text) for language, text in texts.items()}}
        events.record(session, [events.about_account(account_id, "notice", self.clock(), facts)])

    def send(self, session: Session, mail: EmailMessage, to: str) -> str:
        """Have the relay send a mail of its own with the commit of this transaction; its id.

        It is nobody's and free of charge, has the null reverse path and says that a machine made it (RFC 3834), so
        that nobody answers. From, Date and Message-ID are added when absent. UsageError when ``to`` is no address.
        """
        return own_mail.send(session, mail, to, self.settings.hostname, self.clock())
