"""An acceptance with a delivery that only notes, and a change that is made at once, by a function or in a store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred

from postmeter.asking import Asking
from postmeter.hooks import Plugins, new_manager
from postmeter.message.envelope import Envelope, Recipient
from postmeter.server.acceptance import Acceptance
from postmeter.server.spool import Spool
from postmeter.smtp.reply import Reply
from postmeter.store.accept import Accepted, Submission
from postmeter.store.connections import Access
from postmeter.store.engine import Store
from postmeter.store.picking import Load
from postmeter.store.queue import Leased
from support.reception import ACCESS

IDENTIFIER = "01M845D52EFTKSJPV36DHCW3RR"
NOW = 1_800_000_000.25
ENVELOPE = Envelope("orders@shop.example", (Recipient("joe@example.org"), Recipient("ann@example.net")))


@dataclass
class FakeDelivery:
    """Delivery that notes what it is given; ``room``: whether it has any."""

    worker: int = 5
    room: bool = True
    reserved: list[Load] = field(default_factory=list)
    given_up: list[Load] = field(default_factory=list)
    taken: list[tuple[Leased, bytes | None]] = field(default_factory=list)
    kept: list[Load] = field(default_factory=list)

    def reserve(self, load: Load) -> bool:
        """See ``HandOver``."""
        if self.room:
            self.reserved.append(load)
        return self.room

    def give_up(self, load: Load) -> None:
        """See ``HandOver``."""
        self.given_up.append(load)

    def take(self, leased: Leased, content: bytes | None, load: Load) -> None:
        """See ``HandOver``."""
        self.taken.append((leased, content))
        self.kept.append(load)


@dataclass
class Bench:
    """An acceptance and what became of its submissions; ``outcome`` makes the change."""

    folder: Path
    outcome: Callable[[Submission], Any] = lambda submission: Accepted((1,) * len(submission.envelope.recipients))
    delivery: FakeDelivery = field(default_factory=FakeDelivery)
    asking: Asking = field(default_factory=lambda: Asking(Plugins(new_manager()), reactor))
    keep_list_help: bool = True
    submissions: list[Submission] = field(default_factory=list)
    contents: list[bytes] = field(default_factory=list)
    identifier: str = IDENTIFIER

    def accept(self, content: bytes, access: Access = ACCESS, envelope: Envelope = ENVELOPE) -> Deferred[Reply]:
        """What the acceptance says to this content."""
        spool = Spool(self.folder)
        for place in range(0, len(content), 65536):
            spool.write(content[place : place + 65536])
        return self._acceptance().accept(access, envelope, spool).addBoth(_closing, spool)

    def reply(self, content: bytes, access: Access = ACCESS, envelope: Envelope = ENVELOPE) -> Reply:
        """The same, said at once."""
        replies: list[Reply] = []
        self.accept(content, access, envelope).addCallback(replies.append)
        return replies[0]

    @property
    def head(self) -> list[bytes]:
        """The header lines of the last content that was stored."""
        return self.contents[-1].partition(b"\r\n\r\n")[0].split(b"\r\n")

    def _acceptance(self) -> Acceptance:
        return Acceptance(
            hostname="mail.example.net",
            keep_list_help=self.keep_list_help,
            change=lambda session, submissions: [],
            submit=self._submit,
            new_id=lambda: self.identifier,
            clock=lambda: NOW,
            asking=self.asking,
            delivery=self.delivery,
        )

    def _submit(self, change: object, submission: Submission, done: Callable[[Any], None]) -> None:
        self.submissions.append(submission)
        self.contents.append(b"".join(submission.content()))
        try:
            result = self.outcome(submission)
        except Exception as error:
            result = error
        done(result)


def storing(store: Store, change: Any) -> Callable[[Submission], Any]:
    """Makes the change in the store."""

    def outcome(submission: Submission) -> Any:
        with store.write() as session:
            return change(session, [submission])[0]

    return outcome


def _closing(result: Any, spool: Spool) -> Any:
    spool.close()
    return result
