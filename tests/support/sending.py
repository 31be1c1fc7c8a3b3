"""A sending machine played against scripted replies."""

from __future__ import annotations

from dataclasses import dataclass, field

from postmeter.message.envelope import Envelope, Recipient
from postmeter.smtp.mail import Mail
from postmeter.smtp.sending import Event, Ready, SendingSession, Sent, TlsMode

GREETING = b"220 mx.test ESMTP\r\n"
PLAIN = b"250 mx.test\r\n"
PIPELINING = b"250-mx.test\r\n250-PIPELINING\r\n250-SIZE 0\r\n250 8BITMIME\r\n"
WITH_TLS = b"250-mx.test\r\n250-PIPELINING\r\n250 STARTTLS\r\n"
CONTENT = b"Subject: x\r\n\r\n.hello\r\n"
WIRE = b"Subject: x\r\n\r\n..hello\r\n.\r\n"
REPLIES = [b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n", b"250 ok\r\n"]


def mail(count: int = 1, content: bytes = CONTENT, *, smtputf8: bool = False) -> Mail:
    recipients = tuple(Recipient(f"r{number}@example.org") for number in range(count))
    return Mail(Envelope("b@example.net", recipients, smtputf8=smtputf8), (content,))


@dataclass
class Play:
    """A machine with what it said and told."""

    tls: TlsMode = "opportunistic"
    events: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.machine = SendingSession("relay.test", self.tls)

    def hear(self, data: bytes) -> bytes:
        self.machine.receive(data)
        return self.said()

    def send(self, one: Mail) -> bytes:
        self.machine.send(one)
        return self.said()

    def lose(self) -> None:
        self.machine.lost()
        self.said()

    def said(self) -> bytes:
        while (event := self.machine.poll()) is not None:
            self.events.append(event)
        pieces = []
        while piece := self.machine.outgoing():
            pieces.append(piece)
        return b"".join(pieces)

    def outcomes(self) -> list[tuple[int, int, str, bool, bool]]:
        """Recipient, code, stage, delivered, in doubt; of the last mail, by recipient."""
        sent = [event for event in self.events if isinstance(event, Sent)][-1]
        return sorted((one.recipient, one.reply.code, one.stage, one.delivered, one.in_doubt) for one in sent.outcomes)


def ready(extensions: bytes = PIPELINING) -> Play:
    play = Play()
    play.hear(GREETING)
    play.hear(extensions)
    assert play.events == [Ready()]
    return play
