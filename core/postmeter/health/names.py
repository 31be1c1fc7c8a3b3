"""Looks at what the world sees of us: addresses that mail leaves from, their names, SPF, and the way out."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import suppress

from postmeter.config import Settings
from postmeter.errors import UnreachableError
from postmeter.health import spf
from postmeter.health.finding import Finding, ok, problem, warning
from postmeter.health.sources import Ours, public, sources
from postmeter.health.spf import Address, Broken, Lookup
from postmeter.source import is_here

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
        yield leaves(one)


def reverse_names(settings: Settings, lookup: Lookup) -> Iterator[Finding]:
    """Whether each address leads to its name and that leads back: receivers refuse mail from others."""
    for one in public(sources(settings)):
        yield reverse(one, lookup)


def sender_policy(settings: Settings, lookup: Lookup) -> Iterator[Finding]:
    """Whether the SPF record of each of our names lets its addresses send: it counts where the reverse path is empty.

    RFC 7208, 2.4.
    """
    ours = public(sources(settings))
    for name in dict.fromkeys([settings.hostname, *(one.name for one in ours)]):
        yield _policy(name, [one.address for one in ours if one.name == name], lookup)


def _policy(name: str, ours: list[Address], lookup: Lookup) -> Finding:
    check = "SPF of the host name"
    try:
        refused = [str(one) for one in ours if spf.check(one, name, lookup) != "pass"]
        record = spf.record_in(lookup(name, "TXT"))
    except Broken as error:
        return problem(check, f"receivers cannot use it: {error}", f"mend the TXT record of {name}")
    except UnreachableError as error:
        return warning(check, str(error), _UNKNOWN)
    mend = f'publish for {name} the TXT record "v=spf1 a -all"'
    if record is None:
        return warning(check, f"{name} has no SPF record", mend)
    if refused:
        return problem(check, f"{name} does not let {', '.join(refused)} send", mend)
    return ok(check, f"{name} lets us send: {record}")


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


def reverse(ours: Ours, lookup: Lookup) -> Finding:
    """Whether an address leads to the name that EHLO says there, and that name back."""
    check, address, name = "reverse DNS", ours.address, ours.name.lower()
    kind = "A" if address.version == 4 else "AAAA"
    try:
        names = [text.rstrip(".").lower() for text in lookup(address.reverse_pointer, "PTR")]
        back = spf.addresses(lookup(name, kind)) if names == [name] else ()
    except UnreachableError as error:
        return warning(check, str(error), _UNKNOWN)
    mend = f"have your provider set the PTR record of {address} to {ours.name}"
    if not names:
        return problem(check, f"{address} has no PTR record: many mail servers refuse us", mend)
    if names != [name]:
        return problem(check, f"{address} is called {', '.join(names)}, but we greet as {ours.name}", mend)
    if address not in back:
        mend = f"publish for {ours.name} the {kind} record {address}"
        return problem(check, f"{address} is called {ours.name}, but that name does not lead back to it", mend)
    return ok(check, f"{address} is {ours.name}, and back")


def leaves(ours: Ours) -> Finding:
    """Whether mail can leave from an address, and whether that is the one that the world sees."""
    check, address = "source addresses", ours.address
    if ours.pools and not is_here(str(address)):
        text = f"this machine does not have {address} of {', '.join(ours.pools)}: no mail leaves from it"
        return problem(check, text, "give the machine this address, or take it out of delivery.pools")
    if not address.is_global:
        mend = "find out which address a translation (NAT) puts in its place, and look at that one's PTR record"
        return warning(check, f"mail leaves from {address}, which is private: the world sees another one", mend)
    return ok(check, f"mail leaves from {address}")
