"""Which mail servers are this relay itself: mail for them would come back (RFC 5321, 5.1 and 6.3)."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable

REMEMBERED = 60.0  # seconds for which an address stays one of ours, or none
MOST = 10_000  # addresses that are remembered


class Ourselves:
    """Knows us by ``hostname`` and by the addresses of this machine; ``clock`` gives seconds that only grow.

    Loopback addresses are not counted: with ``allow_private`` they are somebody else's on this machine.
    """

    def __init__(self, hostname: str, clock: Callable[[], float]) -> None:
        self._hostname = hostname.lower()
        self._clock = clock
        self._known: dict[str, tuple[float, bool]] = {}

    def is_named(self, name: str) -> bool:
        """Whether a mail server of this name (without final dot) is us."""
        return name.lower() == self._hostname

    def is_at(self, address: str) -> bool:
        """Whether an address is one of this machine's."""
        now = self._clock()
        until, ours = self._known.get(address, (0.0, False))
        if now >= until:
            if len(self._known) >= MOST:
                self._known.clear()
            ours = _is_local(address)
            self._known[address] = (now + REMEMBERED, ours)
        return ours


def _is_local(address: str) -> bool:
    """The kernel lets nobody bind what is not here; that asks nobody else and takes some microseconds."""
    ip = ipaddress.ip_address(address)
    if ip.is_loopback or ip.is_unspecified or ip.is_multicast:
        return False
    family = socket.AF_INET6 if ip.version == 6 else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except OSError:
        return False
    return True
