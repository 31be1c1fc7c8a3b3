"""One DNS question to one server over UDP or TCP (RFC 1035, 4.2; RFC 5452: random port and id, strict match)."""

from __future__ import annotations

import logging
import struct
from typing import Any

import dns.exception
import dns.message
import dns.name
import dns.rdatatype
from twisted.internet.defer import Deferred, TimeoutError, maybeDeferred
from twisted.internet.error import CannotListenError, InvalidAddressError
from twisted.internet.protocol import ClientFactory, DatagramProtocol
from twisted.protocols.basic import Int16StringReceiver

log = logging.getLogger(__name__)

TIMEOUT = 5.0  # seconds for one question to one server
MOST_READ = (128, 4, 4)  # records of a response that are read: answers, authority, additional
MOST_LABELS = 20  # of a name in the answers
_NAME_AT = dict.fromkeys((dns.rdatatype.CNAME, dns.rdatatype.DNAME, dns.rdatatype.NS), 0) | {dns.rdatatype.MX: 2}
_COUNTS = struct.Struct("!6x3H")  # of a header: those of the same (RFC 1035, 4.1.1)


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


def _matching(query: dns.message.Message, data: bytes) -> dns.message.Message | None:
    """The response in these bytes; None when it is none, or not one to this query."""
    try:
        if (most := _most_labels(data := bounded(data))) > MOST_LABELS:
            log.info("a response of the DNS has a name of %d labels; it is not read", most)
            return None
        response = dns.message.from_wire(data, ignore_trailing=True)
    except (dns.exception.DNSException, ValueError, IndexError, struct.error):
        return None
    return response if query.is_response(response) else None


def bounded(data: bytes) -> bytes:
    """A response that claims to have no more records than are of use.

    In 64 kB there is room for 4,000, for which dnspython takes some 200 ms, and 20 s if they have names of many labels.
    """
    if len(data) < _COUNTS.size:
        return data
    kept, complete = [], True
    for count, most in zip(_COUNTS.unpack_from(data), MOST_READ, strict=True):
        kept.append(min(count, most) if complete else 0)
        complete = complete and count <= most
    return data[:6] + struct.pack("!3H", *kept) + data[_COUNTS.size :]


def _most_labels(data: bytes) -> int:
    """How many labels the longest name in the answers has: the time for each record grows with their square."""
    questions, answers = struct.unpack_from("!4x2H", data)
    most, place = 0, 12
    for number in range(questions + answers):
        name, length = dns.name.from_wire(data, place)
        most, place = max(most, len(name)), place + length + 4
        if number < questions:
            continue
        type, length = struct.unpack_from("!H6xH", data, place - 4)
        place += 6
        if type in _NAME_AT:
            name, _ = dns.name.from_wire(data, place + _NAME_AT[type])
            most = max(most, len(name))
        place += length
    return most


class _DatagramQuestion(DatagramProtocol):
    def __init__(self, query: dns.message.Message) -> None:
        self.answer: Deferred[dns.message.Message | None] = Deferred()
        self._query = query

    def ask(self, address: str, port: int) -> None:
        transport: Any = self.transport
        transport.connect(address, port)  # the kernel drops what comes from anywhere else
        transport.write(self._query.to_wire())

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        response = _matching(self._query, datagram)
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
            self.answer.callback(_matching(self._query, string))

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
