"""The submission session: bytes of a client in, events and replies out (RFC 5321, RFC 6409, RFC 3207, RFC 4954).

It knows no socket and no clock. The driver loops::

    session.receive(data)
    while (event := session.poll()) is not None:
        ...                                # every event but Content is answered, now or later
    write(session.outgoing()); close when session.closing

No command is taken while an event is open, so a command that was pipelined behind the end of the content is executed
only after the answer. Between the first ``Content`` and ``EndOfContent`` nothing but the end of the session can come,
and ``EndOfContent`` closes every transaction that had content; so a driver drops its spool there and nowhere else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache

from postmeter.smtp import replies
from postmeter.smtp.commands import ALLOWED, State, refusal
from postmeter.smtp.content import ContentReader
from postmeter.smtp.events import Content, EndOfContent, Event, Login, Mail, Question, Rcpt, StartTls
from postmeter.smtp.incoming import IncomingTransaction, parse_mail
from postmeter.smtp.limits import DEFAULT_LIMITS
from postmeter.smtp.limits import Limits as Limits
from postmeter.smtp.lines import Hopeless, LineReader
from postmeter.smtp.login import LoginExchange
from postmeter.smtp.reply import Refused, Reply

MAX_WAITING = 65536  # octets that may wait behind an open event before the driver should stop reading

_may_be_utf8 = re.compile(r"(?:EHLO|HELO|MAIL|RCPT) ", re.IGNORECASE | re.ASCII).match
_encode = lru_cache(maxsize=64)(Reply.encode)
_HTTP = frozenset({"GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "CONNECT", "PATCH", "TRACE", "PRI"})
_WITHOUT_ARGUMENT = frozenset({"STARTTLS", "DATA", "RSET"})
_find_control = re.compile("[\0-\x1f\x7f]").search
_replace_odd = re.compile(r"[^A-Za-z0-9.:_\[\]-]").sub


class Session:
    """One client's dialogue; ``tls`` says that it is encrypted from the first octet (RFC 8314, 3.3)."""

    __slots__ = (
        "_content", "_errors", "_exchange", "_failures", "_farewell", "_hostname", "_idle",
        "_limits", "_lines", "_open", "_out", "_state", "_transaction", "closing", "helo",
    )  # fmt: skip

    def __init__(self, hostname: str, limits: Limits = DEFAULT_LIMITS, tls: bool = False) -> None:
        self._hostname = hostname
        self._limits = limits
        self._lines = LineReader()
        self._out = [replies.greeting(hostname).encode()]
        self._open: Question | None = None
        self._exchange: LoginExchange | None = None
        self._content: ContentReader | None = None
        self._farewell: Reply | None = None
        self._transaction = IncomingTransaction(limits)
        self._errors = 0
        self._failures = 0
        self._idle = State.SECURE if tls else State.CLEAR
        self.helo = ""  # what the client called itself, fit for a header field
        self.closing = False  # close the link after outgoing() is written
        self._reset()

    @property
    def tls(self) -> bool:
        """Whether the session is encrypted."""
        return self._idle >= State.SECURE

    @property
    def authenticated(self) -> bool:
        """Whether somebody is logged in."""
        return self._idle is State.READY

    @property
    def in_content(self) -> bool:
        """Whether a content is being received."""
        return self._content is not None

    @property
    def wants_pause(self) -> bool:
        """Whether so much waits behind the open event that no more should be read for now."""
        return len(self._lines.buffer) > MAX_WAITING

    def outgoing(self) -> bytes:
        """All replies since the last call, for one write."""
        out = b"".join(self._out)
        self._out.clear()
        return out

    def receive(self, data: bytes) -> None:
        """Takes bytes of the client, in any cutting; call ``poll`` then."""
        if self._state is State.HANDSHAKE:
            self.closing = True  # in clear text, although TLS was agreed on; what could be said would mean nothing
        if not self.closing:
            self._lines.buffer += data

    def poll(self) -> Event | None:
        """The next event; None when more bytes or the answer to the last event are needed."""
        while self._open is None and not self.closing:
            if self._content is not None:
                return self._read_content(self._content)
            try:
                line = self._lines.take(login=self._exchange is not None)
                if line is None:
                    return None
                text = line.decode("utf-8", "surrogateescape").rstrip(" ")  # RFC 5321, 4.1.1: trailing space
                event = self._execute(text) if self._exchange is None else self._login(self._exchange, text)
            except Hopeless as hopeless:
                self._close(hopeless.reply)
            except Refused as refused:
                self._exchange = None
                self._refuse(refused.reply)
            else:
                if event is not None:
                    self._open = event
                    return event
        return None

    def answer(self, reply: Reply) -> None:
        """Answers the event that ``poll`` gave last; RuntimeError when none is open."""
        event, self._open = self._open, None
        if event is None:
            raise RuntimeError("no event waits for an answer")
        if not self.closing:
            _ANSWERS[type(event)](self, event, reply)
        if self._farewell is not None:
            self._close(self._farewell)

    def tls_started(self) -> None:
        """TLS is up: all that was said in clear text is forgotten (RFC 3207, 4.2)."""
        if self._state is not State.HANDSHAKE or self._open is not None:
            raise RuntimeError("TLS was not agreed on")
        self._lines.clear()
        self._idle = State.SECURE
        self.helo = ""
        self._reset()

    def refuse(self, reply: Reply) -> None:
        """Says ``reply`` (421) and closes; while an event is open, behind its answer, which is awaited."""
        if self._open is not None:
            self._farewell = reply
        elif not self.closing:
            self._close(reply)

    def shut_down(self) -> None:
        """Ends the session because the server stops (RFC 5321, 3.8)."""
        self.refuse(replies.SHUTTING_DOWN)

    def _say(self, reply: Reply) -> None:
        self._out.append(_encode(reply))
        if reply.code == 421:  # RFC 5321, 3.8: it announces the end, whoever gave it
            self.closing = True
            self._lines.clear()

    def _close(self, reply: Reply) -> None:
        if not self.closing:
            self._say(reply)
        self.closing = True
        self._lines.clear()

    def _refuse(self, reply: Reply) -> None:
        """Refuses a command and counts it."""
        self._errors += 1
        if self._errors < self._limits.max_errors:
            self._say(reply)
        else:
            self._close(replies.TOO_MANY_ERRORS)

    def _reset(self) -> None:
        """Forgets the mail transaction (RFC 5321, 4.1.1.5)."""
        self._state = self._idle
        self._transaction.clear()

    def _execute(self, text: str) -> Question | None:
        verb, _, argument = text.partition(" ")
        verb, argument = verb.upper(), argument.lstrip(" ")
        if not (text.isascii() and text.isprintable()) and (_find_control(text) or not _may_be_utf8(text)):
            raise Refused(replies.BAD_CHARACTER)
        if verb in ALLOWED[self._state]:
            if argument and verb in _WITHOUT_ARGUMENT:
                raise Refused(replies.BAD_ARGUMENT)
            return _HANDLERS[verb](self, argument)
        if verb in _HTTP and "HTTP/" in text:
            raise Hopeless(replies.NOT_HTTP)
        if verb == "RCPT" and self.authenticated:
            self._say(refusal(self._state, verb))  # a whole pipelined list may follow a refused MAIL
            return None
        raise Refused(refusal(self._state, verb))

    def _ehlo(self, argument: str) -> None:
        self._greet(argument, replies.ehlo(self._hostname, self._limits.max_message_size, self.tls))

    def _helo(self, argument: str) -> None:
        self._greet(argument, replies.helo(self._hostname))

    def _greet(self, argument: str, reply: Reply) -> None:
        if not argument:
            raise Refused(replies.NAME_YOURSELF)
        self.helo = _replace_odd("?", argument[:255])
        if not self.authenticated:
            self._idle = State.GREETED if self.tls else State.CLEAR_GREETED
        self._reset()
        self._say(reply)

    def _starttls(self, _argument: str) -> StartTls:
        if self._lines.buffer:
            raise Hopeless(replies.BEHIND_STARTTLS)
        self._state = State.HANDSHAKE
        return StartTls()

    def _starttls_answered(self, _event: Question, reply: Reply) -> None:
        self._say(reply)
        if not reply.positive:
            self._reset()

    def _auth(self, argument: str) -> Question | None:
        mechanism, _, initial = argument.partition(" ")
        if not mechanism:
            raise Refused(replies.BAD_ARGUMENT)
        self._exchange = LoginExchange(mechanism)
        if initial:
            return self._login(self._exchange, initial.strip(" "))
        self._say(self._exchange.challenge)
        return None

    def _login(self, exchange: LoginExchange, response: str) -> Question | None:
        login = exchange.respond(response)
        if login is None:
            self._say(exchange.challenge)
        else:
            self._exchange = None
        return login

    def _login_answered(self, _event: Question, reply: Reply) -> None:
        if reply.positive:
            self._idle = State.READY
            self._reset()
            self._say(reply)
            return
        self._failures += 1
        if self._failures < self._limits.max_login_failures:
            self._say(reply)
        else:
            self._close(replies.TOO_MANY_LOGINS)

    def _mail(self, argument: str) -> Mail:
        return parse_mail(argument, self._limits)

    def _mail_answered(self, event: Question, reply: Reply) -> None:
        assert isinstance(event, Mail)
        if reply.positive:
            self._state = State.MAIL
            self._transaction.begin(event)
        self._say(reply)

    def _rcpt(self, argument: str) -> Rcpt | None:
        try:
            return self._transaction.parse_rcpt(argument)
        except Refused as refused:
            # Not counted as an error: one bad address in a list must not end the session for the others.
            self._recipient_refused(refused.reply)
            return None

    def _recipient_refused(self, reply: Reply) -> None:
        if not self._transaction.recipients:
            self._state = State.NO_RECIPIENT
        self._say(reply)

    def _rcpt_answered(self, event: Question, reply: Reply) -> None:
        assert isinstance(event, Rcpt)
        if not reply.positive:
            self._recipient_refused(reply)
            return
        self._transaction.recipients.append(event.recipient)
        self._state = State.RCPT
        self._say(reply)

    def _data(self, _argument: str) -> None:
        self._content = ContentReader(self._limits.max_message_size)
        self._say(replies.START_CONTENT)

    def _read_content(self, content: ContentReader) -> Event | None:
        buffer = self._lines.buffer
        if not content.ended and buffer:
            data = bytes(buffer)
            buffer.clear()
            if block := content.feed(data):
                return Content(block)
        if not content.ended:
            return None
        self._content = None
        buffer[:0] = content.rest
        self._open = EndOfContent(self._transaction.envelope(), content.size, content.flaw)
        return self._open

    def _content_answered(self, event: Question, reply: Reply) -> None:
        assert isinstance(event, EndOfContent)
        if event.flaw is not None and reply.positive:
            reply = event.flaw  # what was not handed on to its end cannot be ours
        if reply.positive:
            self._errors = 0
        self._reset()
        self._say(reply)

    def _rset(self, _argument: str) -> None:
        self._reset()
        self._say(replies.OK)

    def _quit(self, _argument: str) -> None:
        self._close(replies.CLOSING)


def _saying(reply: Reply) -> Callable[[Session, str], None]:
    return lambda session, _argument: session._say(reply)


_HANDLERS: Mapping[str, Callable[[Session, str], Question | None]] = {
    "EHLO": Session._ehlo,
    "HELO": Session._helo,
    "STARTTLS": Session._starttls,
    "AUTH": Session._auth,
    "MAIL": Session._mail,
    "RCPT": Session._rcpt,
    "DATA": Session._data,
    "RSET": Session._rset,
    "NOOP": _saying(replies.OK),
    "VRFY": _saying(replies.CANNOT_VERIFY),
    "EXPN": _saying(replies.NO_LISTS),
    "HELP": _saying(replies.HELP),
    "QUIT": Session._quit,
}
_ANSWERS: Mapping[type[Question], Callable[[Session, Question, Reply], None]] = {
    StartTls: Session._starttls_answered,
    Login: Session._login_answered,
    Mail: Session._mail_answered,
    Rcpt: Session._rcpt_answered,
    EndOfContent: Session._content_answered,
}
