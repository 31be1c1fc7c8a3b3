"""TLS as a machine without a socket: octets of the network in, clear text out, and back."""

from __future__ import annotations

import ssl
from contextlib import suppress

READ = 65_536  # octets of clear text asked for at a time
NOISE = 65_536  # octets that may come without clear text (a record has 16 KiB, a handshake some more)
SEAL = 1_024  # octets that may come for each octet of clear text: short ones may be padded (RFC 8446, 5.4)


class Channel:
    """The server's side of one TLS session: ``established`` after the handshake, ``ended`` by the client's last word.

    ``receive`` raises ssl.SSLError when the client cannot be understood; what ``outgoing`` gives then is the alert.
    ``noisy`` says that far more comes than clear text is in it: a client that only keeps us busy with key updates or
    attempts at renegotiation.
    """

    __slots__ = ("_incoming", "_noise", "_outgoing", "_tls", "ended", "established")

    def __init__(self, context: ssl.SSLContext) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._noise = 0
        self.established = False
        self.ended = False  # the client has said that it sends no more (RFC 8446, 6.1)

    def receive(self, data: bytes) -> bytes:
        """Takes what the network brought; the clear text that it completes, perhaps none."""
        self._incoming.write(data)
        self._noise += len(data)
        try:
            if not self.established:
                self._tls.do_handshake()
                self.established = True
            text = self._read()
        except ssl.SSLWantReadError:
            return b""
        self._noise = max(0, self._noise - SEAL * len(text))
        return text

    def _read(self) -> bytes:
        text = self._tls.read(READ)  # one record, at most
        parts = [text]
        with suppress(ssl.SSLWantReadError):
            while text and self._incoming.pending:
                text = self._tls.read(READ)
                parts.append(text)
        self.ended = not text
        return b"".join(parts)

    def send(self, text: bytes) -> bytes:
        """What the network is to bring for this clear text."""
        self._tls.write(text)
        return self._outgoing.read()

    def outgoing(self) -> bytes:
        """What TLS itself wants to say."""
        return self._outgoing.read()

    @property
    def noisy(self) -> bool:
        """Whether the client sends too little in too much."""
        return self._noise > NOISE

    def close(self) -> bytes:
        """What says that no more will come (RFC 8446, 6.1)."""
        with suppress(ssl.SSLError):  # the client's own word is not waited for
            self._tls.unwrap()
        return self._outgoing.read()

    @property
    def version(self) -> str:
        """Such as ``TLSv1.3``; empty before the handshake is done."""
        return self._tls.version() or ""

    @property
    def resumed(self) -> bool:
        """Whether the client has brought a ticket of an earlier session."""
        return bool(self._tls.session_reused)
