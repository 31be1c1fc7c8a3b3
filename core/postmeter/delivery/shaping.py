"""Which gate a route leads through, so that a provider's limits hold for all its mail servers and all workers."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace
from math import inf

from postmeter.delivery.destination import Limits, Room
from postmeter.delivery.gate import Gate, Terms
from postmeter.delivery.provider import Providers, Shape
from postmeter.delivery.provider_file import MOST_CONNECTIONS, OTHER
from postmeter.delivery.route import Route
from postmeter.delivery.slots import key
from postmeter.store.provider_sessions import NONE, Sessions

FIRST_SESSIONS = 2
BOUNDLESS = 1e6  # per second
MOST_GATES = 1_000  # that nobody uses are kept, about


def parties(providers: Providers, route: Route) -> tuple[str, ...]:
    """Under what names suspensions concern a route: its provider's, and a stranger's most preferred mail server's.

    A route that leads to others as well is a stranger's, whoever comes first: a domain can name any servers.
    """
    name, *others = dict.fromkeys(providers.of(host.name) for host in route.hosts)
    return (name,) if name not in ("", OTHER) and not others else (name, server(route))


def server(route: Route) -> str:
    """The name of the most preferred mail server; the same for all routes that begin there."""
    return route.key.partition(",")[0].removesuffix(".")


class Shaper:
    """The gates of a worker."""

    def __init__(self, providers: Providers, terms: Terms) -> None:
        self._providers = providers
        self._terms = terms
        # By provider (empty: it is the one behind those of its mail servers), what shares it, and source.
        self._gates: dict[tuple[str, str, str], Gate] = {}
        self._forget_at = MOST_GATES

    def limits(self, route: Route) -> Limits:
        """What holds for one destination; the gate's limits hold besides."""
        shape = self._shape(route)
        return Limits(FIRST_SESSIONS, shape.connections, shape.mails, shape.idle)

    def gate(self, route: Route, source: str, room: Room) -> Gate:
        """The gate for mail on this route from an address of ours (by its name), before ``room``.

        Of a provider whose mail servers are counted apart, each has a gate before that of all, which has no limits but
        those that a reply rule sets. Strangers with the same mail servers share one.
        """
        shape, (name, *stranger) = self._shape(route), parties(self._providers, route)
        if stranger:
            return self._gate(OTHER, (*stranger, name), route.key, source, shape, room, FIRST_SESSIONS)
        if not shape.apart:
            return self._gate(name, (name,), name, source, shape, room, FIRST_SESSIONS)
        most, one = MOST_CONNECTIONS, server(route)
        of_all = replace(shape, connections=most, rate=BOUNDLESS, connection_rate=BOUNDLESS)
        together = self._gate("", (name,), name, source, of_all, room, most)
        return self._gate(name, (one,), one, source, replace(shape, rules=()), together, FIRST_SESSIONS)

    def sessions(self) -> dict[str, Sessions]:
        """Those with each provider that there is something to tell of, from all our addresses."""
        found: dict[str, Sessions] = {}
        together: dict[str, float] = {}
        for (provider, shared_by, _), gate in self._gates.items():
            if not provider:
                together[shared_by] = together.get(shared_by, 0.0) + gate.part()
            elif (told := gate.sessions()) != NONE:
                found[provider] = found.get(provider, NONE) + told
        return {name: Sessions(one.open, min(one.allowed, together.get(name, inf))) for name, one in found.items()}

    def begin_again(self, names: Set[str]) -> None:
        """As many sessions as at the beginning with these providers or mail servers."""
        for (provider, *_), gate in list(self._gates.items()):
            if provider in names or not names.isdisjoint(gate.names):
                gate.begin_again()

    def _shape(self, route: Route) -> Shape:
        return self._providers.shape(self._providers.of(route.hosts[0].name))

    def _gate(
        self, provider: str, names: tuple[str, ...], shared_by: str, source: str, shape: Shape, room: Room, first: int
    ) -> Gate:
        where = provider, shared_by, source
        if where not in self._gates:
            self._forget_some()
            self._gates[where] = Gate(self._terms, names, key(f"{shared_by} {source}"), shape, room, first)
        return self._gates[where]

    def _forget_some(self) -> None:
        """Those that nobody uses, now and then."""
        if len(self._gates) >= self._forget_at:
            self._gates = {where: gate for where, gate in self._gates.items() if not gate.idle}
            self._forget_at = 2 * max(len(self._gates), MOST_GATES)
