"""The scriptable DNS server in threads of its own, for tests that wait without a reactor."""

from __future__ import annotations

import contextlib
import socketserver
import struct
import threading
from typing import Any

from support.dns_server import DnsServer


class DnsThread:
    """Answers on a loopback port with a ``DnsServer``'s zone until ``close``; ``truncated`` over TCP alone."""

    def __init__(
        self,
        zone: dict[tuple[str, str], list[str] | str],
        *,
        ad: bool = False,
        truncated: set[tuple[str, str]] | None = None,
    ) -> None:
        answers = DnsServer(zone, ad=ad)
        answers.truncated |= truncated or set()

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                datagram, sock = self.request
                for wire in answers.respond(datagram, "udp"):
                    sock.sendto(wire, self.client_address)

        class Stream(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                (length,) = struct.unpack("!H", self.rfile.read(2))
                for wire in answers.respond(self.rfile.read(length), "tcp"):
                    self.wfile.write(struct.pack("!H", len(wire)) + wire)

        self.questions = answers.questions
        self._servers: list[Any] = _bound(Handler, Stream)
        self.port: int = self._servers[0].server_address[1]
        self._threads = [
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True) for server in self._servers
        ]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Answer no more."""
        for server, thread in zip(self._servers, self._threads, strict=True):
            server.shutdown()
            thread.join()
            server.server_close()


def _bound(datagrams: Any, streams: Any) -> list[Any]:
    """A server for each, both on one port of the same number."""
    while True:
        udp = socketserver.UDPServer(("127.0.0.1", 0), datagrams)
        with contextlib.suppress(OSError):
            return [udp, socketserver.TCPServer(udp.server_address, streams)]
        udp.server_close()
