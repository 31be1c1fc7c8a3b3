"""An HTTP client for plugins: one request, to a public address, within one time limit; nothing is followed or kept."""

from __future__ import annotations

import ipaddress
import re
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import lru_cache
from queue import Empty, SimpleQueue
from types import MappingProxyType
from typing import Any

import h11

from postmeter.addresses import is_public
from postmeter.errors import PostmeterError
from postmeter.message.originator import a_labels

MAX_BODY = 65_536  # octets of an answer's body
MAX_HEADER = 16_384  # octets of an answer's header section
MAX_ADDRESSES = 5  # that are tried
CHUNK = 16_384  # octets sent or received at once
PORTS = {"https": 443, "http": 80}
NO_FIELDS: Mapping[str, str] = MappingProxyType({})

# A closed grammar instead of a forgiving parser: no user name, no zone, no backslash, no white space (RFC 3986, 3).
_URL = re.compile(r"(?i:(https?))://(\[[0-9A-Fa-f:.]+\]|[^\[\]/?#@:\\\s]+)(?::([0-9]{1,5}))?([/?][!-\"$-~]*)?(?:#.*)?")
_NUMBER = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)")  # what some take for an IPv4 address: 127.1, 0x7f000001

Address = tuple[socket.AddressFamily, Any]  # as ``socket.connect`` takes it


@dataclass(frozen=True, slots=True)
class Fetched:
    """An answer, of whatever status. ``headers`` are by lower-case name; ``body`` is cut off behind ``max_body``."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def retry_after(self, now: float, most: float) -> float:
        """Seconds, ``most`` at most, that Retry-After asks to wait (RFC 9110, 10.2.3); 0 when it says nothing.

        ``now`` is the time in seconds since the epoch.
        """
        text = self.headers.get("retry-after", "").strip()
        return max(0.0, min(_seconds_of(text, now), most))


class FetchError(PostmeterError):
    """There is no answer; the text says why."""


class UntrustedError(FetchError):
    """There is none that could be believed: the certificate of the server cannot be trusted."""


@dataclass(frozen=True, slots=True)
class Target:
    """A URL taken apart; ``host`` is a name in A-labels without final dot or an address, ``path`` has the query."""

    scheme: str
    host: str
    port: int
    path: str

    @classmethod
    def parse(cls, url: str) -> Target:
        """Read a URL; FetchError when it is none of http or https, or one that could be read in two ways."""
        found = _URL.fullmatch(url)
        if found is None:
            raise _bad(url)
        scheme, host, port, path = found[1].lower(), found[2], found[3], found[4] or "/"
        number = int(port) if port else PORTS[scheme]
        if not 0 < number < 65_536:
            raise _bad(url)
        try:
            return cls(scheme, _host(host), number, path if path.startswith("/") else f"/{path}")
        except ValueError:
            raise _bad(url) from None

    @property
    def authority(self) -> str:
        """What the field Host says (RFC 9110, 7.2)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"


class Deadline:
    """The end of the time that a request has in all."""

    def __init__(self, host: str, seconds: float) -> None:
        self._host = host
        self._seconds = seconds
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds until then; FetchError when it has come."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise self.over()
        return left

    def over(self) -> FetchError:
        """What to say then."""
        return FetchError(f"{self._host} did not answer within {self._seconds:g} seconds")


def fetch(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] = NO_FIELDS,
    body: bytes = b"",
    timeout: float = 10.0,
    allow_private: bool = False,
    ca_file: str = "",
    max_body: int = MAX_BODY,
) -> Fetched:
    """Send one request and give the answer, of whatever status; redirects are not followed. Blocks.

    ``timeout`` is the limit in seconds for everything together, from the look-up of the name to the last octet.
    Only https to public addresses: the name is looked up once, all its addresses are judged, and one of those is
    connected to. ``allow_private`` allows all addresses, and http. Certificates are verified by the system's
    authorities and those in ``ca_file`` (PEM). No proxy, cookie or password of the environment is used.
    FetchError when there is no answer.
    """
    check_url(url, allow_private=allow_private)
    target = Target.parse(url)
    deadline = Deadline(target.host, timeout)
    octets = _request(target, method, headers, body)
    try:
        with _open(target, _addresses(target, deadline, allow_private), deadline, ca_file) as connection:
            return _exchange(connection, *octets, deadline, max_body)
    except TimeoutError:
        raise deadline.over() from None
    except ssl.SSLCertVerificationError as error:
        raise UntrustedError(f"the certificate of {target.host} cannot be trusted: {error.verify_message}") from None
    except OSError as error:
        raise FetchError(f"{target.host} cannot be reached: {error.strerror or error}") from None
    except h11.ProtocolError as error:
        raise FetchError(f"{target.host} does not answer as a web server does: {error}") from None


def check_url(url: str, *, allow_private: bool = False) -> str:
    """The URL as it is asked, without a fragment; FetchError when ``fetch`` would refuse it whatever it leads to.

    Host and port are as in the field Host: who signs a URL has to sign this one.
    """
    target = Target.parse(url)
    if target.scheme != "https" and not allow_private:
        raise FetchError(f"{target.host} would be asked in clear text; only https is allowed")
    with suppress(ValueError):
        _check_public(target.host, str(ipaddress.ip_address(target.host)), allow_private)
    return f"{target.scheme}://{target.authority}{target.path}"


def _seconds_of(text: str, now: float) -> float:
    if text.isascii() and text.isdecimal():
        return float(text)
    try:
        then = parsedate_to_datetime(text)
        return (then if then.tzinfo else then.replace(tzinfo=UTC)).timestamp() - now
    except (ValueError, ArithmeticError):
        return 0.0


def _bad(url: str) -> FetchError:
    return FetchError(f"{url[:200]!a} is not a URL such as https://shop.example/path")


def _host(text: str) -> str:
    """A host as it is looked up; ValueError when it is no name and no address in its usual form."""
    if text.startswith("["):
        return str(ipaddress.IPv6Address(text[1:-1]))
    name = a_labels(text.removesuffix("."))
    return str(ipaddress.IPv4Address(name)) if _NUMBER.fullmatch(name) else name


def _request(target: Target, method: str, headers: Mapping[str, str], body: bytes) -> tuple[h11.Connection, bytes]:
    """The request as octets, and the machine that reads the answer to it."""
    fields = {"user-agent": "Postmeter", "accept-encoding": "identity"}
    fields |= {name.lower(): value for name, value in headers.items()}
    fields |= {"host": target.authority, "connection": "close"}
    if body or method not in ("GET", "HEAD", "DELETE"):
        fields["content-length"] = str(len(body))
    machine = h11.Connection(h11.CLIENT, MAX_HEADER)
    try:
        head = machine.send(h11.Request(method=method, target=target.path, headers=list(fields.items())))
        rest = [machine.send(event) for event in (h11.Data(data=body), h11.EndOfMessage())]
    except (h11.LocalProtocolError, UnicodeError):  # says the value, which may be secret
        raise FetchError("the request has a field that cannot be sent") from None
    return machine, b"".join([part or b"" for part in (head, *rest)])


def _addresses(target: Target, deadline: Deadline, allow_private: bool) -> list[Address]:
    """Where the host is; FetchError when any of its addresses is not for strangers to choose."""
    answers: SimpleQueue[list[Address] | OSError] = SimpleQueue()
    threading.Thread(target=_look_up, args=(target, answers), name="look-up", daemon=True).start()
    try:
        found = answers.get(timeout=deadline.left())  # the system's own limit may be a minute
    except Empty:
        raise deadline.over() from None
    if isinstance(found, OSError):
        raise FetchError(f"the address of {target.host} cannot be found: {found.strerror or found}")
    for _, address in found:
        _check_public(target.host, address[0], allow_private)
    return found[:MAX_ADDRESSES]


def _look_up(target: Target, answers: SimpleQueue[list[Address] | OSError]) -> None:
    try:
        found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    except OSError as error:
        answers.put(error)
    else:
        answers.put([(family, address) for family, _, _, _, address in found])


def _check_public(host: str, address: str, allow_private: bool) -> None:
    if not (allow_private or is_public(address)):
        where = host if host == address else f"{host} ({address})"
        raise FetchError(f"{where} is not a public address, so nothing is sent there")


def _open(target: Target, addresses: list[Address], deadline: Deadline, ca_file: str) -> socket.socket:
    """A connection to one of the addresses, in TLS if so asked; each has its part of the time."""
    for number, (family, address) in enumerate(addresses):
        connection = socket.socket(family, socket.SOCK_STREAM)
        try:
            connection.settimeout(deadline.left() / (len(addresses) - number))
            connection.connect(address)
            if target.scheme == "http":
                return connection
            connection.settimeout(deadline.left())
            return _tls(ca_file).wrap_socket(connection, server_hostname=target.host)
        except ssl.SSLError:
            connection.close()
            raise
        except OSError:
            connection.close()
            if number + 1 == len(addresses):
                raise
        except BaseException:
            connection.close()
            raise
    raise FetchError(f"{target.host} has no address")


@lru_cache(maxsize=8)
def _tls(ca_file: str) -> ssl.SSLContext:
    """What verifies a server; reading the system's authorities takes some 20 ms."""
    context = ssl.create_default_context()
    if ca_file:
        try:
            context.load_verify_locations(ca_file)
        except OSError as error:
            raise FetchError(f"the certificates in {ca_file} cannot be read: {error.strerror or error}") from None
    context.set_alpn_protocols(["http/1.1"])
    return context


def _exchange(
    connection: socket.socket, machine: h11.Connection, octets: bytes, deadline: Deadline, max_body: int
) -> Fetched:
    with suppress(ConnectionError):  # who has answered before the end need not read the rest
        while octets:
            connection.settimeout(deadline.left())
            octets = octets[connection.send(octets[:CHUNK]) :]
    response, body = None, b""
    while len(body) <= max_body:
        event = machine.next_event()
        if event is h11.NEED_DATA:
            connection.settimeout(deadline.left())
            machine.receive_data(connection.recv(CHUNK))
        elif isinstance(event, h11.Response):
            response = event
        elif isinstance(event, h11.Data):
            body += event.data
        elif not isinstance(event, h11.InformationalResponse):
            break
    if response is None:
        raise FetchError("the server switches to another protocol")
    return Fetched(response.status_code, _fields(response), body[:max_body])


def _fields(response: h11.Response) -> dict[str, str]:
    """The header fields by name; those of one name become one (RFC 9110, 5.3)."""
    fields: dict[str, str] = {}
    for name, value in response.headers:
        key, text = name.decode("ascii"), value.decode("latin-1")
        fields[key] = f"{fields[key]}, {text}" if key in fields else text
    return fields
