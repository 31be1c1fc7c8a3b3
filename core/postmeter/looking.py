"""Looks records up while a person waits, for commands and panel (the relay itself has its own resolver)."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import dns.exception
import dns.flags
import dns.message
import dns.nameserver
import dns.resolver

from postmeter.config import address
from postmeter.dns_response import matching
from postmeter.errors import UnreachableError

LIFETIME = 6.0  # seconds for all that is asked together
AT_ONCE = 8  # questions under way
MAX_RECORDS = 20  # of one name that are read
MOST_LABELS = 40  # of a name in an answer: the reverse of an IPv6 address has 35
_LENGTH = struct.Struct("!H")  # of a message over TCP (RFC 1035, 4.2.2)


@dataclass(frozen=True, slots=True)
class Heard:
    """What the DNS says about some names: the records of each, and about which it gives no answer, and why."""

    records: Mapping[str, tuple[str, ...]]
    unknown: Mapping[str, str]


class Nameserver(dns.nameserver.Do53Nameserver):
    """A server of whose responses no more is read than is of use.

    Who is asked about a name may be whoever it belongs to, and dnspython would take 20 s for the worst of 64 kB.
    """

    def query(
        self,
        request: dns.message.QueryMessage,
        timeout: float,
        source: str | None,
        source_port: int,
        max_size: bool,
        one_rr_per_rrset: bool = False,
        ignore_trailing: bool = False,
    ) -> dns.message.Message:
        """The response; Truncated when it has to be asked for with ``max_size`` (over TCP), else Timeout or OSError."""
        end = time.monotonic() + timeout
        try:
            return self._over_tcp(request, end) if max_size else self._over_udp(request, end)
        except TimeoutError:
            raise dns.exception.Timeout from None

    def _over_udp(self, request: dns.message.Message, end: float) -> dns.message.Message:
        with socket.socket(socket.AF_INET6 if ":" in self.address else socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect((self.address, self.port))  # the kernel drops what comes from anywhere else
            sock.send(request.to_wire())
            while True:
                sock.settimeout(_left(end))
                response = matching(request, sock.recv(65_535), MOST_LABELS)
                if response is not None and response.flags & dns.flags.TC:
                    raise dns.message.Truncated
                if response is not None:
                    return response

    def _over_tcp(self, request: dns.message.Message, end: float) -> dns.message.Message:
        wire = request.to_wire()
        with socket.create_connection((self.address, self.port), _left(end)) as sock:
            sock.sendall(_LENGTH.pack(len(wire)) + wire)
            (length,) = _LENGTH.unpack(_received(sock, _LENGTH.size, end))
            response = matching(request, _received(sock, length, end), MOST_LABELS)
        if response is None:
            raise dns.exception.FormError  # no response to what was asked, or one with very long names
        return response


def _received(sock: socket.socket, length: int, end: float) -> bytes:
    """So many octets; EOFError when there are no more."""
    data = b""
    while len(data) < length:
        sock.settimeout(_left(end))
        if not (more := sock.recv(length - len(data))):
            raise EOFError("the DNS server has closed the connection")
        data += more
    return data


def _left(end: float) -> float:
    """Seconds; TimeoutError when there are none."""
    if (left := end - time.monotonic()) <= 0:
        raise TimeoutError
    return left


def resolver(server: str) -> dns.resolver.Resolver:
    """A resolver that asks ``server`` (address and port), or the system's when empty; UnreachableError: it has none."""
    try:
        made = dns.resolver.Resolver(configure=not server)
    except dns.exception.DNSException as error:
        raise UnreachableError(f"the system has no DNS server ({error}); set delivery.resolver") from None
    if server:
        asked = [address("delivery.resolver", server)]
    else:
        asked = [(str(found), made.port) for found in made.nameservers]
    made.nameservers = [Nameserver(*found) for found in asked]
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
