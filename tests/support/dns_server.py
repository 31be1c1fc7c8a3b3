"""A scriptable DNS server on real loopback sockets (UDP and TCP on one port)."""

from __future__ import annotations

import struct
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
from twisted.internet.defer import maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import DatagramProtocol, Protocol, ServerFactory

NXDOMAIN, SERVFAIL, SILENCE, TRUNCATED, FOREIGN = "NXDOMAIN", "SERVFAIL", "SILENCE", "TRUNCATED", "FOREIGN"


class DnsServer:
    """``zone`` maps ``("example.org", "MX")`` to records (texts such as ``"10 mx.example.org."``) or to a mishap.

    Mishaps: ``NXDOMAIN``, ``SERVFAIL``, ``SILENCE``, ``FOREIGN`` (an answer with the wrong id in front of the right
    one, which is then the zone's ``(name, "FOREIGN")``). ``truncated`` has the questions answered over TCP only.
    A name that has no entry does not exist; one that has another type's has no data. ``questions`` keeps what was
    asked as ``(name, type, "udp" | "tcp")``. With ``ad`` all is authentic but the questions in ``insecure``.
    """

    def __init__(self, zone: dict[tuple[str, str], list[str] | str], *, ttl: int = 300, ad: bool = False) -> None:
        self.zone = zone
        self.ttl = ttl
        self.ad = ad
        self.negative_ttl = 60
        self.insecure: set[tuple[str, str]] = set()
        self.truncated: set[tuple[str, str]] = set()
        self.questions: list[tuple[str, str, str]] = []
        self._ports: list[Any] = []

    def listen(self, reactor: Any) -> DnsServer:
        """Open for business; ``port`` says where."""
        for _ in range(20):
            udp = reactor.listenUDP(0, _Datagrams(self), interface="127.0.0.1")
            self.port: int = udp.getHost().port
            try:
                tcp = reactor.listenTCP(self.port, _Streams(self), interface="127.0.0.1")
            except CannotListenError:
                udp.stopListening()
                continue
            self._ports = [udp, tcp]
            return self
        raise RuntimeError("no port is free for both UDP and TCP")

    async def stop(self) -> None:
        """Close the ports."""
        for port in self._ports:
            await maybeDeferred(port.stopListening)

    def respond(self, wire: bytes, transport: str) -> list[bytes]:
        """The datagrams that answer this one."""
        query = dns.message.from_wire(wire)
        question = query.question[0]
        name, type = question.name.to_text(omit_final_dot=True).lower(), dns.rdatatype.to_text(question.rdtype)
        self.questions.append((name, type, transport))
        entry = self.zone.get((name, type))
        if entry == SILENCE:
            return []
        response = self._response(query, name, type, entry)
        if transport == "udp" and (name, type) in self.truncated:
            response = dns.message.make_response(query)
            response.flags |= dns.flags.TC
        right = response.to_wire(max_size=65_535)
        if entry == FOREIGN:
            return [bytes([right[0] ^ 1]) + right[1:], b"nonsense", right]
        return [right]

    def _response(self, query: Any, name: str, type: str, entry: list[str] | str | None) -> Any:
        response = dns.message.make_response(query, recursion_available=True)
        if self.ad and (name, type) not in self.insecure:
            response.flags |= dns.flags.AD
        if entry == FOREIGN:
            entry = self.zone[name, FOREIGN]
        if entry == SERVFAIL:
            response.set_rcode(dns.rcode.SERVFAIL)
        elif isinstance(entry, list):
            response.answer.append(dns.rrset.from_text_list(f"{name}.", self.ttl, "IN", type, entry))
        elif (name, "CNAME") in self.zone:
            self._follow(response, name, type)
        else:
            if not any(known == name for known, _ in self.zone) or entry == NXDOMAIN:
                response.set_rcode(dns.rcode.NXDOMAIN)
            soa = f"ns.test. root.test. 1 3600 600 86400 {self.negative_ttl}"
            response.authority.append(dns.rrset.from_text("test.", 86_400, "IN", "SOA", soa))
        return response

    def _follow(self, response: Any, name: str, type: str) -> None:
        for _ in range(50):
            target = self.zone.get((name, "CNAME"))
            if not isinstance(target, list):
                break
            response.answer.append(dns.rrset.from_text_list(f"{name}.", self.ttl, "IN", "CNAME", target))
            name = target[0].rstrip(".").lower()
        records = self.zone.get((name, type))
        if isinstance(records, list):
            response.answer.append(dns.rrset.from_text_list(f"{name}.", self.ttl, "IN", type, records))


class _Datagrams(DatagramProtocol):
    def __init__(self, server: DnsServer) -> None:
        self._server = server

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        for wire in self._server.respond(datagram, "udp"):
            self.transport.write(wire, addr)


class _Streams(ServerFactory):
    noisy = False

    def __init__(self, server: DnsServer) -> None:
        self._server = server

    def buildProtocol(self, addr: Any) -> _Stream:
        return _Stream(self._server)


class _Stream(Protocol):
    def __init__(self, server: DnsServer) -> None:
        self._server = server
        self._buffer = b""

    def dataReceived(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= 2 and len(self._buffer) >= 2 + (size := struct.unpack("!H", self._buffer[:2])[0]):
            wire, self._buffer = self._buffer[2 : 2 + size], self._buffer[2 + size :]
            for answer in self._server.respond(wire, "tcp"):
                self.transport.write(struct.pack("!H", len(answer)) + answer)
