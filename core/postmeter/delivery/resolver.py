"""A DNS stub resolver: dnspython's messages over Twisted's UDP and TCP, with a cache (RFC 1035; RFC 2308; RFC 6891)."""

from __future__ import annotations

import logging
import secrets
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rdtypes.ANY.SOA
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.python.failure import Failure

from postmeter.config import address
from postmeter.delivery.dns_transport import ask_tcp, ask_udp
from postmeter.delivery.fair_queue import ANYBODY, Turn
from postmeter.delivery.turnstile import Turnstile

log = logging.getLogger(__name__)

Status = Literal["ok", "nxdomain", "nodata", "failure"]

TRIES = 2
MAX_RECORDS = 100
MAX_CNAMES = 8
UDP_PAYLOAD = 1232  # octets that pass without fragmentation
LEAST_TTL, MOST_TTL = 30.0, 86_400.0
MOST_NEGATIVE_TTL = 600.0
MAX_CACHED = 20_000
MAX_OCTETS = 64 << 20  # that the cached records take, about: names that somebody made up for it have long answers
OCTETS_OF_RECORD = 500  # besides what it says
MAX_ASKED = 1_000  # questions under way, each by a socket of its own; more wait
MAX_SERVERS = 3


@dataclass(frozen=True, slots=True)
class Answer:
    """The records of the type asked for (at most ``MAX_RECORDS``); ``failure`` is SERVFAIL, a time-out or nonsense.

    ``authenticated``: a resolver on this machine has validated the answer, positive or not, by DNSSEC (AD bit).
    ``alias_of``: the name that has the records, if it is not the one that was asked for (CNAME). ``age``: seconds since
    a server gave it, when it comes from the cache.
    """

    status: Status
    records: tuple[dns.rdata.Rdata, ...] = ()
    authenticated: bool = False
    alias_of: str = field(default="", compare=False)
    age: float = field(default=0.0, compare=False)

    @property
    def octets(self) -> int:
        """How much memory the records take, about."""
        return sum(OCTETS_OF_RECORD + _length(record) for record in self.records)

    @property
    def texts(self) -> list[str]:
        """Of TXT records, each in one piece."""
        records: tuple[Any, ...] = self.records
        return [b"".join(record.strings).decode("utf-8", "replace") for record in records]


NEVER = (0.0, 0.0, Answer("nodata"))  # asked, so there is nothing in the cache


@dataclass(frozen=True, slots=True)
class Server:
    """Where a recursive resolver listens."""

    address: str
    port: int = 53

    @property
    def local(self) -> bool:
        """On this machine: its AD bit can be believed (RFC 7672, 2.1)."""
        return self.address.startswith("127.") or self.address == "::1"


def servers(setting: str) -> tuple[Server, ...]:
    """The server that the setting ``delivery.resolver`` names, or the system's; ConfigError when it names none."""
    return (Server(*address("delivery.resolver", setting)),) if setting else system_servers()


def system_servers(path: Path = Path("/etc/resolv.conf")) -> tuple[Server, ...]:
    """The resolvers that this machine uses (resolv.conf(5))."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        lines = []
    words = [line.split() for line in lines]
    found = [Server(parts[1]) for parts in words if len(parts) > 1 and parts[0] == "nameserver"]
    return tuple(found[:MAX_SERVERS]) or (Server("127.0.0.1"),)


class Resolver:
    """Looks names up, each question once at a time, and remembers the answers for their time to live."""

    def __init__(self, reactor: Any, servers: tuple[Server, ...]) -> None:
        self._reactor = reactor
        self._servers = servers
        self._cache: dict[tuple[str, str], tuple[float, float, Answer]] = {}  # asked at, good until
        self._octets = 0  # of what is in the cache
        self._asking: dict[tuple[str, str], list[Deferred[Answer]]] = {}
        self._turnstile: Turnstile[tuple[str, str]] = Turnstile(MAX_ASKED, self._begin, shared=True)

    async def lookup(self, name: str, type: str, turn: Turn = ANYBODY) -> Answer:
        """The records of a type (``MX``, ``A``, ``TLSA``...); never raises: what goes wrong is a ``failure``.

        It may have to wait for its ``turn``.
        """
        key = (name.lower().rstrip("."), type)
        asked_at, expiry, answer = self._cache.get(key, NEVER)
        now = self._reactor.seconds()
        if now < expiry:
            return replace(answer, age=now - asked_at)
        waiting: Deferred[Answer] = Deferred()
        self._asking.setdefault(key, []).append(waiting)
        self._turnstile.come(turn, key)  # which may be sooner than that of those who ask the same
        return await waiting

    def _begin(self, key: tuple[str, str]) -> None:
        ensureDeferred(self._ask(key)).addBoth(self._answered, key)

    def _answered(self, result: Answer | Failure, key: tuple[str, str]) -> None:
        if isinstance(result, Failure):
            log.error("a defect while %s %s was looked up", *key, exc_info=result.value)
            result = Answer("failure")
        answered = self._asking.pop(key)
        self._turnstile.leave(key)
        for waiting in answered:
            waiting.callback(result)

    async def _ask(self, key: tuple[str, str]) -> Answer:
        try:
            name = dns.name.from_text(key[0], idna_codec=dns.name.IDNA_2008_Practical)
        except (dns.exception.DNSException, UnicodeError):
            return Answer("nxdomain")  # no such name can be registered
        asked_at = self._reactor.seconds()
        answer, ttl = await self._ask_servers(name, dns.rdatatype.from_text(key[1]))
        self._forget(key)
        self._octets += answer.octets
        while self._cache and (len(self._cache) >= MAX_CACHED or self._octets > MAX_OCTETS):
            self._forget(next(iter(self._cache)))
        self._cache[key] = (asked_at, self._reactor.seconds() + ttl, answer)
        return answer

    def _forget(self, key: tuple[str, str]) -> None:
        *_, answer = self._cache.pop(key, NEVER)
        self._octets -= answer.octets

    async def _ask_servers(self, name: dns.name.Name, type: dns.rdatatype.RdataType) -> tuple[Answer, float]:
        for server in self._servers * TRIES:
            query = dns.message.make_query(name, type, use_edns=0, payload=UDP_PAYLOAD, id=secrets.randbelow(65_536))
            query.flags |= dns.flags.AD  # RFC 6840, 5.7: we understand the AD bit
            response = await ask_udp(self._reactor, server.address, server.port, query)
            if response is not None and response.flags & dns.flags.TC:
                response = await ask_tcp(self._reactor, server.address, server.port, query)
            if response is not None and response.rcode() in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
                return read_answer(response, name, type, trusted=server.local)
        return Answer("failure"), LEAST_TTL


def read_answer(
    response: dns.message.Message, name: dns.name.Name, type: dns.rdatatype.RdataType, *, trusted: bool
) -> tuple[Answer, float]:
    """What a response says about the name, its aliases followed, and for how many seconds it may be kept."""
    authenticated = trusted and bool(response.flags & dns.flags.AD)
    ttls: list[float] = []
    for _ in range(MAX_CNAMES + 1):
        if (found := response.get_rrset(response.answer, name, dns.rdataclass.IN, type)) is not None:
            records = tuple(islice(found, MAX_RECORDS))
            alias_of = name.to_text(omit_final_dot=True).lower() if ttls else ""
            return Answer("ok", records, authenticated, alias_of), _clamped(min([*ttls, found.ttl]))
        alias = response.get_rrset(response.answer, name, dns.rdataclass.IN, dns.rdatatype.CNAME)
        if alias is None:
            status: Status = "nxdomain" if response.rcode() == dns.rcode.NXDOMAIN else "nodata"
            ttl = min([*ttls, _negative_ttl(response), MOST_NEGATIVE_TTL])
            return Answer(status, (), authenticated), _clamped(ttl)
        ttls.append(alias.ttl)
        name = alias[0].target
    return Answer("failure"), LEAST_TTL


def _length(record: Any) -> int:
    """The octets of what may be long in a record: texts, a certificate."""
    return sum(map(len, (*getattr(record, "strings", ()), getattr(record, "cert", b""))))


def _negative_ttl(response: dns.message.Message) -> float:
    """RFC 2308, 5: the lesser of the SOA record's own time to live and its MINIMUM."""
    for rrset in response.authority:
        if rrset.rdtype == dns.rdatatype.SOA:
            soa = rrset[0]
            assert isinstance(soa, dns.rdtypes.ANY.SOA.SOA)
            return float(min(rrset.ttl, soa.minimum))
    return LEAST_TTL


def _clamped(ttl: float) -> float:
    return min(max(ttl, LEAST_TTL), MOST_TTL)
