"""Listening sockets: bound by the supervisor, one for each worker, and served by it."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from typing import Any

from twisted.internet import tcp
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Factory

from postmeter.config import address
from postmeter.errors import UnreachableError
from postmeter.server.protocol import Reception, SubmissionProtocol
from postmeter.server.visit import Visit

BACKLOG = 1024


class VisitFactory(Factory):
    """Makes the protocol of a new client."""

    noisy = False

    def __init__(self, make: Callable[[], Visit]) -> None:
        self._make = make

    def buildProtocol(self, addr: object) -> Visit:
        """One client."""
        return self._make()


class PromptServer(tcp.Server):
    """Sends a reply at once, where Twisted asks the kernel first whether it may: two system calls and a turn less."""

    _waiting = False  # for the kernel to take more

    def startWriting(self) -> None:
        """Send what was just written, unless there is more before it; what ends the link is left to the reactor."""
        if self._tempDataBuffer and not self._waiting:
            self._waiting = True  # not again while we are at it
            if self.doWrite() is None and not self.dataBuffer:  # type: ignore[no-untyped-call]
                return
        self._waiting = True
        super().startWriting()  # type: ignore[no-untyped-call]

    def stopWriting(self) -> None:
        """All is sent."""
        self._waiting = False
        super().stopWriting()  # type: ignore[no-untyped-call]


def bind(setting: str, text: str, count: int = 1) -> list[socket.socket]:
    """Listening sockets on ``host:port``, one for each of ``count`` processes; UnreachableError says why not.

    The kernel deals new clients out to the sockets evenly. They outlive a process that dies: its clients wait until
    it is back, which is soon. Of a process that does not come back they must be closed, or its clients wait for nobody.
    """
    host, port = address(setting, text)
    try:
        _bound(host, port, shared=False).close()  # somebody else's sharing socket would not be noticed below
        bound = [_bound(host, port, shared=True) for _ in range(count)]
        for sock in bound:
            sock.listen(BACKLOG)
        return bound
    except OSError as error:
        raise UnreachableError(f"{setting}: cannot listen on {text}: {_why(error)}") from None


def bind_again(setting: str, text: str) -> socket.socket:
    """One more socket on an address of ours; UnreachableError as ``bind``.

    It does not listen yet: the process that gets it does, once it is there.
    """
    try:
        return _bound(*address(setting, text), shared=True)
    except OSError as error:
        raise UnreachableError(f"{setting}: cannot listen on {text}: {_why(error)}") from None


def _bound(host: str, port: int, shared: bool) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.bind((host, port))
        listening.setblocking(False)
    except OSError:
        listening.close()
        raise
    return listening


def _why(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "the port is in use; is Postmeter, or another mail server, running already?"
    if error.errno == errno.EACCES:
        return "ports below 1024 need the capability CAP_NET_BIND_SERVICE"
    return error.strerror or str(error)


def listen(reactor: Any, descriptor: int, reception: Reception, implicit_tls: bool) -> IListeningPort:
    """Serve submission on an inherited listening socket."""
    return serve(reactor, descriptor, lambda: SubmissionProtocol(reception, implicit_tls))


def serve(reactor: Any, descriptor: int, make: Callable[[], Visit]) -> IListeningPort:
    """Serve on an inherited listening socket; ``make`` makes the protocol of each client."""
    factory = VisitFactory(make)
    with socket.socket(fileno=os.dup(descriptor)) as inherited:
        kind = inherited.family
        inherited.listen(BACKLOG)
    port: Any = reactor.adoptStreamPort(descriptor, kind, factory)
    port.transport = PromptServer
    listening: IListeningPort = port
    return listening
