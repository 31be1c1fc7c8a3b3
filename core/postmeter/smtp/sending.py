"""The sending machine: one session with a mail server, from its greeting to QUIT; bytes in, events and bytes out."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from postmeter.smtp.mail import Mail, Outcome, Stage
from postmeter.smtp.reply import Reply
from postmeter.smtp.reply_reader import ReplyReader
from postmeter.smtp.transaction import Transaction
from postmeter.smtp.transcript import Exchange, Line

TlsMode = Literal["none", "opportunistic", "required"]
State = Literal["banner", "ehlo", "helo", "starttls", "handshake", "ready", "mail", "quit", "closed"]

CONNECTION_LOST = Reply(451, "4.4.2", "Connection lost")
NO_TLS = Reply(451, "4.7.10", "The server offers no TLS, which is required here")
NO_SMTPUTF8 = Reply(550, "5.6.7", "The server does not take internationalised mail (SMTPUTF8)")
INJECTED = "unexpected octets behind the reply to STARTTLS"
PROTOCOL_ERROR = "Protocol error: {}"

_STAGES: dict[State, Stage] = {"banner": "banner", "starttls": "starttls", "handshake": "starttls", "mail": "mail"}


@dataclass(frozen=True, slots=True)
class StartTls:
    """Start TLS on the transport now, then call ``secured``."""


@dataclass(frozen=True, slots=True)
class Ready:
    """The session takes mail."""


@dataclass(frozen=True, slots=True)
class Sent:
    """The mail is dealt with: an outcome for every recipient. ``ready`` tells whether the session takes another.

    ``exchange`` has what was said; None: nothing was.
    """

    outcomes: tuple[Outcome, ...]
    exchange: Exchange | None = None


@dataclass(frozen=True, slots=True)
class Closed:
    """The session is over and the transport of no more use; why, and at what stage. A mail's ``Sent`` came before."""

    reply: Reply
    stage: Stage


Event = StartTls | Ready | Sent | Closed


class SendingSession:
    """Speaks to one mail server as its client; ``hostname`` is what EHLO says, ``clock`` gives the time of each line.

    Call ``receive`` with what came, ``poll`` until there is no event, ``outgoing`` until it is empty (a large
    content comes in pieces while ``writing``); ``send`` when ``ready``; ``lost`` when the transport has ended.
    """

    def __init__(self, hostname: str, tls: TlsMode = "opportunistic", clock: Callable[[], float] = lambda: 0.0) -> None:
        self.state: State = "banner"
        self.peer = ""  # the server's name by its own account
        self.extensions: dict[str, str] = {}  # keyword in upper case -> parameters (RFC 5321, 4.1.1.1)
        self.progress = 0  # grows with every step: what is waited for is new
        self.opening: list[Line] = []  # what was said before the first mail
        self.in_clear = ""  # why there is no TLS
        self._hostname = hostname
        self._tls = tls
        self._clock = clock
        self._secure = False
        self._clean = True  # no half-done transaction is left
        self._replies = ReplyReader()
        self._events: deque[Event] = deque()
        self._output = b""
        self._transaction: Transaction | None = None

    @property
    def ready(self) -> bool:
        """The session takes a mail now."""
        return self.state == "ready"

    @property
    def writing(self) -> bool:
        """Pieces of content are left that ``outgoing`` gives."""
        return self._transaction is not None and self._transaction.writing

    @property
    def stage(self) -> Stage:
        """What the session waits for, as an outcome names it."""
        if self._transaction is not None:
            return self._transaction.stage
        return _STAGES.get(self.state, "ehlo")

    @property
    def dot_sent(self) -> bool:
        """The reply to the final dot is awaited."""
        return self._transaction is not None and self._transaction.dot_sent

    def poll(self) -> Event | None:
        """The next event; None when there is none."""
        return self._events.popleft() if self._events else None

    def outgoing(self) -> bytes:
        """What to write now."""
        if self._transaction is None:
            output, self._output = self._output, b""
            return output
        if self._transaction.writing:
            self.progress += 1
        return self._transaction.outgoing()

    def receive(self, data: bytes) -> None:
        """Take bytes from the server."""
        self._replies.feed(data)
        try:
            while self.state != "closed" and (reply := self._replies.next()) is not None:
                self.progress += 1
                said = self.opening if self._transaction is None else self._transaction.exchange.replies
                said.append(Line(self._clock(), "S", reply))
                self._answer(reply)
        except ValueError as error:
            self._fail(str(error))

    def send(self, mail: Mail) -> None:
        """Begin a mail transaction; only when ``ready``. ValueError: the envelope holds a control character."""
        if self.state != "ready":
            raise RuntimeError(f"no mail can be sent in state {self.state}")
        self.progress += 1
        if mail.envelope.smtputf8 and "SMTPUTF8" not in self.extensions:  # RFC 6531, 3.2
            recipients = range(len(mail.envelope.recipients))
            self._events.append(Sent(tuple(Outcome(index, NO_SMTPUTF8, "mail") for index in recipients)))
            return
        self._transaction = Transaction(mail, self.extensions, reset=not self._clean, began=self._clock())
        self.state = "mail"

    def secured(self) -> None:
        """TLS stands: everything learnt in clear text is forgotten (RFC 3207, 4.2)."""
        self.progress += 1
        self._secure = True
        self._say_hello()

    def quit(self) -> None:
        """Take leave; ``Closed`` follows."""
        self.progress += 1
        self.state = "quit"
        self._output = b"QUIT\r\n"

    def lost(self, reply: Reply = CONNECTION_LOST) -> None:
        """The transport has ended, or is given up for the reason that ``reply`` tells."""
        if self.state == "closed":
            return
        if self._transaction is not None:
            self._transaction.lost(reply)
        self._close(reply)

    def _answer(self, reply: Reply) -> None:
        if reply.code == 421:  # RFC 5321, 3.8: the server is closing, whatever was asked
            if self._transaction is not None:
                self._transaction.abandon(reply)
            self._close(reply)
        elif self.state in _ANSWERS:
            _ANSWERS[self.state](self, reply)
        else:
            raise ValueError(f"reply to nothing: {reply}")

    def _greeted(self, reply: Reply) -> None:
        if self._expect(reply, 220):
            self._say_hello()

    def _say_hello(self, verb: Literal["ehlo", "helo"] = "ehlo") -> None:
        self.extensions.clear()
        self.state = verb
        self._say(f"{verb.upper()} {self._hostname}\r\n".encode())

    def _say(self, command: bytes) -> None:
        self._output = command
        self.opening.append(Line(self._clock(), "C", command))

    def _ehlo_answered(self, reply: Reply) -> None:
        if reply.permanent:  # RFC 5321, 3.2: older servers know HELO only
            self._say_hello("helo")
        elif self._expect(reply, 250):
            name, *offers = reply.text.split("\n")
            self.peer = name.partition(" ")[0]
            for offer in offers:
                keyword, _, parameters = offer.partition(" ")
                self.extensions[keyword.upper()] = parameters
            self._helloed()

    def _helo_answered(self, reply: Reply) -> None:
        if self._expect(reply, 250):
            self.peer = reply.text.partition(" ")[0]
            self._helloed()

    def _helloed(self) -> None:
        if self._secure:
            self._get_ready()
        elif self._tls == "none":
            self._go_on_in_clear(NO_TLS, "it was not to be used")
        elif "STARTTLS" in self.extensions:
            self.state = "starttls"
            self._say(b"STARTTLS\r\n")
        else:
            self._go_on_in_clear(NO_TLS, "the server does not offer it")

    def _starttls_answered(self, reply: Reply) -> None:
        if reply.code != 220:
            self._go_on_in_clear(reply, f"the server refused it: {reply}")
        elif not self._replies.empty:  # RFC 3207, 4.2: it was put in by someone in between
            self._fail(INJECTED)
        else:
            self.state = "handshake"
            self._events.append(StartTls())

    def _go_on_in_clear(self, reason: Reply, why: str) -> None:
        if self._tls == "required":
            self.state = "starttls"
            self._close(reason)
        else:
            self.in_clear = why
            self._get_ready()

    def _get_ready(self) -> None:
        self.state = "ready"
        self._events.append(Ready())

    def _mail_answered(self, reply: Reply) -> None:
        transaction = self._transaction
        assert transaction is not None
        transaction.answer(reply)
        if not transaction.done:
            return
        early = transaction.writing
        self._clean = transaction.clean
        self._settle()
        if early:  # the server did not wait for the end of the content: commands would be read as content
            self._close(reply)

    def _settle(self) -> None:
        """The mail is dealt with, whether or not the session lives on."""
        if self._transaction is not None:
            self._events.append(Sent(tuple(self._transaction.outcomes), self._transaction.exchange))
            self._transaction = None
            self.state = "ready"

    def _quit_answered(self, reply: Reply) -> None:
        self._close(reply)

    def _expect(self, reply: Reply, code: int) -> bool:
        if reply.code == code:
            return True
        if reply.positive:
            raise ValueError(f"unexpected reply: {reply}")
        self._close(reply)
        return False

    def _fail(self, reason: str) -> None:
        """The server does not keep to the protocol: a passing trouble for the recipients, the end of the session."""
        self.lost(Reply(451, "4.5.0", PROTOCOL_ERROR.format(reason[:500])))

    def _close(self, reply: Reply) -> None:
        stage = self.stage
        self._settle()
        self.state = "closed"
        self._output = b""
        self._events.append(Closed(reply, stage))


_ANSWERS: dict[State, Callable[[SendingSession, Reply], None]] = {
    "banner": SendingSession._greeted,
    "ehlo": SendingSession._ehlo_answered,
    "helo": SendingSession._helo_answered,
    "starttls": SendingSession._starttls_answered,
    "mail": SendingSession._mail_answered,
    "quit": SendingSession._quit_answered,
}
