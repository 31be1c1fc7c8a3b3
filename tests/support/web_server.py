"""A web server on the loopback that says, octet by octet, what a test wants it to say."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

Answer = Callable[[socket.socket], object]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


@dataclass
class WebServer:
    """``requests`` are what came over each connection; ``stopped`` is set when the test is over."""

    port: int
    requests: list[bytes] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)


def saying(octets: bytes) -> Answer:
    """An answer that is said at once."""
    return lambda connection: connection.sendall(octets)


friendly = saying(OK)


@contextmanager
def web_server(answer: Answer = friendly, tls: ssl.SSLContext | None = None) -> Iterator[WebServer]:
    """Serve one connection after the other in a thread: read a request to its end, answer, close."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = WebServer(listening.getsockname()[1])
        thread = threading.Thread(target=_serve, args=(listening, server, answer, tls), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.stopped.set()
            listening.shutdown(socket.SHUT_RDWR)
            thread.join(10)


def _serve(listening: socket.socket, server: WebServer, answer: Answer, tls: ssl.SSLContext | None) -> None:
    while not server.stopped.is_set():
        with suppress(OSError):
            plain, _ = listening.accept()
            plain.settimeout(10)
            with tls.wrap_socket(plain, server_side=True) if tls else plain as connection:
                server.requests.append(_read(connection))
                answer(connection)


def _read(connection: socket.socket) -> bytes:
    request = b""
    while not _is_whole(request):
        more = connection.recv(65_536)
        if not more:
            break
        request += more
    return request


def _is_whole(request: bytes) -> bool:
    head, end, body = request.partition(b"\r\n\r\n")
    _, _, rest = head.lower().partition(b"content-length: ")
    return bool(end) and len(body) >= int(rest.split(b"\r\n")[0] or 0)
