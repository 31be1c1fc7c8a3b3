"""What tests of the pool have in common: routes, mails, and a short form of what became of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from postmeter.delivery.attempt import Delivery
from postmeter.delivery.destination import Limits
from postmeter.delivery.pool import Pool
from postmeter.delivery.route import Host, Route
from postmeter.delivery.tls_policy import OPPORTUNISTIC, TlsPolicy
from postmeter.message.envelope import Envelope, Recipient
from postmeter.smtp.mail import Mail
from support.mail_server import MailServer

NewServer = Callable[..., MailServer]
NewPool = Callable[..., Pool]
CONTENT = b"Subject: x\r\n\r\n.dot\r\n..dots\r\nend"


def route(*servers: MailServer, tls: TlsPolicy = OPPORTUNISTIC, static: bool = False) -> Route:
    hosts = tuple(Host("mx.test", "127.0.0.1", server.port) for server in servers)
    return Route("mx.test.", hosts, static, tls)


def mail(*paths: str, content: bytes = CONTENT) -> Mail:
    recipients = tuple(Recipient(path) for path in paths or ("joe@example.org",))
    return Mail(Envelope("b+1@bounce.test", recipients), (b"X-First: 1\r\n", content))


def told(delivery: Delivery) -> list[tuple[int, str, bool, bool]]:
    return [(one.reply.code, one.stage, one.permanent, one.in_doubt) for one in delivery.outcomes]


def limits(**values: Any) -> Callable[[Route], Limits]:
    return lambda _route: Limits(**values)


def pause(seconds: float) -> Deferred[None]:
    return deferLater(reactor, seconds, lambda: None)  # type: ignore[arg-type]
