"""Which mail servers are this relay itself: mail for them would come back (RFC 5321, 5.1 and 6.3)."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable

from postmeter.local_address import is_local

REMEMBERED = 60.0  # seconds for which an address stays one of ours, or none
MOST = 10_000  # addresses that are remembered


class Ourselves:
    """Knows us by ``names`` and by the addresses of this machine; ``clock`` gives seconds that only grow.

    ``here`` finds out whether the machine has an address. Loopback addresses are not counted: with ``allow_private``
    they are somebody else's on this machine.
    """

    def __init__(
        self, names: Iterable[str], clock: Callable[[], float], here: Callable[[str], bool] = is_local
    ) -> None:
        self._names = frozenset(name.lower() for name in names)
        self._clock = clock
        self._here = here
        self._known: dict[str, tuple[float, bool]] = {}

    def is_named(self, name: str) -> bool:
        """Whether a mail server of this name (without final dot) is us."""
        return name.lower() in self._names

    def is_at(self, address: str) -> bool:
        """Whether an address is one of this machine's."""
        now = self._clock()
        until, ours = self._known.get(address, (0.0, False))
        if now >= until:
            if len(self._known) >= MOST:
                self._known.clear()
            ours = self._is_here(address)
            self._known[address] = (now + REMEMBERED, ours)
        return ours

    def _is_here(self, address: str) -> bool:
        ip = ipaddress.ip_address(address)
        if ip.is_loopback or ip.is_unspecified or ip.is_multicast:
            return False
        try:
            return self._here(address)
        except OSError:
            return False
