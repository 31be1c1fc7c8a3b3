"""Looks records up while a person waits (the relay itself has its own resolver)."""

from __future__ import annotations

import dns.exception
import dns.resolver

from postmeter.config import address
from postmeter.errors import UnreachableError

LIFETIME = 6.0  # seconds for one question


def resolver(server: str) -> dns.resolver.Resolver:
    """A resolver that asks ``server`` (address and port), or the system's when empty."""
    try:
        made = dns.resolver.Resolver(configure=not server)
    except dns.exception.DNSException as error:
        raise UnreachableError(f"the system has no DNS server ({error}); set delivery.resolver") from None
    if server:
        host, made.port = address("delivery.resolver", server)
        made.nameservers = [host]
    made.lifetime = LIFETIME
    return made


def texts(resolver: dns.resolver.Resolver, name: str) -> list[str]:
    """The TXT texts of a name, none when there are none; UnreachableError when nobody knows at the moment."""
    try:
        answer = resolver.resolve(name, "TXT", search=False)
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return []
    except dns.exception.DNSException as error:
        raise UnreachableError(f"the DNS gives no answer about {name}: {error}") from None
    return [b"".join(record.strings).decode("utf-8", "replace") for record in answer]
