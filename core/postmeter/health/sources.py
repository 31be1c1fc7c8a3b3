"""The addresses that mail leaves from: those of the pools, and what the kernel would choose, found without sending."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from ipaddress import ip_address

from postmeter.config import Settings
from postmeter.health.spf import Address
from postmeter.source import TRANSACTIONAL, pools

_FAR = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))  # RFC 5737, RFC 3849: nobody's


@dataclass(frozen=True)
class Ours:
    """One of our addresses: the name that EHLO says there, and its pools (none: the kernel chooses it)."""

    address: Address
    name: str
    pools: tuple[str, ...] = ()


def sources(settings: Settings) -> tuple[Ours, ...]:
    """Those of the pools, then the machine's default addresses if mail may leave from them, IPv4 first.

    None when all mail goes to a server that delivers it for us.
    """
    if "*" in settings.delivery.routes:
        return ()
    found: dict[str, Ours] = {}
    for pool, members in pools(settings.delivery.pools).items():
        for one in members:
            for address in one.addresses:
                known = found[address].pools if address in found else ()
                found[address] = Ours(ip_address(address), one.name, (*known, pool))
    if TRANSACTIONAL not in settings.delivery.pools:
        for default in _defaults():
            found.setdefault(str(default), Ours(default, settings.hostname))
    return tuple(found.values())


def public(found: tuple[Ours, ...]) -> tuple[Ours, ...]:
    """Those of the addresses that the world can see."""
    return tuple(one for one in found if one.address.is_global)


def _defaults() -> list[Address]:
    return [found for family, far in _FAR if (found := _towards(family, far)) is not None]


def _towards(family: socket.AddressFamily, far: str) -> Address | None:
    """The own address of a way there: connecting a datagram socket only looks into the routing table."""
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as asking:
            asking.connect((far, 25))
            return ip_address(asking.getsockname()[0].partition("%")[0])
    except OSError:
        return None  # no way there
