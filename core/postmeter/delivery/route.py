"""Where mail for a recipient's domain goes: a static route, or the hosts that the DNS names (RFC 5321, 5.1)."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from math import inf
from typing import Literal, Protocol, TypeVar, cast

import dns.rdtypes.ANY.MX
import dns.rdtypes.IN.A
from twisted.internet.defer import Deferred, ensureDeferred, gatherResults

from postmeter.addresses import is_public
from postmeter.config import address
from postmeter.delivery.dane import Tlsa
from postmeter.delivery.fair_queue import ANYBODY, Turn
from postmeter.delivery.ourselves import Ourselves
from postmeter.delivery.resolver import Answer
from postmeter.delivery.tls_policy import OPPORTUNISTIC, HostPolicy, TlsPolicy
from postmeter.smtp.reply import Reply

MAX_ADDRESSES = 5
SECOND_LOOK = 900.0  # seconds after which a domain that still is not there, when asked again, does not exist

NULL_MX = Reply(556, "5.1.10", "The domain takes no mail (null MX)")  # RFC 7505, 3; RFC 7504, 3
NO_DOMAIN = Reply(550, "5.1.2", "No such mail domain")
NO_DOMAIN_YET = Reply(451, "4.1.2", "No such mail domain; it will be looked up again")
DNS_FAILURE = Reply(451, "4.4.3", "The DNS gives no answer about the domain")
NO_ADDRESS = Reply(451, "4.4.4", "No mail server of the domain has an address")
NOT_PUBLIC = Reply(451, "4.4.4", "The domain's mail servers have no public address")
LOOP = Reply(451, "4.4.6", "The domain's mail servers are this relay itself")


@dataclass(frozen=True, slots=True)
class Host:
    """One address of a mail server; ``name`` is what its MX record says (without final dot), or the address.

    ``secure``: the DNS has vouched for the address (DNSSEC), ``alias_of`` is the name behind that one, and ``tlsa``
    are its records about certificates.
    """

    name: str
    address: str
    port: int
    secure: bool = field(default=False, compare=False)
    alias_of: str = field(default="", compare=False)
    tlsa: Tlsa | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Route:
    """Hosts in the order to try them. Domains with the same ``key`` have the same mail servers and share sessions.

    Unless ``tls`` keeps them apart. ``secure``: the DNS has vouched for the names of the hosts (DNSSEC). ``domain``:
    the recipients'; empty for static routes.
    """

    key: str
    hosts: tuple[Host, ...]
    static: bool = False
    tls: TlsPolicy = OPPORTUNISTIC
    secure: bool = field(default=False, compare=False)
    domain: str = field(default="", compare=False)

    def policy(self, host: Host) -> HostPolicy:
        """What a session with one of the hosts must have."""
        return self.tls.of(host.name, host.tlsa)


@dataclass(frozen=True, slots=True)
class NoRoute:
    """There is no way to the domain; ``reply`` says whether for good. ``unknown``: the domain is not in the DNS.

    ``steps``: what the DNS was asked for and has answered.
    """

    kind: Literal["null-mx", "no-domain", "dns", "routing", "policy"]
    reply: Reply
    steps: tuple[str, ...] = field(default=(), compare=False)

    @property
    def unknown(self) -> bool:
        """The caller keeps the time it saw this first, and asks again with the seconds since then."""
        return self.kind == "no-domain"


Named = TypeVar("Named", str, Host)


class Lookup(Protocol):
    """What a route needs of a resolver."""

    async def lookup(self, name: str, type: str, turn: Turn = ANYBODY) -> Answer:
        """See ``Resolver.lookup``."""


@dataclass(frozen=True, slots=True)
class Inquiry:
    """What the DNS is asked for in somebody's turn; ``answers``: name, type, and what it said."""

    resolver: Lookup
    turn: Turn
    answers: list[tuple[str, str, Answer]] = field(default_factory=list)

    async def lookup(self, name: str, type: str) -> Answer:
        """See ``Resolver.lookup``."""
        answer = await self.resolver.lookup(name, type, self.turn)
        self.answers.append((name, type, answer))
        return answer


class Router:
    """Finds routes; ``port`` is where mail servers listen that the DNS names.

    ``static`` has the operator's routes by domain or for all (``*``); they may lead to any address. ConfigError when
    one is no address. ``shuffle`` puts a list into random order in place (``random.Random.shuffle``). ``ourselves`` are
    never among the hosts that the DNS names, nor is what comes behind them or stands beside them.
    """

    def __init__(
        self,
        resolver: Lookup,
        static: Mapping[str, str],
        shuffle: Callable[[list[str]], None],
        *,
        port: int = 25,
        allow_private: bool = False,
        ourselves: Ourselves | None = None,
    ) -> None:
        self._resolver = resolver
        self._static = {domain.lower().rstrip("."): static_route(value) for domain, value in static.items()}
        self._shuffle = shuffle
        self._port = port
        self._allow_private = allow_private
        self._ourselves = ourselves or Ourselves((), lambda: 0.0, here=lambda _: False)

    def static(self, domain: str) -> Route | None:
        """The operator's route for a domain (in lower case), or the one for all; None: the DNS decides."""
        return self._static.get(domain) or self._static.get("*")

    def refuses_mail(self, domain: str) -> bool | Deferred[bool]:
        """Whether a domain says that it takes no mail (RFC 7505); at once when the DNS need not be asked."""
        if domain.startswith("[") or self.static(domain := domain.lower().rstrip(".")) is not None:
            return False
        found = ensureDeferred(self._resolver.lookup(domain, "MX")).addCallback(_is_null_mx)
        return found.result is True if found.called else found

    async def route(self, domain: str, *, unknown_for: float = 0.0, turn: Turn = ANYBODY) -> Route | NoRoute:
        """The route to a domain; ``unknown_for``: seconds since an attempt first ended with ``NoRoute.unknown``.

        The DNS is asked in this ``turn``.
        """
        domain = domain.lower().rstrip(".")
        if (static := self.static(domain)) is not None:
            return static
        asked = Inquiry(self._resolver, turn)
        found = await self._find(domain, unknown_for, asked)
        return replace(found, steps=tuple(map(_step, asked.answers))) if isinstance(found, NoRoute) else found

    async def _find(self, domain: str, unknown_for: float, asked: Inquiry) -> Route | NoRoute:
        answer = await asked.lookup(domain, "MX")
        if answer.status == "failure":
            return NoRoute("dns", DNS_FAILURE)
        if answer.status == "nxdomain":
            return _unknown(unknown_for, asked)
        if answer.status == "nodata":
            return await self._implicit(domain, unknown_for, asked, secure=answer.authenticated)
        if _is_null_mx(answer):
            return NoRoute("null-mx", NULL_MX)
        hosts = await self._hosts(self._in_order(answer), asked)
        return self._checked(_key(answer), hosts, domain, secure=answer.authenticated)

    async def _implicit(self, domain: str, unknown_for: float, asked: Inquiry, *, secure: bool) -> Route | NoRoute:
        """RFC 5321, 5.1: a domain without MX records is its own mail server."""
        found = await self._hosts([(0, domain)], asked)
        if isinstance(found, list) and not found:
            return _unknown(unknown_for, asked)
        return self._checked(domain, found, domain, secure=secure)

    def _in_order(self, answer: Answer) -> list[tuple[int, str]]:
        """Preference and name of each mail server."""
        groups: dict[int, list[str]] = {}
        for record in cast("tuple[dns.rdtypes.ANY.MX.MX, ...]", answer.records):
            if name := _name(record):
                groups.setdefault(record.preference, []).append(name)
        for group in groups.values():
            self._shuffle(group)
        return [(preference, name) for preference in sorted(groups) for name in groups[preference]]

    async def _hosts(self, exchanges: list[tuple[int, str]], asked: Inquiry) -> list[Host] | NoRoute:
        """The addresses of mail servers in their order, of those that are preferred to us.

        A ``NoRoute`` when there is none because the DNS failed, or because the first is us. Our name alone tells that,
        whether it has an address at present or not.
        """
        us = self._ourselves
        nearer = _preferred(exchanges, us.is_named)[:MAX_ADDRESSES]
        lookups = [ensureDeferred(self._look_up_host(name, asked)) for _, name in nearer]
        answers = await gatherResults(lookups, consumeErrors=True)
        found = [(rank, host) for (rank, _), (hosts, _) in zip(nearer, answers, strict=True) for host in hosts]
        if not found and any(failed for _, failed in answers):
            return NoRoute("dns", DNS_FAILURE)
        before = _preferred(found, lambda host: us.is_at(host.address))
        if not before and (found or (exchanges and not nearer)):
            return NoRoute("routing", LOOP)
        return [host for _, host in before]

    async def _look_up_host(self, name: str, asked: Inquiry) -> tuple[list[Host], bool]:
        try:
            return [Host(name, str(ipaddress.ip_address(name)), self._port)], False  # not allowed, but seen
        except ValueError:
            pass
        lookups = [ensureDeferred(asked.lookup(name, type)) for type in ("A", "AAAA")]
        answers = await gatherResults(lookups, consumeErrors=True)
        families = [
            [
                Host(name, str(cast("dns.rdtypes.IN.A.A", record).address), self._port, one.authenticated, one.alias_of)
                for record in one.records
            ]
            for one in answers
        ]
        mixed = [one for pair in zip_longest(*families) for one in pair if one]
        return mixed, any(one.status == "failure" for one in answers)

    def _checked(self, key: str, hosts: list[Host] | NoRoute, domain: str, *, secure: bool) -> Route | NoRoute:
        if isinstance(hosts, NoRoute):
            return hosts
        if not hosts:
            return NoRoute("routing", NO_ADDRESS)
        allowed = [host for host in hosts if self._allow_private or is_public(host.address)]
        if not allowed:
            return NoRoute("routing", NOT_PUBLIC)
        return Route(key, tuple(allowed[:MAX_ADDRESSES]), secure=secure, domain=domain)


def static_route(value: str) -> Route:
    """The route to a next hop, ``host:port``; ConfigError when it is none."""
    host, port = address("delivery.routes", value)
    return Route(value, (Host(host, host, port),), static=True)


def _name(record: dns.rdtypes.ANY.MX.MX) -> str:
    return str(record.exchange.to_text(omit_final_dot=True)).lower().removesuffix(".")


def _is_null_mx(answer: Answer) -> bool:
    """A single record without a name (RFC 7505, 3)."""
    return [_name(record) for record in cast("tuple[dns.rdtypes.ANY.MX.MX, ...]", answer.records)] == [""]


def _key(answer: Answer) -> str:
    """The same for all domains with the same mail servers in the same order of preference."""
    records = cast("tuple[dns.rdtypes.ANY.MX.MX, ...]", answer.records)
    return ",".join(f"{name}." for _, name in sorted((record.preference, _name(record)) for record in records))


def _preferred(ranked: list[tuple[int, Named]], is_us: Callable[[Named], bool]) -> list[tuple[int, Named]]:
    """RFC 5321, 5.1: who is not preferred to us would send the mail to us."""
    ours = min((rank for rank, one in ranked if is_us(one)), default=inf)
    return [(rank, one) for rank, one in ranked if rank < ours]


def _unknown(unknown_for: float, asked: Inquiry) -> NoRoute:
    """For good only if somebody was asked long enough after the first time: what the cache says is older."""
    since = unknown_for - max(answer.age for *_, answer in asked.answers)
    return NoRoute("no-domain", NO_DOMAIN if since >= SECOND_LOOK else NO_DOMAIN_YET)


def _step(question: tuple[str, str, Answer]) -> str:
    name, type, answer = question
    return f"{type} {name}: {', '.join(map(str, answer.records)) or answer.status}"
