"""The link to one client over Twisted: a proxy's header, TLS, back-pressure, deadlines and an end that is read."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from postmeter.config import Smtp
from postmeter.server.channel import Channel
from postmeter.server.deadline import Deadline
from postmeter.server.tls import ServerTls
from postmeter.smtp.proxy import read_header

log = logging.getLogger(__name__)

TICK = 15.0  # seconds, at most, between two looks at a session's deadline


@dataclass(frozen=True)
class Entrance:
    """What all links of a worker share. ``tls`` is asked for each session, so certificates may change."""

    tls: ServerTls
    limits: Smtp
    proxies: Sequence[IPv4Network | IPv6Network]
    reactor: Any

    def proxied(self, address: str) -> bool:
        """Whether a proxy calls from there, which says whom it speaks for."""
        if not self.proxies:
            return False
        caller = ip_address(address.partition("%")[0])
        return any(caller in network for network in self.proxies)


@implementer(IPushProducer)
class Link(Protocol):
    """Clear text of a client for who inherits, and back, however it travels. ``address`` is the client's own.

    To be given: ``came`` (the address is known), ``received``, ``lost``, ``too_late`` (the deadline has passed) and
    ``full`` (nothing more should be read for now). With implicit TLS what is written waits for the handshake.
    """

    transport: Any

    def __init__(self, entrance: Entrance, implicit_tls: bool) -> None:
        self._entrance = entrance
        self._implicit_tls = implicit_tls
        self._channel: Channel | None = None
        self._header: bytes | None = None  # of a proxy, as far as it has come
        self._waiting = b""  # clear text for the time when TLS is up
        self._paused = False
        self._clogged = False
        self._leaving = False  # the last reply is on its way
        self._timer: IDelayedCall | None = None
        self.address = ""

    def came(self) -> None:
        """The client's address is known."""
        raise NotImplementedError

    def received(self, text: bytes) -> None:
        """Clear text of the client."""
        raise NotImplementedError

    def lost(self) -> None:
        """The link is gone."""
        raise NotImplementedError

    def too_late(self) -> None:
        """The deadline has passed."""
        raise NotImplementedError

    def full(self) -> bool:
        """Whether nothing more should be read for now."""
        raise NotImplementedError

    # The transport's side

    def connectionMade(self) -> None:
        """Somebody has called: the client, or a proxy for it."""
        self.transport.setTcpNoDelay(True)
        self.transport.registerProducer(self, True)
        self.deadline = Deadline(self._entrance.limits, self.now())
        address = self.transport.getPeer().host
        if self._entrance.proxied(address):
            self._header = b""
            self.deadline.shaking_hands(self.now())
        else:
            self._come(address)
        self._look_in(self.deadline.at)

    def dataReceived(self, data: bytes) -> None:
        """Octets of the network."""
        if self._header is not None:
            data = self._read_header(self._header + data)
        if data and self._channel is not None:
            data = self._decrypt(self._channel, data)
        if data:
            self.received(data)
            self.read_or_wait()
        if self._channel is not None and self._channel.ended and not self._leaving:
            self.leave()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The link is gone."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.connected = 0
        if self.address:
            self.lost()

    def pauseProducing(self) -> None:
        """The client does not read what is written: take nothing from it meanwhile."""
        self._clogged = True
        self.read_or_wait()

    def resumeProducing(self) -> None:
        """The client reads again."""
        self._clogged = False
        self.read_or_wait()

    def stopProducing(self) -> None:
        """The link is going down; ``connectionLost`` follows."""

    # The session's side

    @property
    def secure(self) -> bool:
        """Whether the handshake of TLS is done."""
        return self._channel is not None and self._channel.established

    def now(self) -> float:
        """Seconds of the reactor's clock."""
        seconds: float = self._entrance.reactor.seconds()
        return seconds

    def write(self, text: bytes) -> None:
        """Send clear text, inside TLS as soon as there is a channel."""
        if self._channel is None:
            self.transport.write(text)
        elif self._channel.established:
            self.transport.write(self._channel.send(text))
        else:
            self._waiting += text

    def start_tls(self) -> None:
        """From the next octet on all is TLS."""
        self._channel = self._entrance.tls.channel()
        self.deadline.shaking_hands(self.now())

    def read_or_wait(self) -> None:
        """Read on only while neither text nor replies pile up; at the end until the client has closed, too."""
        wait = (self._clogged or self.full()) and not self._leaving
        if wait != self._paused and self.connected:
            self._paused = wait
            (self.transport.pauseProducing if wait else self.transport.resumeProducing)()

    def leave(self) -> None:
        """Say no more. The client reads the last reply and closes; who does not is cut off after a while.

        To close at once would tear the link down under a client that is still sending, before it reads the reply.
        """
        self._leaving = True
        self.deadline.leaving(self.now())
        self.read_or_wait()
        if self._channel is None or self._channel.established:
            self._finish()

    def _finish(self) -> None:
        if self._channel is not None:
            self.transport.write(self._channel.close())
        self.transport.unregisterProducer()  # as long as there is one, the link is not closed
        self.transport.loseWriteConnection()

    def _come(self, address: str) -> None:
        self.address = address
        if self._implicit_tls:
            self.start_tls()
        self.came()

    def _read_header(self, data: bytes) -> bytes:
        """What comes behind the header of a proxy; without one there is nothing to talk about."""
        try:
            header = read_header(data)
        except ValueError as error:
            log.warning("a session from the proxy %s was dropped: %s", self.transport.getPeer().host, error)
            self.transport.abortConnection()
            return b""
        self._header = data if header is None else None
        if header is None:
            return b""
        self.deadline.secured()
        self._come(header.client or self.transport.getPeer().host)
        return data[header.size :]

    def _decrypt(self, channel: Channel, data: bytes) -> bytes:
        established = channel.established
        try:
            text = channel.receive(data)
        except ssl.SSLError as error:
            log.debug("TLS with %s failed: %s", self.address, error.reason)
            self.transport.write(channel.outgoing())  # the alert
            self.transport.loseConnection()
            return b""
        if not established:
            self._shake_hands(channel)
        return text

    def _shake_hands(self, channel: Channel) -> None:
        if channel.established:
            self.deadline.secured()
            waiting, self._waiting = self._waiting, b""
            self.transport.write(channel.send(waiting) if waiting else channel.outgoing())
            if self._leaving:
                self._finish()
        elif answer := channel.outgoing():
            self.transport.write(answer)

    # Time

    def _look_in(self, deadline: float) -> None:
        """One timer for the whole session: it looks whether the deadline has moved meanwhile."""
        wait = min(max(deadline - self.now(), 1.0), TICK)
        self._timer = self._entrance.reactor.callLater(wait, self._check_deadline)

    def _check_deadline(self) -> None:
        self._timer = None
        if self.deadline.at <= self.now():
            shaking_hands = self._header is not None or (self._channel is not None and not self._channel.established)
            if self._leaving or shaking_hands:
                self.transport.abortConnection()
                return
            self.too_late()
        if self.connected:
            self._look_in(self.deadline.at)
