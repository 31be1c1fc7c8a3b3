"""The scriptable DNS server in a thread of its own, for tests that wait without a reactor (UDP only)."""

from __future__ import annotations

import socketserver
import threading
from typing import Any

from support.dns_server import DnsServer


class DnsThread:
    """Answers on a loopback port with a ``DnsServer``'s zone until ``close``."""

    def __init__(self, zone: dict[tuple[str, str], list[str] | str], *, ad: bool = False) -> None:
        answers = DnsServer(zone, ad=ad)

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                datagram, sock = self.request
                for wire in answers.respond(datagram, "udp"):
                    sock.sendto(wire, self.client_address)

        self.questions = answers.questions
        self._server: Any = socketserver.UDPServer(("127.0.0.1", 0), Handler)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
