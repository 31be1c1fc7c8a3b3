"""Which addresses are public: mail, like every other request that strangers cause, goes nowhere else."""

from __future__ import annotations

import ipaddress

_NOT_PUBLIC_4 = tuple(
    ipaddress.IPv4Network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.88.99.0/24",  # leads to 2002::/16
        "192.168.0.0/16",
        "198.18.0.0/15",
        "224.0.0.0/3",
    )
)
# Only here global unicast addresses are assigned (RFC 4291, 2.4), so neither the loopback, local and multicast ones nor
# those that a gateway translates to IPv4 (64:ff9b::/96, 64:ff9b:1::/48, ::ffff:0:0:0/96) are; the exceptions inside are
# Teredo (2001::/32) with its neighbours, and 6to4, which carry an IPv4 address of anybody's choice.
_PUBLIC_6 = ipaddress.IPv6Network("2000::/3")
_NOT_PUBLIC_6 = tuple(ipaddress.IPv6Network(network) for network in ("2001::/23", "2002::/16"))


def is_public(address: str) -> bool:
    """Whether an IPv4 or IPv6 address is reachable from everywhere; a mapped IPv4 address counts as what it maps."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is None:
            return parsed in _PUBLIC_6 and not any(parsed in network for network in _NOT_PUBLIC_6)
        parsed = parsed.ipv4_mapped
    return not any(parsed in network for network in _NOT_PUBLIC_4)
