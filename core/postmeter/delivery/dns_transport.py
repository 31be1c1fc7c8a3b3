"""One DNS question to one server over UDP or TCP (RFC 1035, 4.2; RFC 5452: random port and id, strict match)."""

from __future__ import annotations

from typing import Any

import dns.message
from twisted.internet.defer import Deferred, TimeoutError, maybeDeferred
from twisted.internet.error import CannotListenError, InvalidAddressError
from twisted.internet.protocol import ClientFactory, DatagramProtocol
from twisted.protocols.basic import Int16StringReceiver

from postmeter.dns_response import matching

TIMEOUT = 5.0  # seconds for one question to one server


async def ask_udp(reactor: Any, address: str, port: int, query: dns.message.Message) -> dns.message.Message | None:
    """The response, None after ``TIMEOUT`` seconds, when nobody listens there or no question can be sent."""
    question = _DatagramQuestion(query)
    try:
        listening = reactor.listenUDP(0, question, interface="::" if ":" in address else "")
    except (OSError, CannotListenError):
        return None
    try:
        question.ask(address, port)
        return await question.answer.addTimeout(TIMEOUT, reactor)
    except (OSError, InvalidAddressError, TimeoutError):
        return None
    finally:
        await maybeDeferred(listening.stopListening)


async def ask_tcp(reactor: Any, address: str, port: int, query: dns.message.Message) -> dns.message.Message | None:
    """The same over TCP, for what does not fit into a datagram (RFC 7766)."""
    question = _StreamQuestion(query)
    connector = reactor.connectTCP(address, port, _Once(question), timeout=TIMEOUT)
    try:
        return await question.answer.addTimeout(TIMEOUT, reactor)
    except TimeoutError:
        return None
    finally:
        connector.disconnect()


class _DatagramQuestion(DatagramProtocol):
    def __init__(self, query: dns.message.Message) -> None:
        self.answer: Deferred[dns.message.Message | None] = Deferred()
        self._query = query

    def ask(self, address: str, port: int) -> None:
        transport: Any = self.transport
        transport.connect(address, port)  # the kernel drops what comes from anywhere else
        transport.write(self._query.to_wire())

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        response = matching(self._query, datagram)
        if response is not None and not self.answer.called:
            self.answer.callback(response)

    def connectionRefused(self) -> None:
        self.stopProtocol()

    def stopProtocol(self) -> None:
        # the epoll reactor ends a port whose datagram was refused, without a connectionRefused
        if not self.answer.called:
            self.answer.callback(None)


class _StreamQuestion(Int16StringReceiver):
    def __init__(self, query: dns.message.Message) -> None:
        self.answer: Deferred[dns.message.Message | None] = Deferred()
        self._query = query

    def connectionMade(self) -> None:
        self.sendString(self._query.to_wire())  # type: ignore[no-untyped-call]

    def stringReceived(self, string: bytes) -> None:
        if not self.answer.called:
            self.answer.callback(matching(self._query, string))

    def connectionLost(self, reason: Any = None) -> None:
        if not self.answer.called:
            self.answer.callback(None)


class _Once(ClientFactory):
    noisy = False

    def __init__(self, question: _StreamQuestion) -> None:
        self._question = question

    def buildProtocol(self, addr: Any) -> _StreamQuestion:
        return self._question

    def clientConnectionFailed(self, connector: Any, reason: Any) -> None:
        self._question.connectionLost()
