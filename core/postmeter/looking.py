"""Looks records up while a person waits, for commands and panel (the relay itself has its own resolver)."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import dns.exception
import dns.resolver

from postmeter.config import address
from postmeter.errors import UnreachableError

LIFETIME = 6.0  # seconds for all that is asked together
AT_ONCE = 8  # questions under way
MAX_RECORDS = 20  # of one name that are read


@dataclass(frozen=True, slots=True)
class Heard:
    """What the DNS says about some names: the records of each, and about which it gives no answer, and why."""

    records: Mapping[str, tuple[str, ...]]
    unknown: Mapping[str, str]


def resolver(server: str) -> dns.resolver.Resolver:
    """A resolver that asks ``server`` (address and port), or the system's when empty; UnreachableError: it has none."""
    try:
        made = dns.resolver.Resolver(configure=not server)
    except dns.exception.DNSException as error:
        raise UnreachableError(f"the system has no DNS server ({error}); set delivery.resolver") from None
    if server:
        host, made.port = address("delivery.resolver", server)
        made.nameservers = [host]
    made.lifetime = LIFETIME
    return made


def records(resolver: dns.resolver.Resolver, name: str, type: str = "TXT", seconds: float | None = None) -> list[str]:
    """The records of a name (of TXT the texts), none when there are none; aliases are followed.

    UnreachableError when nobody knows at the moment, or within ``seconds``.
    """
    try:
        answer = resolver.resolve(name, type, search=False, lifetime=seconds)
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return []
    except dns.exception.DNSException as error:
        raise UnreachableError(f"the DNS gives no answer about {name}: {error}") from None
    return [_text(record) for record in list(answer)[:MAX_RECORDS]]


def lookup(server: str, name: str, type: str) -> list[str]:
    """``records`` by a resolver that asks ``server``."""
    return records(resolver(server), name, type)


def look_up(server: str, names: Iterable[str], type: str = "TXT", seconds: float | None = None) -> Heard:
    """Ask about all names at the same time; it takes ``seconds`` (``LIFETIME``) at most and raises nothing. Blocks."""
    names = tuple(dict.fromkeys(names))
    end = time.monotonic() + (LIFETIME if seconds is None else seconds)
    try:
        asked = resolver(server)
    except UnreachableError as error:
        return Heard({}, dict.fromkeys(names, str(error)))
    with ThreadPoolExecutor(AT_ONCE, "look-up") as threads:
        answers = list(threads.map(lambda name: _answer(asked, name, type, end), names))
    heard = list(zip(names, answers, strict=True))
    return Heard(
        {name: answer for name, answer in heard if isinstance(answer, tuple)},
        {name: answer for name, answer in heard if isinstance(answer, str)},
    )


def _answer(asked: dns.resolver.Resolver, name: str, type: str, end: float) -> tuple[str, ...] | str:
    """The records, or else why nobody knows them."""
    try:
        return tuple(records(asked, name, type, max(0.01, end - time.monotonic())))
    except UnreachableError as error:
        return str(error)


def _text(record: Any) -> str:
    strings = getattr(record, "strings", None)  # a long TXT record is cut into strings of 255 octets
    return str(record.to_text()) if strings is None else b"".join(strings).decode("utf-8", "replace")
