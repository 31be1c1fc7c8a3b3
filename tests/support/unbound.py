"""Debian's unbound as a validating resolver of zones of our own: signed, tampered with afterwards, unsigned."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import dns.dnssec
import dns.exception
import dns.message
import dns.name
import dns.query
import dns.rdata
import dns.rdataset
import dns.rdatatype
import dns.zone
from cryptography.hazmat.primitives.asymmetric import ec
from dns.dnssectypes import Algorithm
from dns.rdtypes.ANY.DNSKEY import DNSKEY
from dns.rdtypes.dnskeybase import Flag

from support.foreign import need_program

TOP = "example"  # whose key unbound is told to trust; it knows nothing above it and asks nobody
TTL = 300
STARTS = 15.0  # seconds it may take

CONFIGURATION = """
server:
    interface: 127.0.0.1
    port: {port}
    do-daemonize: no
    use-syslog: no
    logfile: ""
    log-servfail: yes
    username: ""
    chroot: ""
    pidfile: ""
    directory: "{folder}"
    module-config: "validator iterator"
    trust-anchor-file: "{folder}/anchor"
    do-not-query-localhost: no
    local-zone: "." refuse
    local-zone: "{top}." transparent
remote-control:
    control-enable: no
"""
ZONE = """
auth-zone:
    name: "{name}."
    zonefile: "{folder}/{name}.zone"
    for-upstream: yes
    for-downstream: no
    fallback-enabled: no
"""


@dataclasses.dataclass(frozen=True)
class Zone:
    """A zone below ``TOP``: records by name and type. ``forged`` are put in the place of those that were signed."""

    records: Mapping[tuple[str, str], list[str]]
    signed: bool = True
    forged: Mapping[tuple[str, str], list[str]] = dataclasses.field(default_factory=dict)


class _Key:
    """One key that signs a zone, and itself."""

    def __init__(self) -> None:
        self.private = ec.generate_private_key(ec.SECP256R1())
        flags = Flag.ZONE | Flag.SEP
        self.public: DNSKEY = dns.dnssec.make_dnskey(self.private.public_key(), Algorithm.ECDSAP256SHA256, flags)

    def sign(self, zone: dns.zone.Zone) -> None:
        dns.dnssec.sign_zone(zone, keys=[(self.private, self.public)], lifetime=86_400, inception=time.time() - 3_600)


@contextlib.contextmanager
def unbound(folder: Path, zones: Mapping[str, Zone]) -> Iterator[int]:
    """Run it with zones by their names (``signed.example``); the port it answers at."""
    program = need_program("unbound")
    folder.mkdir()
    port = _free_port()
    _write_zones(folder, zones)
    text = CONFIGURATION.format(port=port, folder=folder, top=TOP)
    text += "".join(ZONE.format(name=name, folder=folder) for name in (TOP, *zones))
    (folder / "unbound.conf").write_text(text)
    with (folder / "log").open("wb") as log:
        running = subprocess.Popen([program, "-d", "-c", str(folder / "unbound.conf")], stdout=log, stderr=log)
    try:
        _wait_for_answer(running, port, folder)
        yield port
    finally:
        running.terminate()
        running.wait(STARTS)


def _write_zones(folder: Path, zones: Mapping[str, Zone]) -> None:
    """Each zone, and the one above them, which says by which key a zone is signed (DS), or that it is not."""
    top = _zone(TOP, {})
    for name, content in zones.items():
        made = _zone(name, content.records)
        _put(top, name, "NS", [f"ns.{name}."])
        _put(top, f"ns.{name}", "A", ["127.0.0.1"])
        if content.signed:
            key = _Key()
            key.sign(made)
            digest = dns.dnssec.make_ds(dns.name.from_text(name), key.public, "SHA256")
            _put(top, name, "DS", [digest.to_text()])
        for (owner, type), texts in content.forged.items():
            _put(made, owner, type, texts)
        made.to_file(str(folder / f"{name}.zone"), relativize=False)
    key = _Key()
    key.sign(top)
    top.to_file(str(folder / f"{TOP}.zone"), relativize=False)
    (folder / "anchor").write_text(f"{TOP}. IN DNSKEY {key.public.to_text()}\n")


def _zone(name: str, records: Mapping[tuple[str, str], list[str]]) -> dns.zone.Zone:
    made = dns.zone.Zone(dns.name.from_text(name), relativize=False)
    _put(made, name, "SOA", [f"ns.{name}. root.{name}. 1 3600 900 86400 60"])
    _put(made, name, "NS", [f"ns.{name}."])
    _put(made, f"ns.{name}", "A", ["127.0.0.1"])
    for (owner, type), texts in records.items():
        _put(made, owner, type, texts)
    return made


def _put(zone: dns.zone.Zone, owner: str, type: str, texts: list[str]) -> None:
    zone.replace_rdataset(owner + ".", dns.rdataset.from_text_list("IN", type, TTL, texts))


def _wait_for_answer(running: subprocess.Popen[bytes], port: int, folder: Path) -> None:
    question = dns.message.make_query(f"{TOP}.", dns.rdatatype.SOA)
    end = time.monotonic() + STARTS
    while time.monotonic() < end and running.poll() is None:
        with contextlib.suppress(dns.exception.Timeout, OSError):
            if dns.query.udp(question, "127.0.0.1", port=port, timeout=0.2).answer:
                return
        time.sleep(0.05)
    raise RuntimeError(f"unbound does not answer:\n{(folder / 'log').read_text()}")


def _free_port() -> int:
    """One that is free for UDP and TCP."""
    while True:
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            tcp.bind(("127.0.0.1", 0))
            port: int = tcp.getsockname()[1]
            with contextlib.suppress(OSError):
                udp.bind(("127.0.0.1", port))
                return port
