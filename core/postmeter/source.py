"""The addresses that mail may leave from, in pools, as ``delivery.pools`` names them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from itertools import zip_longest

from postmeter.errors import ConfigError, UsageError
from postmeter.local_address import is_local

TRANSACTIONAL, PROBATION = "transactional", "probation"  # of accounts with a paid block, and of those that had none yet
_is_pool_name = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,38}[a-z0-9])?").fullmatch
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
is_host_name = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*").fullmatch  # RFC 1123, 2.1

Pools = dict[str, tuple["Source", ...]]


@dataclass(frozen=True, slots=True)
class Source:
    """What mail leaves from: the name that EHLO says, and an address of each IP family (empty: it has none)."""

    name: str
    ipv4: str = ""
    ipv6: str = ""

    @property
    def addresses(self) -> tuple[str, ...]:
        """Those that it has."""
        return tuple(filter(None, (self.ipv4, self.ipv6)))

    def towards(self, address: str) -> str:
        """Its address of the family of another one, which is a server's; empty when it has none."""
        return self.ipv6 if ":" in address else self.ipv4


def pools(table: Mapping[str, str]) -> Pools:
    """The sources of each pool; ConfigError says what is wrong.

    Addresses with one name belong together: a source has one of each family, as long as there are any left.
    """
    names: dict[str, str] = {}  # by address: every server sees but one PTR record
    return {pool: _pool(f"delivery.pools.{pool}", pool, text, names) for pool, text in table.items()}


def known(table: Mapping[str, str], pool: str) -> str:
    """The name of a pool as it is kept; UsageError when there is none of this name."""
    if pool not in table:
        there_are = f"there are: {', '.join(table)}" if table else "delivery.pools has none"
        raise UsageError(f"there is no pool {pool!r}; {there_are}")
    return pool


def is_here(address: str) -> bool:
    """Whether mail can leave from an address: whether this machine has it, as far as that can be found out."""
    try:
        return is_local(address)
    except OSError:
        return True


def _pool(key: str, pool: str, text: str, names: dict[str, str]) -> tuple[Source, ...]:
    if not _is_pool_name(pool):
        raise ConfigError(f"{key}: the name of a pool has up to 40 small letters, digits, - and _")
    ours: dict[str, tuple[list[str], list[str]]] = {}
    seen: set[str] = set()
    for entry in text.split():
        address, name = _entry(key, entry)
        if names.setdefault(address, name) != name:
            raise ConfigError(f"{key}: {address} has two names, {names[address]} and {name}")
        if address in seen:
            raise ConfigError(f"{key}: {address} is named twice")
        seen.add(address)
        ours.setdefault(name, ([], []))[":" in address].append(address)
    if not ours:
        raise ConfigError(f"{key} has no address")
    return tuple(
        Source(name, *pair) for name, families in ours.items() for pair in zip_longest(*families, fillvalue="")
    )


def _entry(key: str, entry: str) -> tuple[str, str]:
    text, equals, name = entry.partition("=")
    try:
        address = ip_address(text)
    except ValueError:
        raise ConfigError(f"{key}: {entry!r} is not of the form ADDRESS=EHLO-NAME") from None
    mapped = isinstance(address, IPv6Address) and (address.ipv4_mapped is not None or address.scope_id is not None)
    if address.is_unspecified or address.is_multicast or mapped:
        raise ConfigError(f"{key}: mail cannot leave from {text}")
    if not (equals and is_host_name(name)):
        raise ConfigError(f"{key}: {name!r} (of {text}) is not a host name in ASCII letters")
    return str(address), name.lower()
