"""A small internet: a DNS that may be signed, an authority, mail servers, somebody in the middle, and our way."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from OpenSSL.crypto import X509
from twisted.internet import reactor
from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from twisted.internet.protocol import ClientFactory, Protocol, ServerFactory
from twisted.internet.task import Clock

from postmeter.delivery.attempt import Delivery, told, unrouted
from postmeter.delivery.client_tls import client_context
from postmeter.delivery.dead import LIFE, Dead
from postmeter.delivery.opening import BrokenTls
from postmeter.delivery.pool import Pool
from postmeter.delivery.provider import Providers
from postmeter.delivery.resolver import Resolver, Server
from postmeter.delivery.route import NoRoute, Route, Router
from postmeter.delivery.securing import Securing
from postmeter.delivery.sts_policies import StsPolicies
from postmeter.delivery.tls_log import TlsLog
from postmeter.fetch import Fetched
from postmeter.message.envelope import Envelope
from postmeter.store.queue import QueuedMessage
from support.authority import Authority, Credential
from support.delivering import mail
from support.dns_server import DnsServer
from support.mail_server import MailServer

Zone = dict[tuple[str, str], list[str] | str]
TEXT = {"content-type": "text/plain"}
MX = "mx.good.test"
WANTED = "mailto:tls@good.test"


def message(*, tls_required: bool = False, account: int = 1, reference: str = "") -> QueuedMessage:
    """A message on its way."""
    envelope = Envelope("b+1@bounce.test", ())
    return QueuedMessage("one", account, 2, "shop.example", envelope, 0.0, 100, reference, tls_required=tls_required)


def policy(*hosts: str, mode: str = "enforce", max_age: int = 86_400) -> str:
    """An MTA-STS policy."""
    return "\r\n".join(["version: STSv1", f"mode: {mode}", *(f"mx: {host}" for host in hosts), f"max_age: {max_age}"])


def tlsa(certificate: x509.Certificate, usage: int = 3) -> str:
    """The usual TLSA record of a key: usage, SPKI, SHA-256."""
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return f"{usage} 1 1 {hashlib.sha256(key).hexdigest()}"


PROVIDERS = Providers()


class Web:
    """Policies by domain: a text, an answer, or the error that there is instead."""

    def __init__(self) -> None:
        self.policies: dict[str, str | Fetched | Exception] = {}
        self.asked: list[str] = []
        self.posted: list[tuple[str, dict[str, Any]]] = []
        self.waiting: list[Deferred[None]] | None = None  # a list: nobody is answered before the test says so

    def ask(self, method: str, url: str, **request: Any) -> Deferred[Fetched]:
        """See ``WebThreads``."""
        if method == "POST":
            self.posted.append((url, request))
        domain = url.removeprefix("https://").partition("/")[0].removeprefix("mta-sts.")
        self.asked.append(domain)
        if self.waiting is None:
            return self._answer(domain)
        self.waiting.append(Deferred())
        return self.waiting[-1].addCallback(lambda _: self._answer(domain))

    def _answer(self, domain: str) -> Deferred[Fetched]:
        answer = self.policies[domain]
        if isinstance(answer, Exception):
            return fail(answer)
        return succeed(Fetched(200, TEXT, answer.encode()) if isinstance(answer, str) else answer)


class Network:
    """Everything by the name it has in the zone; ``secure``: the DNS is signed. ``close`` ends it."""

    def __init__(self, *, secure: bool = True, required: tuple[str, ...] = (), dane: bool = True) -> None:
        self.zone: Zone = {}
        self.authority = Authority()
        self.web, self.clock = Web(), Clock()
        self.dns = DnsServer(self.zone, ad=secure).listen(reactor)
        self.servers: list[MailServer] = []
        self.port = 0
        self.handed_over: list[Any] = []
        self.resolver = resolver = Resolver(reactor, (Server("127.0.0.1", self.dns.port),))
        self.log = TlsLog(resolver, lambda _, item, done: self.handed_over.append((item, done)), self.clock.seconds)
        self.policies = StsPolicies(resolver, self.web.ask, self.clock.seconds, trouble=self.log.trouble)
        self.securing = Securing(
            required,
            resolver=resolver if dane else None,
            policies=self.policies,
            note=self.log.session,
            clock=self.clock.seconds,
        )
        context = client_context()
        store = context.get_cert_store()
        assert store is not None
        store.add_cert(X509.from_cryptography(self.authority.root))
        self.broken = BrokenTls(self.clock.seconds)
        self.minutes, tls = Clock(), {"context": context, "broken_tls": self.broken, "note_tls": self.log.session}
        self.pool = Pool(reactor, "relay.test", dead=Dead(self.minutes), **tls)

    def server(self, name: str, credential: Credential | None = None, *, starttls: str = "good", **given: Any) -> Any:
        """A mail server of this name, at an address of its own; by default with a certificate that is in order."""
        options = given.pop("options", None) or (credential or self.authority.issue(name)).options()
        made = MailServer(starttls=starttls, certificate=options, **given)
        self.at(name, made)
        return made

    def at(self, name: str, made: Any) -> None:
        """Let what answers there be this."""
        address = f"127.0.0.{len(self.servers) + 1}"
        made.listen(reactor, address, self.port)
        self.port = made.port
        self.servers.append(made)
        self.zone[name, "A"] = [address]

    def domain(self, name: str, *hosts: str, sts: str = "", reports: str = "") -> None:
        """A domain with these mail servers, the first one preferred; ``sts`` is its policy."""
        self.zone[name, "MX"] = [f"{number} {host}." for number, host in enumerate(hosts, 1)]
        if sts:
            self.zone[f"_mta-sts.{name}", "TXT"] = ['"v=STSv1; id=1;"']
            self.web.policies[name] = sts
        if reports:
            self.zone[f"_smtp._tls.{name}", "TXT"] = [f'"v=TLSRPTv1; rua={reports}"']

    def tlsa(self, host: str, *records: str) -> None:
        """What the DNS says about the certificate of a mail server."""
        self.zone[f"_{self.port}._tcp.{host}", "TLSA"] = list(records)

    async def route(self, domain: str, **given: Any) -> Route | NoRoute:
        """The way to a domain."""
        router = Router(self.resolver, {}, lambda _: None, port=self.port, allow_private=True)
        found = await router.route(domain)
        return found if isinstance(found, NoRoute) else await self.securing.secure(found, message(**given))

    async def send(self, domain: str, **given: Any) -> dict[str, Any]:
        """Send a mail there; what the timeline tells, with the reply and whether it was ``delivered``."""
        found = await self.route(domain, **given)
        if isinstance(found, NoRoute):
            return unrouted(domain, found, 0.0, 0.0) | {"delivered": False, "reply": str(found.reply)}
        self.minutes.advance(LIFE)  # who took no session a minute ago is tried again
        delivery: Delivery = await self.pool.deliver(found, mail(f"joe@{domain}"))
        [outcome] = delivery.outcomes
        return told(delivery, outcome, 0.0, PROVIDERS.of(delivery.facts.name)) | {
            "delivered": outcome.delivered,
            "reply": str(outcome.reply),
        }

    async def counted(self) -> dict[tuple[str, str, str], int]:
        """What was handed over for reports: by domain, type of policy, and result."""
        await self.log.hand_over()
        sums: dict[tuple[str, str, str], int] = {}
        for item, _ in self.handed_over:
            for seen, sessions in item.items():
                key = (seen.domain, seen.policy[0], seen.result)
                sums[key] = sums.get(key, 0) + sessions
        return sums

    async def close(self) -> None:
        """End it all."""
        self.pool.abort()
        await self.pool.stop()
        for one in self.servers:
            await one.stop()
        await self.dns.stop()


NewNetwork = Callable[..., Network]


class Middleman(ServerFactory):
    """Between us and the mail server: passes everything on, what the server says after ``edit``."""

    noisy = False

    def __init__(self, real: MailServer, address: str, edit: Callable[[bytes], bytes]) -> None:
        self._real = (address, real.port)
        self.edit = edit
        self.links: list[Any] = []

    def listen(self, reactor: Any, interface: str, port: int) -> Middleman:
        """Take the place of the server."""
        self._reactor = reactor
        self._listening = reactor.listenTCP(port, self, interface=interface)
        self.port: int = self._listening.getHost().port
        return self

    async def stop(self) -> None:
        """Leave."""
        await maybeDeferred(self._listening.stopListening)
        for link in self.links:
            if link.transport is not None:
                link.transport.abortConnection()

    def buildProtocol(self, addr: Any) -> Protocol:
        inner, outer = _Link(lambda data: data), _Link(self.edit)
        inner.other, outer.other = outer, inner
        self.links += [inner, outer]
        self._reactor.connectTCP(*self._real, _Once(outer))
        return inner


class _Link(Protocol):
    """One side; what it hears goes to the other one."""

    def __init__(self, edit: Callable[[bytes], bytes]) -> None:
        self._edit = edit
        self._early = b""
        self.other: Any = None

    def connectionMade(self) -> None:
        early, self._early = self._early, b""
        self.transport.write(early)

    def dataReceived(self, data: bytes) -> None:
        self.other.say(self._edit(data))

    def say(self, data: bytes) -> None:
        if self.transport is None:
            self._early += data
        else:
            self.transport.write(data)

    def connectionLost(self, reason: Any = None) -> None:
        if self.other.transport is not None:
            self.other.transport.loseConnection()


class _Once(ClientFactory):
    noisy = False

    def __init__(self, link: _Link) -> None:
        self._link = link

    def buildProtocol(self, addr: Any) -> _Link:
        return self._link
