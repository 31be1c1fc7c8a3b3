"""The addresses that mail leaves from: what the kernel would choose, found without sending anything."""

from __future__ import annotations

import socket
from ipaddress import ip_address

from postmeter.config import Settings
from postmeter.health.spf import Address

_FAR = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))  # RFC 5737, RFC 3849: nobody's


def sources(settings: Settings) -> tuple[Address, ...]:
    """The machine's default addresses, IPv4 first; none when all mail goes to a server that delivers it for us."""
    if "*" in settings.delivery.routes:
        return ()
    return tuple(found for family, far in _FAR if (found := _towards(family, far)) is not None)


def public(found: tuple[Address, ...]) -> tuple[Address, ...]:
    """Those of the addresses that the world can see."""
    return tuple(one for one in found if one.is_global)


def _towards(family: socket.AddressFamily, far: str) -> Address | None:
    """The own address of a way there: connecting a datagram socket only looks into the routing table."""
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as asking:
            asking.connect((far, 25))
            return ip_address(asking.getsockname()[0].partition("%")[0])
    except OSError:
        return None  # no way there
