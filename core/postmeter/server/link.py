"""The link to one client over Twisted: a proxy's header, TLS, back-pressure, deadlines and an end that is read."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IHalfCloseableProtocol, IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from postmeter.config import Smtp
from postmeter.server.channel import Channel
from postmeter.server.deadline import FAREWELL, Deadline
from postmeter.server.tls import ServerTls
from postmeter.smtp.proxy import read_header

log = logging.getLogger(__name__)

MOST_OF_STRANGERS = 262_144  # octets, clear text or not, that may come from somebody who has not logged in
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


@implementer(IPushProducer, IHalfCloseableProtocol)
class Link(Protocol):
    """Clear text of a client for who inherits, and back, however it travels. ``address`` is the client's own.

    To be given: ``came`` (the address is known), ``received``, ``lost``, ``too_late`` (the deadline has passed),
    ``full`` (nothing more should be read for now) and ``answering``. With implicit TLS what is written waits for the
    handshake.
    ``ended`` says that the client sends no more, ``mute`` that nothing which is written reaches it any more.
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
        self._closed = False  # by the client, in its direction
        self._octets = 0  # of somebody who is not known
        self.known = False  # somebody has logged in
        self.mute = False
        self._timer: IDelayedCall | None = None
        self._delay: IDelayedCall | None = None
        self.address = ""
        self.of_proxy = False  # the proxy itself calls, to see whether we are there

    def came(self) -> None:
        """The client's address is known."""
        raise NotImplementedError

    def received(self, text: bytes) -> None:
        """Clear text of the client; none of it when the client has ended."""
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

    @property
    def answering(self) -> bool:
        """Whether an answer is ours to give."""
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
        self._watch()

    def dataReceived(self, data: bytes) -> None:
        """Octets of the network."""
        if not (self.known or self._leaving):
            self._octets += len(data)
            if self._octets > MOST_OF_STRANGERS:
                self.mute = True
                self.transport.abortConnection()
                return
        if self._header is not None:
            data = self._read_header(self._header + data)
        if data and self._channel is not None:
            data = self._decrypt(self._channel, data)
        if data or self.ended:
            self.received(data)
            self.read_or_wait()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The link is gone."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.do_not_wait()
        self.connected = 0
        if self.address:
            self.lost()

    def readConnectionLost(self) -> None:
        """The client sends no more; mostly it is gone, but it may still wait for an answer."""
        if self.address and self.answering and not self.mute:
            self._closed = True
        else:
            self.transport.unregisterProducer()
            self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """All that was to be said was sent; the client reads it and closes."""

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

    @property
    def ended(self) -> bool:
        """Whether the client has said that it sends no more (RFC 8446, 6.1); what it waits for is still said."""
        return self._closed or (self._channel is not None and self._channel.ended)

    def now(self) -> float:
        """Seconds of the reactor's clock."""
        seconds: float = self._entrance.reactor.seconds()
        return seconds

    def write(self, text: bytes) -> None:
        """Send clear text, inside TLS as soon as there is a channel."""
        if self.mute:
            return
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

    def leave(self, patience: float = FAREWELL) -> None:
        """Say no more. The client reads the last reply and closes; who does not is cut off after so many seconds.

        To close at once would tear the link down under a client that is still sending, before it reads the reply.
        """
        self._leaving = True
        self.deadline.leaving(self.now(), patience)
        self.read_or_wait()
        if self._channel is None or self._channel.established:
            self._finish()

    def _finish(self) -> None:
        self.mute = True
        if self._channel is not None:
            self.transport.write(self._channel.close())
        self.transport.unregisterProducer()  # as long as there is one, the link is not closed
        (self.transport.loseConnection if self._closed else self.transport.loseWriteConnection)()

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
        self.of_proxy = header.client is None
        self._come(header.client or self.transport.getPeer().host)
        return data[header.size :]

    def _decrypt(self, channel: Channel, data: bytes) -> bytes:
        if channel.ended or self.mute:
            return b""
        established = channel.established
        try:
            text = channel.receive(data)
        except ssl.SSLError as error:
            log.debug("TLS with %s failed: %s", self.address, error.reason)
            self._break_off(channel)
            return b""
        if channel.noisy:
            self._break_off(channel)
            return b""
        if channel.established and not established:
            self._secured(channel)
        elif answer := channel.outgoing():
            self.transport.write(answer)
        return text

    def _secured(self, channel: Channel) -> None:
        self.deadline.secured()
        waiting, self._waiting = self._waiting, b""
        self.transport.write(channel.send(waiting) if waiting else channel.outgoing())
        if self._leaving:
            self._finish()

    def _break_off(self, channel: Channel) -> None:
        """There is nothing more to say but an alert, if any; who does not read it is cut off."""
        self.mute = self._leaving = True
        self.deadline.leaving(self.now())
        self.transport.write(channel.outgoing())
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    # Time

    def later(self, seconds: float, function: Callable[..., None], *arguments: object) -> None:
        """Call the function after a while, unless the link is gone by then; one at a time."""

        def call() -> None:
            self._delay = None
            function(*arguments)

        self._delay = self._entrance.reactor.callLater(seconds, call)

    def do_not_wait(self) -> None:
        """What was to come later does not come."""
        if self._delay is not None:
            self._delay.cancel()
            self._delay = None

    def _watch(self) -> None:
        """One timer for the whole session: it looks whether the deadline has moved meanwhile."""
        if self.connected:
            wait = min(max(self.deadline.at - self.now(), 1.0), TICK)
            self._timer = self._entrance.reactor.callLater(wait, self._check_deadline)

    def _check_deadline(self) -> None:
        self._timer = None
        late = self.deadline.at <= self.now()
        if late and (self._leaving or self._shaking_hands):
            self.transport.abortConnection()
            return
        try:
            if late:
                self.too_late()
        finally:
            self._watch()

    @property
    def _shaking_hands(self) -> bool:
        return self._header is not None or (self._channel is not None and not self._channel.established)
