"""The client's end of a TLS session in memory: ``deliver`` takes what it says and gives what it hears."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from contextlib import suppress

from postmeter.server.channel import Channel


class TlsClient:
    """``deliver`` takes what goes over the wire and gives what comes back."""

    def __init__(
        self,
        context: ssl.SSLContext,
        deliver: Callable[[bytes], bytes],
        name: str | None = "localhost",
        session: ssl.SSLSession | None = None,
    ) -> None:
        self._deliver = deliver
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name, session=session)

    def shake_hands(self) -> None:
        """Until both sides are done; ssl.SSLError when one refuses."""
        while True:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                self.exchange()
            else:
                break
        self.exchange()

    def exchange(self) -> None:
        """What waits goes out, what comes back is kept."""
        self._incoming.write(self._deliver(self._outgoing.read()))

    def seal(self, text: bytes = b"") -> bytes:
        """``text`` as it goes over the wire, behind what waits."""
        if text:
            self.tls.write(text)
        return self._outgoing.read()

    def open(self, data: bytes) -> bytes:
        """The text in what came over the wire, until the server's last word."""
        self._incoming.write(data)
        text = b""
        with suppress(ssl.SSLWantReadError, ssl.SSLZeroReturnError):
            while piece := self.tls.read(65_536):
                text += piece
        return text


def meet(
    channel: Channel, context: ssl.SSLContext, name: str | None = "localhost", session: ssl.SSLSession | None = None
) -> TlsClient:
    """A client that has shaken hands with the channel."""

    def deliver(data: bytes) -> bytes:
        if data:
            channel.receive(data)
        return channel.outgoing()

    client = TlsClient(context, deliver, name, session)
    client.shake_hands()
    return client
