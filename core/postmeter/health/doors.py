"""Looks at the ways in and out: ports, certificate, host name and DNS."""

from __future__ import annotations

import errno
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import ip_address

import dns.exception
import dns.flags
import dns.resolver
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from postmeter import looking
from postmeter.certificate_files import Source, private_key
from postmeter.config import Settings, address, networks
from postmeter.health.finding import Finding, ok, problem, warning
from postmeter.store.quota import iso

PATIENCE = 5.0  # seconds for an answer
SLOW = 0.5  # seconds that a DNS server may take
SOON = 14 * 86_400  # seconds: a certificate that ends sooner should be renewed


def ports(settings: Settings) -> Iterator[Finding]:
    """Whether each port is free or answers as this relay."""
    smtp = settings.smtp
    listeners = [("smtp.submission", text) for text in smtp.submission]
    listeners += [("smtp.submissions", text) for text in smtp.submissions]
    listeners += [("smtp.reports", text) for text in smtp.reports]
    listeners += [("web.listen", settings.web.listen)] if settings.web.listen else []
    for name, text in listeners:
        host, port = address(name, text)
        yield _port(settings, name, host, port)


def certificate(settings: Settings) -> Iterator[Finding]:
    """Whether each certificate can be read, belongs to its key and is valid."""
    smtp = settings.smtp
    source = Source.first(settings)
    if smtp.certificate:
        yield _pair(source)
        yield from _names(source, settings.hostname)
    elif source.certificate.exists() and source.key.exists():
        text = f"{source.certificate} is self-signed: shops must be told not to check it"
        yield warning("certificate", text, "set smtp.certificate")
        yield _pair(source)
    else:
        yield ok("certificate", "a self-signed one will be made at the first start")
    for source in map(Source.of, smtp.certificates):
        yield _pair(source)


def hostname(settings: Settings) -> Iterator[Finding]:
    """Whether other mail servers can make something of our name."""
    name, mend = settings.hostname, "set server.hostname to a name that the DNS has an address for"
    if not is_public(name):
        yield warning("host name", f"{name} means nothing to other mail servers", mend)
        return
    try:
        found = sorted({str(info[4][0]) for info in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)})
    except OSError:
        yield warning("host name", f"{name} is not in the DNS: many mail servers will refuse us", mend)
        return
    if all(ip_address(text.partition("%")[0]).is_loopback for text in found):
        yield warning("host name", f"{name} is this machine only ({', '.join(found)})", mend)
    else:
        yield ok("host name", f"{name} has the addresses {', '.join(found)}")


def is_public(name: str) -> bool:
    """Whether a host name can mean something to others."""
    return "." in name and not name.endswith((".localdomain", ".local", ".localhost"))


def resolver(settings: Settings) -> Iterator[Finding]:
    """Whether the DNS answers, how fast, and whether it has validated what it says."""
    delivery = settings.delivery
    if "*" in delivery.routes:
        yield ok("DNS", f"is not asked: all mail goes to {delivery.routes['*']}")
        return
    asked = looking.resolver(delivery.resolver)
    asked.use_edns(0, dns.flags.DO, 1232)
    asked.flags = dns.flags.RD | dns.flags.AD
    begun, validated = time.monotonic(), False
    try:
        with suppress(dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):  # which are answers
            validated = bool(asked.resolve(".", "NS").response.flags & dns.flags.AD)
    except dns.exception.DNSException as error:
        yield problem("DNS", f"no answer: {error}", "set delivery.resolver to a DNS server that answers")
        return
    took, servers = time.monotonic() - begun, [str(server) for server in asked.nameservers]
    text = f"{', '.join(servers)} answers within {1000 * took:.0f} ms"
    yield ok("DNS", text) if took < SLOW else warning("DNS", text, "use a resolver that is near, best on this machine")
    yield _validating(servers, validated)


def _validating(servers: list[str], validated: bool) -> Finding:
    mend = "run a validating resolver on this machine, such as unbound, and set delivery.resolver to it"
    if not validated:
        return warning("DNSSEC", "answers are not validated", mend)
    if all(server.startswith("127.") or server == "::1" for server in servers):
        return ok("DNSSEC", "answers are validated on this machine")
    return warning("DNSSEC", "answers are validated, but on another machine, and the way from there is not safe", mend)


def _port(settings: Settings, name: str, host: str, port: int) -> Finding:
    where = f"{host}:{port} ({name})"
    try:
        family, kind, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        with socket.socket(family, kind) as door:
            door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            door.bind(place)
        return ok("ports", f"{where} is free")
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return _answering(settings, name, host, port)
        mend = "ports below 1024 need CAP_NET_BIND_SERVICE" if error.errno == errno.EACCES else f"change {name}"
        return problem("ports", f"{where} cannot be opened: {error.strerror}", mend)


def _answering(settings: Settings, name: str, host: str, port: int) -> Finding:
    """What a port in use says: our greeting, or something else's."""
    said = _greeting(settings, {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port, name)  # noqa: S104
    expected = b"HTTP/" if name == "web.listen" else f"220 {settings.hostname} ".encode()
    where = f"{host}:{port} ({name})"
    if said.startswith(expected):
        return ok("ports", f"{where} answers")
    text = said[:60].decode("ascii", "replace").strip() or "nothing"
    return problem("ports", f"{where} is in use by another program, which says {text!r}", f"stop it or change {name}")


def _greeting(settings: Settings, host: str, port: int, name: str) -> bytes:
    proxies = networks("smtp.proxies", settings.smtp.proxies)
    try:
        with socket.create_connection((host, port), PATIENCE) as link:
            if name.startswith("smtp.") and any(ip_address(link.getsockname()[0]) in network for network in proxies):
                link.sendall(b"PROXY UNKNOWN\r\n")  # whoever calls from there has to say for whom
            if name == "smtp.submissions":
                context = ssl.create_default_context()
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
                with context.wrap_socket(link) as inside:
                    return inside.recv(512)
            if name == "web.listen":
                link.sendall(b"HEAD / HTTP/1.0\r\n\r\n")
            return link.recv(512)
    except OSError:
        return b""


def _names(source: Source, hostname: str) -> Iterator[Finding]:
    """Whether the certificate is for our name; one that cannot be read is told of already."""
    try:
        found = x509.load_pem_x509_certificate(source.certificate.read_bytes())
        extension = found.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        names = [name.lower() for name in extension.value.get_values_for_type(x509.DNSName)]
    except (OSError, ValueError, UnsupportedAlgorithm, x509.ExtensionNotFound, x509.UnsupportedGeneralNameType):
        return
    check = "names of the certificate"
    if {hostname.lower(), f"*.{hostname.lower().partition('.')[2]}"} & set(names):
        yield ok(check, f"it is for {', '.join(names)}")
    else:
        mend = f"get one for {hostname}, or give shops a name that it is for"
        yield warning(
            check, f"it is for {', '.join(names) or 'no name'}, not for {hostname}: shops may refuse it", mend
        )


def _pair(source: Source) -> Finding:
    path, key = source.certificate, source.key
    try:
        found = x509.load_pem_x509_certificate(path.read_bytes())
        private = private_key(key.read_bytes())
    except OSError as error:
        return problem("certificate", f"{error.filename} cannot be read: {error.strerror}", f"see {source.setting}")
    except (ValueError, TypeError, UnsupportedAlgorithm):
        which = f"{path}" if path == key else f"{path} or {key}"
        return problem("certificate", f"{which} is not PEM, or the key is encrypted", f"see {source.setting}")
    if found.public_key() != private.public_key():
        return problem(
            "certificate", f"the key {key} does not belong to {path}", f"set {source.key_setting} to its key"
        )
    left = found.not_valid_after_utc.timestamp() - time.time()
    ends = iso(found.not_valid_after_utc.timestamp())
    if left < 0:
        return problem("certificate", f"{path} ended at {ends}", "renew it; the relay notices the new file")
    if left < SOON:
        return warning("certificate", f"{path} ends at {ends}", "renew it; the relay notices the new file")
    return ok("certificate", f"{path} is valid until {ends}")
