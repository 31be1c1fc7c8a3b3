"""Who is here: counts the sessions of a worker, in all, by address and by connection, and keeps to the limits."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Iterator
from typing import Protocol

from postmeter.config import Smtp
from postmeter.server.auth import Submitter


class Closable(Protocol):
    """A session that can be asked to end."""

    def shut_down(self) -> None:
        """End after what is under way."""


class Census:
    """The sessions of one worker; those over a limit are counted until they are gone, but not let in."""

    def __init__(self, limits: Smtp) -> None:
        self._limits = limits
        self._sessions: set[Closable] = set()
        self._by_address: Counter[str] = Counter()  # of IPv6 the first 64 bits: each customer has that many addresses
        self._by_connection: Counter[int] = Counter()

    def __len__(self) -> int:
        return len(self._sessions)

    def __iter__(self) -> Iterator[Closable]:
        return iter(list(self._sessions))

    def enter(self, session: Closable, address: str) -> bool:
        """A session begins; False when it is one too many in all or from its address."""
        self._sessions.add(session)
        origin = _origin(address)
        self._by_address[origin] += 1
        few_enough = len(self._sessions) <= self._limits.max_sessions
        return few_enough and self._by_address[origin] <= self._limits.max_sessions_per_ip

    def log_in(self, submitter: Submitter) -> bool:
        """A session logs in; False when its connection has as many already as it may."""
        connection = submitter.access.connection_id
        if self._by_connection[connection] >= self._limits.max_sessions_per_connection:
            return False
        self._by_connection[connection] += 1
        return True

    def leave(self, session: Closable, address: str, submitter: Submitter | None) -> None:
        """A session is over."""
        self._sessions.discard(session)
        _lower(self._by_address, _origin(address))
        if submitter is not None:
            _lower(self._by_connection, submitter.access.connection_id)


def _origin(address: str) -> str:
    """An IPv4 address as it is; of an IPv6 address its /64, which is the least that a network gives out (RFC 6177)."""
    if ":" not in address:
        return address
    return socket.inet_pton(socket.AF_INET6, address.partition("%")[0])[:8].hex()


def _lower(counter: Counter, key: object) -> None:  # type: ignore[type-arg]
    counter[key] -= 1
    if counter[key] <= 0:
        del counter[key]
