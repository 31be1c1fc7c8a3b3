"""Finds out what TLS the sessions of a route must have: what the DNS, the domain's policy and we ourselves ask for."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Protocol

from twisted.internet.defer import ensureDeferred, gatherResults

from postmeter.delivery.dane import Tlsa
from postmeter.delivery.fair_queue import Turn
from postmeter.delivery.mta_sts import StsPolicy
from postmeter.delivery.opening import NoteTls, note_nothing
from postmeter.delivery.provider import Providers
from postmeter.delivery.route import Host, Lookup, NoRoute, Route
from postmeter.delivery.tls_policy import REQUIRED, TlsPolicy
from postmeter.message.originator import a_labels
from postmeter.store.own_mail import OPERATOR
from postmeter.store.queue import QueuedMessage
from postmeter.store.tls_reports import REFERENCE

ALL = "*"
REMEMBERED = 30.0  # seconds: as long as the DNS is not asked again anyway
MOST_KNOWN = 10_000
EXEMPT = TlsPolicy(reported=False)  # RFC 8689, 5: a report must arrive above all where TLS does not work


class Policies(Protocol):
    """Where MTA-STS policies come from."""

    async def find(self, domain: str, turn: Turn) -> StsPolicy | None:
        """See ``StsPolicies.find``."""


class Securing:
    """``required`` are recipients' domains for which TLS is a must, or ``*``; ``resolver`` None: no DANE.

    ``policies`` None: no MTA-STS. ``note`` is told of mail servers that need not be connected to. ``clock`` gives
    seconds.
    """

    def __init__(
        self,
        required: Iterable[str] = (),
        *,
        resolver: Lookup | None = None,
        policies: Policies | None = None,
        note: NoteTls = note_nothing,
        providers: Providers | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._providers = providers or Providers()
        self._required = frozenset(map(ascii_name, required))
        self._resolver = resolver
        self._policies = policies
        self._note = note
        self._clock = clock
        self._strict: dict[str, Route] = {}  # static routes with TLS as a must, by key
        self._known: dict[tuple[str, bool], tuple[float, Route, Route]] = {}  # until when, and what a route became

    def static(self, route: Route, domain: str, message: QueuedMessage) -> Route:
        """A static route as the message may take it: what the DNS says about the domain means nothing there."""
        if not self._must(route, domain, message):
            return route
        if route.key not in self._strict:
            self._strict[route.key] = replace(route, tls=REQUIRED)
        return self._strict[route.key]

    async def secure(self, route: Route, message: QueuedMessage) -> Route | NoRoute:
        """A route of the DNS as the message may take it; ``NoRoute`` when no session with any host could be right."""
        if message.account_id == OPERATOR and message.reference == REFERENCE:
            return replace(route, tls=EXEMPT)
        key = (route.domain, self._must(route, route.domain, message))
        until, before, secured = self._known.get(key, (0.0, None, route))
        if self._clock() < until:
            if before == route:
                return secured
            if (reordered := _in_order_of(route, secured)) is not None:
                return reordered
        found = await self._secured(route, Turn.of(message), must=key[1])
        if not isinstance(found, NoRoute):
            self._remember(key, route, found)
        return found

    async def _secured(self, route: Route, turn: Turn, *, must: bool) -> Route | NoRoute:
        sts = await self._policies.find(route.domain, turn) if self._policies is not None else None
        dane = self._resolver is not None and route.secure
        if not (sts or must or dane):
            return route
        hosts = await self._with_records(route, turn) if dane else route.hosts
        alone = sts is not None or any(host.tlsa is not None and host.tlsa.anchored for host in hosts)
        tls = TlsPolicy(must, dane, sts, route.domain if alone else "")
        return self._unless_barred(replace(route, hosts=hosts, tls=tls))

    def _remember(self, key: tuple[str, bool], route: Route, secured: Route) -> None:
        now, known = self._clock(), self._known
        known.pop(key, None)
        while known and (len(known) >= MOST_KNOWN or next(iter(known.values()))[0] <= now):  # records may be large
            del known[next(iter(known))]
        known[key] = (now + REMEMBERED, route, secured)

    def _must(self, route: Route, domain: str, message: QueuedMessage) -> bool:
        if message.tls_required or (self._required and (ALL in self._required or ascii_name(domain) in self._required)):
            return True
        shapes = (self._providers.shape(self._providers.of(host.name)) for host in route.hosts)
        return any(shape.tls == "required" for shape in shapes)

    async def _with_records(self, route: Route, turn: Turn) -> tuple[Host, ...]:
        lookups = [ensureDeferred(self._records(host, route.domain, turn)) for host in route.hosts]
        found = await gatherResults(lookups, consumeErrors=True)
        return tuple(replace(host, tlsa=tlsa) for host, tlsa in zip(route.hosts, found, strict=True))

    async def _records(self, host: Host, domain: str, turn: Turn) -> Tlsa | None:
        """RFC 7672, 2.2.3: under the name behind an alias first. Only where the address is authentic (2.2.2)."""
        if not host.secure or self._resolver is None:
            return None
        for base in filter(None, dict.fromkeys((host.alias_of, host.name))):
            answer = await self._resolver.lookup(f"_{host.port}._tcp.{base}", "TLSA", turn)
            if answer.status == "failure":
                return Tlsa(base, host.port, failed=True)
            if answer.records and answer.authenticated:
                return Tlsa.of(base, host.port, (domain,), answer.records)
        return None

    def _unless_barred(self, route: Route) -> Route | NoRoute:
        policies = [route.policy(host) for host in route.hosts]
        flaws = [policy.barred if policy.strict else None for policy in policies]
        if flaws[0] is None or None in flaws:
            return route
        for host, flaw in zip(route.hosts, flaws, strict=True):
            self._note(route, host, flaw, "")
        return NoRoute("policy", flaws[0].reply)


def _in_order_of(route: Route, secured: Route) -> Route | None:
    """What a route became whose mail servers were in another order, in that of this one; None: there are others."""
    known = {host: host for host in secured.hosts}
    hosts = tuple(known[host] for host in route.hosts if host in known)
    if secured.key != route.key or not len(hosts) == len(route.hosts) == len(secured.hosts):
        return None
    return replace(secured, hosts=hosts)


def ascii_name(domain: str) -> str:
    """The name of a domain as the DNS has it (A-labels); what is none stays."""
    try:
        return a_labels(domain.rstrip("."))
    except ValueError:
        return domain
