"""What every view works with: settings, store, clock, the visitor, and changes that the audit log tells of."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, cast

from flask import current_app, g, request
from flask_login import UserMixin, current_user
from sqlalchemy.orm import Session

from postmeter.config import Settings
from postmeter.hooks import Plugins
from postmeter.store import audit
from postmeter.store.accounts import UserFacts
from postmeter.store.audit import Actor
from postmeter.store.engine import Store
from postmeter.store.logins import LoginFacts
from postmeter.store.secrets import Secrets
from postmeter.store.statistics import Ever, Lately
from postmeter_web.looks import Looks
from postmeter_web.person.throttle import Throttle

HOUR = 3_600.0  # seconds
MOST = (1 << 63) - 1  # as the number of a row


@dataclass(frozen=True)
class Panel:
    """One application's parts; ``clock`` gives seconds since the epoch."""

    settings: Settings
    store: Store
    secrets: Secrets
    plugins: Plugins
    clock: Callable[[], float]
    throttle: Throttle = field(default_factory=Throttle)  # of guesses
    letters: Throttle = field(default_factory=lambda: Throttle(3, HOUR))  # of mails that strangers can cause
    invitations: Throttle = field(default_factory=lambda: Throttle(20, HOUR))  # of an account
    ever: Ever = field(default_factory=Ever)
    looks: Looks = field(default_factory=Looks)
    files: threading.BoundedSemaphore = field(default_factory=lambda: threading.BoundedSemaphore(3))  # taken at once
    # Checking a password takes 64 MiB for a moment: two at a time are enough for two cores.
    checks: threading.BoundedSemaphore = field(default_factory=lambda: threading.BoundedSemaphore(2))

    @cached_property
    def lately(self) -> Lately:
        """The figures since a time, of which ``ever`` remembers a part."""
        return Lately(self.ever)


@dataclass
class Change:
    """A change under way: what the audit log will say of it, and the transaction it is made in.

    ``account_id`` is that of the page's account, unless the view says another.
    """

    db: Session
    subject: str
    account_id: int | None
    facts: dict[str, Any]


class Visitor(UserMixin):  # type: ignore[misc]
    """A logged-in person, as Flask-Login wants it."""

    def __init__(self, facts: UserFacts, login: LoginFacts, token: str) -> None:
        self.facts = facts
        self.login = login
        self.token = token

    def get_id(self) -> str:
        """What the session holds: the log-in's secret, and the epoch, which ends all sessions of a user when raised."""
        return f"{self.facts.id}.{self.facts.epoch}.{self.token}"


def panel() -> Panel:
    """The parts of the application that answers this request."""
    return cast(Panel, current_app.extensions["postmeter"])


def visitor() -> UserFacts:
    """Who asks; only views behind the log-in call this."""
    return cast(UserFacts, current_user.facts)


def now() -> float:
    """The time of this request, in seconds since the epoch: the same for all that it shows and writes."""
    if "now" not in g:
        g.now = panel().clock()
    return cast(float, g.now)


def number_asked(name: str) -> int | None:
    """The number of a row that the query of the address has; None: it has none, or one that no row can have."""
    number = request.args.get(name, type=int)
    return number if number is not None and 0 <= number <= MOST else None


def reading() -> AbstractContextManager[Session]:
    """A Session that sees one state of the database."""
    return panel().store.read()


@contextmanager
def changing(action: str, subject: str = "", **facts: Any) -> Iterator[Change]:
    """A write transaction of which the audit log tells in the same commit; the only way in which the panel writes.

    ``action`` is subject and verb, such as connection.pause; what is noted must be no secret.
    """
    with panel().store.write() as db:
        account = g.get("account")
        change = Change(db, subject, account.id if account else None, facts)
        yield change
        audit.record(db, actor(), action, change.subject, now(), account_id=change.account_id, facts=change.facts)


def unlogged(parts: Panel) -> AbstractContextManager[Session]:
    """A write transaction for what nobody changes (when a visitor was seen), of which the audit log does not tell."""
    return parts.store.write()


def note(db: Session, action: str, subject: str = "", **facts: Any) -> None:
    """What a plugin's page has changed in this transaction, for the audit log: it finds this as ``flask.g.note``."""
    account = g.get("account")
    audit.record(db, actor(), action, subject, now(), account_id=account.id if account else None, facts=facts)


def actor() -> Actor:
    """Who the audit log will name."""
    address = request.remote_addr or ""
    if not current_user.is_authenticated:
        return Actor(None, "", address)
    return Actor(visitor().id, visitor().email, address)
