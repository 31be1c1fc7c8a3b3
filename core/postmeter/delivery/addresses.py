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
        "192.168.0.0/16",
        "198.18.0.0/15",
        "224.0.0.0/3",
    )
)
_NOT_PUBLIC_6 = tuple(
    ipaddress.IPv6Network(network)
    for network in ("::/96", "64:ff9b::/96", "100::/64", "2002::/16", "fc00::/7", "fe80::/9", "ff00::/8")
)


def is_public(address: str) -> bool:
    """Whether an IPv4 or IPv6 address is reachable from everywhere; a mapped IPv4 address counts as what it maps."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is None:
            return not any(parsed in network for network in _NOT_PUBLIC_6)
        parsed = parsed.ipv4_mapped
    return not any(parsed in network for network in _NOT_PUBLIC_4)
