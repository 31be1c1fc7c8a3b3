"""Where a session comes from: the address, or the network, to which one client is confined."""

from __future__ import annotations

import socket

_MAPPED = bytes(10) + b"\xff\xff"  # RFC 4291, 2.5.5.2: an IPv4 address that looks like one of IPv6


def origin(address: str) -> str:
    """An IPv4 address as it is; of an IPv6 address its /64, which is the least that a network gives out (RFC 6177)."""
    if ":" not in address:
        return address
    octets = socket.inet_pton(socket.AF_INET6, address.partition("%")[0])
    if octets.startswith(_MAPPED):
        return socket.inet_ntop(socket.AF_INET, octets[12:])
    return socket.inet_ntop(socket.AF_INET6, octets[:8] + bytes(8)) + "/64"


def network(address: str) -> str:
    """The /24 of an IPv4 address, the /64 of an IPv6 address."""
    found = origin(address)
    return found if ":" in found else f"{found.rpartition('.')[0]}.0/24"
