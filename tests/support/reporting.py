"""The port for reports with a writer that keeps what it is given, and what other servers send there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from postmeter.config import Smtp, networks
from postmeter.message.bounce import classify
from postmeter.message.identifier import new_id
from postmeter.message.parts import MAX_SIZE
from postmeter.message.return_path import Returned, ReturnPaths
from postmeter.server.board import Board
from postmeter.server.census import Census
from postmeter.server.doorway import Visitors
from postmeter.server.guard import Guard
from postmeter.server.link import Entrance
from postmeter.server.refusals import Refusals
from postmeter.server.report_mailboxes import Mailboxes
from postmeter.server.report_office import Office, Parts
from postmeter.server.reports import Reports, ReportsProtocol
from postmeter.server.share import Share
from postmeter.smtp.limits import Limits
from postmeter.store.late import Late
from postmeter.store.passing_on import PassingOn
from support.reception import Client, certificate

CORPUS = Path(__file__).parents[1] / "message" / "corpus" / "reports"
NOW = 1_800_000_000.0
LARGEST = 8 * MAX_SIZE
HOSTNAME, BOUNCES, CUSTOMERS = "mail.example.net", "bounce.example.net", "bounce.shop.example"
PATHS = ReturnPaths(b"k" * 32, 86_400.0)
IDENTIFIER = new_id(int(NOW * 1000), b"0123456789")
PATH = PATHS.write(Returned(IDENTIFIER, 0), BOUNCES)
HELLO = b"EHLO mx.example.org\r\n"
GONE = OSError("the database is gone")


def codes(said: bytes) -> list[int]:
    """The reply codes of complete replies."""
    return [int(line[:3]) for line in said.split(b"\r\n") if line[3:4] == b" "]


@dataclass
class Desk:
    """A writer that keeps what it is given; ``result`` is what it answers."""

    result: Any = 1
    items: list[Any] = field(default_factory=list)

    def submit(self, change: Any, item: Any, done: Callable[[Any], None]) -> None:
        """See ``Writer``."""
        self.items.append(item)
        done(self.result)


def at_once(function: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
    """Instead of a thread."""
    try:
        return succeed(function(*arguments))
    except Exception as error:
        return fail(error)


def reports(desk: Desk, tmp_path: Path, clock: Clock | None = None, **changes: Any) -> Reports:
    """What the sessions share."""
    reactor, smtp, board = clock or Clock(), Smtp(), Board.alone()
    late, passing_on = Late(classify), PassingOn(HOSTNAME, "postmaster@operator.example")
    made = Reports(
        hostname=HOSTNAME,
        limits=Limits(max_message_size=LARGEST, normalise_line_endings=True, accept_long_lines=True),
        mailboxes=Mailboxes(
            PATHS, frozenset({HOSTNAME, BOUNCES}), lambda domain: succeed(domain == CUSTOMERS), lambda: NOW
        ),
        office=Office(Parts(HOSTNAME, PATHS, late, passing_on, desk.submit, at_once, lambda: NOW + reactor.seconds())),
        share=Share("reports", 2, board),
        visitors=Visitors(
            Census(smtp, board, reactor.seconds), Guard(smtp, board, reactor.seconds), Refusals(reactor.seconds)
        ),
        entrance=Entrance(certificate(), smtp, networks("smtp.proxies", ()), reactor),
        spool_folder=tmp_path,
        disk_is_low=lambda: False,
    )
    return replace(made, **changes)


def greeted(shared: Reports) -> Client:
    """A server that has said hello."""
    made = Client(partial(ReportsProtocol, shared), implicit_tls=False)
    made.send(HELLO)
    return made


def send(client: Client, content: bytes, *recipients: str, sender: str = "") -> bytes:
    """A whole transaction; what was said to its last command."""
    client.send(f"MAIL FROM:<{sender}>\r\n".encode())
    for recipient in recipients:
        client.send(f"RCPT TO:<{recipient}>\r\n".encode())
    client.send(b"DATA\r\n")
    return client.send(content.replace(b"\r\n.", b"\r\n..") + b"\r\n.\r\n")


def report(name: str) -> bytes:
    """One of the corpus."""
    return (CORPUS / f"{name}.eml").read_bytes().replace(b"\n", b"\r\n")
