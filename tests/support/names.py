"""A DNS server in a thread, for commands that wait for its answer."""

from __future__ import annotations

import socket
import threading
from collections.abc import Mapping, Sequence

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset


class NameServer:
    """Answers TXT questions from ``texts`` (long ones cut into strings), and MX questions from ``exchanges``.

    All others are answered NXDOMAIN, or ``rcode``.
    """

    def __init__(
        self,
        texts: Mapping[str, Sequence[str]],
        rcode: dns.rcode.Rcode = dns.rcode.NXDOMAIN,
        exchanges: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self._texts = texts
        self._exchanges = exchanges or {}
        self._rcode = rcode
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve)
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"

    def __enter__(self) -> NameServer:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as knock:
            knock.sendto(b"", self._socket.getsockname())
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            octets, client = self._socket.recvfrom(4096)
            if not octets:
                return
            query = dns.message.from_wire(octets)
            self._socket.sendto(self._answer(query).to_wire(), client)

    def _answer(self, query: dns.message.Message) -> dns.message.Message:
        reply = dns.message.make_response(query)
        reply.flags |= dns.flags.RA
        name = query.question[0].name.to_text(omit_final_dot=True)
        if query.question[0].rdtype == dns.rdatatype.MX and name in self._exchanges:
            reply.answer.append(dns.rrset.from_text(query.question[0].name, 60, "IN", "MX", *self._exchanges[name]))
            return reply
        found = self._texts.get(name)
        if found is None:
            reply.set_rcode(self._rcode)
            return reply
        for text in found:
            strings = " ".join(f'"{text[place : place + 255]}"' for place in range(0, len(text), 255))
            reply.answer.append(dns.rrset.from_text(query.question[0].name, 60, "IN", "TXT", strings))
        return reply
