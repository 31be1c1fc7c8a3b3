"""Looks at what the world sees of us: addresses that mail leaves from, their names, SPF, and the way out."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import suppress

from postmeter.config import Settings
from postmeter.errors import UnreachableError
from postmeter.health import spf
from postmeter.health.finding import Finding, ok, problem, warning
from postmeter.health.sources import public, sources
from postmeter.health.spf import Address, Broken, Lookup

PATIENCE = 5.0  # seconds for a mail server to greet us
_UNKNOWN = "look again; if it stays so, see what the DNS server says"


def source_addresses(settings: Settings) -> Iterator[Finding]:
    """Which addresses mail leaves from."""
    check = "source addresses"
    if "*" in settings.delivery.routes:
        yield ok(check, f"all mail goes to {settings.delivery.routes['*']}, which delivers it from its own")
        return
    found = sources(settings)
    if not found:
        yield problem(check, "this machine has no way to the world", "give it a default route")
    for one in found:
        if one.is_global:
            yield ok(check, f"mail leaves from {one}")
        else:
            mend = "find out which address a translation (NAT) puts in its place, and look at that one's PTR record"
            yield warning(check, f"mail leaves from {one}, which is private: the world sees another one", mend)


def reverse_names(settings: Settings, lookup: Lookup) -> Iterator[Finding]:
    """Whether each address leads to our name and our name leads back: receivers refuse mail from others."""
    for one in public(sources(settings)):
        try:
            yield _reverse(one, settings.hostname, lookup)
        except UnreachableError as error:
            yield warning("reverse DNS", str(error), _UNKNOWN)


def sender_policy(settings: Settings, lookup: Lookup) -> Iterator[Finding]:
    """Whether the SPF record of our name lets our addresses send: it counts where the reverse path is empty."""
    check, name = "SPF of the host name", settings.hostname
    ours = public(sources(settings))
    try:
        refused = [str(one) for one in ours if spf.check(one, name, lookup) != "pass"]
        record = spf.record_in(lookup(name, "TXT"))
    except Broken as error:
        yield problem(check, f"receivers cannot use it: {error}", f"mend the TXT record of {name}")
        return
    except UnreachableError as error:
        yield warning(check, str(error), _UNKNOWN)
        return
    mend = f'publish for {name} the TXT record "v=spf1 a -all"'
    if record is None:
        yield warning(check, f"{name} has no SPF record", mend)
    elif refused:
        yield problem(check, f"it does not let {', '.join(refused)} send", mend)
    elif ours:
        yield ok(check, f"it lets us send: {record}")


def reachable(settings: Settings, lookup: Lookup) -> Iterator[Finding]:
    """Whether mail to our name, such as to postmaster, can arrive anywhere (RFC 5321, 4.5.1)."""
    check, name = "mail to the host name", settings.hostname
    try:
        exchanges = [text.split()[-1].rstrip(".") for text in lookup(name, "MX")]
        found = exchanges or [*lookup(name, "A"), *lookup(name, "AAAA")]
    except UnreachableError as error:
        yield warning(check, str(error), _UNKNOWN)
        return
    if found:
        yield ok(check, f"goes to {', '.join(found)}")
    else:
        mend = f"publish an MX record for {name} that leads to a server which takes mail to postmaster and abuse"
        yield warning(check, f"{name} has neither MX nor address records", mend)


def way_out(settings: Settings) -> Iterator[Finding]:
    """Whether port 25 is open outwards, by a server that the operator has named for it; it greets, we leave."""
    check, delivery = "port 25 outwards", settings.delivery
    if not delivery.probe:
        yield ok(check, "is not looked at: delivery.probe names no server")
        return
    where = f"{delivery.probe}:{delivery.port}"
    try:
        with socket.create_connection((delivery.probe, delivery.port), PATIENCE) as link:
            said = link.recv(512)
            with suppress(OSError):
                link.sendall(b"QUIT\r\n")
    except OSError as error:
        mend = "ask your provider to open port 25 outwards, and look at your own firewall"
        yield problem(check, f"{where} cannot be reached: {error.strerror or error}", mend)
        return
    if said.startswith(b"220"):
        yield ok(check, f"{where} greets")
    else:
        text = said[:60].decode("ascii", "replace").strip() or "nothing"
        yield warning(
            check, f"{where} says {text!r}", "name another server in delivery.probe, or ask why it refuses us"
        )


def _reverse(address: Address, hostname: str, lookup: Lookup) -> Finding:
    check, name = "reverse DNS", hostname.lower()
    names = [text.rstrip(".").lower() for text in lookup(address.reverse_pointer, "PTR")]
    mend = f"have your provider set the PTR record of {address} to {hostname}"
    if not names:
        return problem(check, f"{address} has no PTR record: many mail servers refuse us", mend)
    if names != [name]:
        return problem(check, f"{address} is called {', '.join(names)}, but we greet as {hostname}", mend)
    if address not in spf.addresses(lookup(name, "A" if address.version == 4 else "AAAA")):
        kind = "A" if address.version == 4 else "AAAA"
        mend = f"publish for {hostname} the {kind} record {address}"
        return problem(check, f"{address} is called {hostname}, but that name does not lead back to it", mend)
    return ok(check, f"{address} is {hostname}, and back")
