"""Counts sessions for reports about TLS (RFC 8460), and keeps the counts of domains that want reports."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred, ensureDeferred, gatherResults

from postmeter.committing import Submit
from postmeter.delivery.route import Host, Lookup, Route
from postmeter.delivery.securing import ascii_name
from postmeter.delivery.tls_policy import Flaw
from postmeter.delivery.tls_report import destinations
from postmeter.store.tls_reports import DAY, Seen, add

MOST_LINES = 10_000  # between two times that they are handed over; further ones are not counted
AT_ONCE = 100  # domains that are asked whether they want reports: mail has questions, too
# Characters of what strangers say; all of it is in the key of a table, of which PostgreSQL bears 2,700 octets.
MOST_REASON = 200
MOST_POLICY = 1_000  # of its lines
MOST_NAME = 255  # of a host, where octets that are no letters take four characters each


class TlsLog:
    """Of one worker; ``submit`` hands a change to the writer, ``clock`` gives seconds since the epoch."""

    def __init__(self, resolver: Lookup, submit: Submit, clock: Callable[[], float]) -> None:
        self._resolver = resolver
        self._submit = submit
        self._clock = clock
        self._counted: dict[Seen, int] = {}

    def session(self, route: Route, host: Host, flaw: Flaw | None, source: str) -> None:
        """A session with a host of the route was opened, or could not be for reasons of TLS."""
        if not route.domain or not route.tls.reported:
            return
        seen = Seen(self._day, ascii_name(route.domain), _cut(route.policy(host).told))
        if flaw is not None:
            seen = seen._replace(result=flaw.result, reason=clean(flaw.text), source=source)
            seen = seen._replace(host=host.name[:MOST_NAME], address=host.address)
        self._count(seen)

    def trouble(self, domain: str, flaw: Flaw) -> None:
        """A domain's MTA-STS policy could not be had."""
        self._count(Seen(self._day, ascii_name(domain), ("sts",), flaw.result, clean(flaw.text)))

    def hand_over(self) -> Deferred[Any]:
        """Have kept what was counted since the last time; it is counted again if it cannot be committed."""
        by_domain: dict[str, dict[Seen, int]] = {}
        for seen, sessions in self._counted.items():
            by_domain.setdefault(seen.domain, {})[seen] = sessions
        self._counted = {}
        parts = iter(by_domain.items())
        return gatherResults([ensureDeferred(self._keep(parts)) for _ in range(AT_ONCE)], consumeErrors=True)

    async def _keep(self, parts: Iterator[tuple[str, dict[Seen, int]]]) -> None:
        """Go through what is left of the domains."""
        for domain, counted in parts:
            if await wanted_at(self._resolver, domain):
                self._submit(add, counted, partial(self._told, counted))

    def _told(self, counted: dict[Seen, int], result: Exception | None) -> None:
        if isinstance(result, Exception):
            for seen, sessions in counted.items():
                self._count(seen, sessions)

    def _count(self, seen: Seen, sessions: int = 1) -> None:
        if seen in self._counted or len(self._counted) < MOST_LINES:
            self._counted[seen] = self._counted.get(seen, 0) + sessions

    @property
    def _day(self) -> int:
        return int(self._clock()) // DAY * DAY


async def wanted_at(resolver: Lookup, domain: str) -> tuple[str, ...]:
    """Where a domain wants reports about TLS sent; empty: nowhere."""
    return destinations((await resolver.lookup(f"_smtp._tls.{domain}", "TXT")).texts)


def clean(text: str) -> str:
    """A reason as it is kept: in one line of ASCII, and not too long."""
    return "".join([letter if " " <= letter <= "~" else " " for letter in text[:MOST_REASON]])


def _cut(lines: tuple[str, ...]) -> tuple[str, ...]:
    """The first lines, as many as there is room for."""
    room, kept = MOST_POLICY, []
    for line in lines:
        room -= len(line) + 1
        if room < 0:
            break
        kept.append(line)
    return tuple(kept)
