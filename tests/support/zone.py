"""A DNS for routers that needs no server."""

from __future__ import annotations

import dns.rdata

from postmeter.delivery.fair_queue import ANYBODY, Turn
from postmeter.delivery.resolver import Answer, Status
from postmeter.delivery.route import NoRoute, Route, Router


class Zone:
    """A resolver that knows these answers and no more."""

    def __init__(self, zone: dict[tuple[str, str], list[str] | Status]) -> None:
        self.zone = zone
        self.asked: list[tuple[str, str]] = []
        self.turns: set[Turn] = set()

    async def lookup(self, name: str, type: str, turn: Turn = ANYBODY) -> Answer:
        """See ``Resolver.lookup``."""
        self.asked.append((name, type))
        self.turns.add(turn)
        entry = self.zone.get((name, type), "nodata" if any(name == known for known, _ in self.zone) else "nxdomain")
        if isinstance(entry, str):
            return Answer(entry)
        return Answer("ok", tuple(dns.rdata.from_text("IN", type, text) for text in entry))


def router(zone: dict[tuple[str, str], list[str] | Status], *, allow_private: bool = False) -> Router:
    """Its order of equal servers is the reverse one."""
    return Router(Zone(zone), {}, lambda names: names.reverse(), allow_private=allow_private)


def addresses(route: Route | NoRoute) -> list[str]:
    """Where a route leads."""
    assert isinstance(route, Route), route
    return [host.address for host in route.hosts]


def refusal(route: Route | NoRoute) -> NoRoute:
    """Why there is no route."""
    assert isinstance(route, NoRoute), route
    return route
