"""The submission session: bytes of a client in, events and replies out (RFC 5321, 6409, 3207, 4954, 3030).

It knows no socket and no clock. The driver loops::

    session.receive(data)
    while (event := session.poll()) is not None:
        ...                                # every event but Content and Abandoned is answered, now or later
    write(session.outgoing()); close when session.closing

No command is taken while an event is open, so a command that was pipelined behind the end of the content is executed
only after the answer. Behind the first ``Content`` of a transaction come others and then, unless the session ends,
either ``EndOfContent`` or (only between chunks, by RSET, EHLO or HELO) ``Abandoned``, which close every transaction
that had content; so a driver drops its spool at these two and at the end of the session, if not before.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from postmeter.smtp import replies
from postmeter.smtp.chunk import Chunk, ChunkReader, RefusedChunk
from postmeter.smtp.commands import ALLOWED, State, refusal
from postmeter.smtp.content import ContentReader
from postmeter.smtp.dialogue import Dialogue
from postmeter.smtp.events import Abandoned, Content, EndOfContent, Event, Login, Mail, Question, Rcpt, StartTls
from postmeter.smtp.incoming import IncomingTransaction, parse_mail
from postmeter.smtp.limits import DEFAULT_LIMITS
from postmeter.smtp.limits import Limits as Limits
from postmeter.smtp.lines import Hopeless, check_characters
from postmeter.smtp.login import LoginExchange
from postmeter.smtp.patience import Trial
from postmeter.smtp.reply import Refused, Reply

_HTTP = frozenset({"GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "CONNECT", "PATCH", "TRACE", "PRI"})
_WITHOUT_ARGUMENT = frozenset({"STARTTLS", "DATA", "RSET", "QUIT"})
_replace_odd = re.compile(r"[^A-Za-z0-9.:_\[\]-]").sub


class Session(Dialogue):
    """One client's dialogue; ``tls`` says that it is encrypted from the first octet (RFC 8314, 3.3)."""

    __slots__ = (
        "_allowed", "_content", "_exchange", "_hostname", "_idle", "_limits", "_reader", "_state", "_transaction",
        "helo",
    )  # fmt: skip
    _offers, _refusal = staticmethod(replies.ehlo), staticmethod(refusal)

    def __init__(self, hostname: str, limits: Limits = DEFAULT_LIMITS, tls: bool = False) -> None:
        super().__init__(hostname, limits)
        self._hostname = hostname
        self._limits = limits
        self._allowed = ALLOWED
        self._exchange: LoginExchange | None = None
        self._content: ContentReader | ChunkReader | None = None  # of the transaction
        self._reader: ContentReader | ChunkReader | RefusedChunk | None = None  # takes the octets until it is complete
        self._transaction = IncomingTransaction(limits)
        self._idle = State.SECURE if tls else State.CLEAR
        self.helo = ""  # what the client called itself, fit for a header field
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
        """Whether a content is being received, also between two chunks of it."""
        return self._content is not None

    def receive(self, data: bytes) -> None:
        """Takes bytes of the client, in any cutting; call ``poll`` then."""
        if self._state is State.HANDSHAKE:
            self.closing = True  # in clear text, although TLS was agreed on; what could be said would mean nothing
        if not self.closing:
            self._lines.buffer += data

    def poll(self) -> Event | None:
        """The next event; None when more bytes or the answer to the last event are needed."""
        while self._open is None and not self.closing:
            if self._reader is not None:
                block = self._reader.read(self._lines.buffer)
                if block != b"":
                    return None if block is None else Content(block)
                self._open = self._octets_read(self._reader)
                if self._open is not None:
                    return self._open
                continue
            try:
                line = self._lines.take(login=self._exchange is not None)
                if line is None:
                    return None
                text = line.decode("utf-8", "surrogateescape").rstrip(" \t")  # RFC 5321, 4.1.1: white space
                event = self._execute(text) if self._exchange is None else self._login(self._exchange, text)
            except Hopeless as hopeless:
                self._close(hopeless.reply)
            except Refused as refused:
                self._exchange = None
                self._complain(Trial.ERROR, refused.reply)
            else:
                if event is not None:
                    if isinstance(event, Abandoned):
                        return self._abandoned(event)
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

    def shut_down(self) -> None:
        """Ends the session because the server stops (RFC 5321, 3.8); a content that is coming behind its answer."""
        if self.in_content and not self.closing:
            self._farewell = replies.SHUTTING_DOWN
        else:
            super().shut_down()

    def _abandoned(self, event: Abandoned) -> Abandoned:
        if self._farewell is not None:  # there is no content any more that it would wait for
            self._close(self._farewell)
        return event

    def _reset(self) -> Abandoned | None:
        """Forgets the mail transaction (RFC 5321, 4.1.1.5); tells of it when its content was begun."""
        begun, self._content = self._content, None
        self._state = self._idle
        self._transaction.clear()
        return None if begun is None else Abandoned()

    def _execute(self, text: str) -> Question | Abandoned | None:
        verb, _, argument = text.partition(" ")
        verb, argument = verb.upper(), argument.lstrip(" ")
        if not (text.isascii() and text.isprintable()):
            check_characters(text)
        if verb in self._allowed[self._state]:
            if argument and verb in _WITHOUT_ARGUMENT:
                raise Refused(replies.BAD_ARGUMENT)
            return _HANDLERS[verb](self, argument)
        if verb in _HTTP and "HTTP/" in text:
            raise Hopeless(replies.NOT_HTTP)
        if verb[:4] == "BDAT":
            self._refuse_chunk(verb, argument)
            return None
        if verb == "RCPT" and self.authenticated:
            self._complain(Trial.REFUSED, refusal(self._state, verb))  # a whole list may follow a refused MAIL
            return None
        raise Refused(self._refusal(self._state, verb))

    def _ehlo(self, argument: str) -> Abandoned | None:
        return self._greet(argument, self._offers(self._hostname, self._limits, self.tls))

    def _helo(self, argument: str) -> Abandoned | None:
        return self._greet(argument, replies.helo(self._hostname))

    def _greet(self, argument: str, reply: Reply) -> Abandoned | None:
        if not argument:
            raise Refused(replies.NAME_YOURSELF)
        self._junk()
        self.helo = _replace_odd("?", argument[:255])
        if not self.authenticated:
            self._idle = State.GREETED if self.tls else State.CLEAR_GREETED
        self._say(reply)
        return self._reset()

    def _starttls(self, _argument: str) -> StartTls:
        if self._lines.buffer:
            raise Hopeless(replies.BEHIND_STARTTLS)
        self._state = State.HANDSHAKE
        return StartTls()

    def _starttls_answered(self, _event: StartTls, reply: Reply) -> None:
        self._say(reply)
        if not reply.positive:
            self._reset()

    def _auth(self, argument: str) -> Login | None:
        mechanism, _, initial = argument.partition(" ")
        if not mechanism:
            raise Refused(replies.BAD_ARGUMENT)
        self._exchange = LoginExchange(mechanism)
        if initial:
            return self._login(self._exchange, initial.strip(" "), initial=True)
        self._say(self._exchange.challenge)
        return None

    def _login(self, exchange: LoginExchange, response: str, initial: bool = False) -> Login | None:
        login = exchange.respond(response, initial)
        if login is None:
            self._say(exchange.challenge)
        else:
            self._exchange = None
        return login

    def _login_answered(self, _event: Login, reply: Reply) -> None:
        if reply.positive:
            self._idle = State.READY
            self._reset()
            self._say(reply)
        else:
            self._complain(Trial.LOGIN, reply)

    def _mail(self, argument: str) -> Mail:
        if not self._patience.messages:
            raise Hopeless(replies.TOO_MANY_MESSAGES)
        return parse_mail(argument, self._limits)

    def _mail_answered(self, event: Mail, reply: Reply) -> None:
        if not reply.positive:
            self._complain(Trial.REFUSED, reply)
            return
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
        self._complain(Trial.SURPLUS if reply == replies.TOO_MANY_RECIPIENTS else Trial.REFUSED, reply)

    def _rcpt_answered(self, event: Rcpt, reply: Reply) -> None:
        if not reply.positive:
            self._recipient_refused(reply)
            return
        self._transaction.recipients.append(event.recipient)
        self._state = State.RCPT
        self._say(reply)

    def _data(self, _argument: str) -> None:
        self._content = self._reader = ContentReader(*self._limits.of_content)
        self._say(replies.START_CONTENT)

    def _bdat(self, argument: str) -> None:
        chunk = Chunk.parse(argument)
        if not isinstance(self._content, ChunkReader):
            self._content = ChunkReader(*self._limits.of_content)
            self._state = State.CHUNKS
        self._content.expect(chunk)
        self._reader = self._content

    def _refuse_chunk(self, verb: str, argument: str) -> None:
        """Its octets come all the same, and are taken before anything is said (RFC 3030, 2)."""
        if not self.tls:
            # Whoever has not even begun TLS may send any number of octets; no honest client does.
            raise Hopeless(replies.TLS_REQUIRED)
        if verb != "BDAT":
            raise Hopeless(replies.BAD_CHUNK)
        self._reader = RefusedChunk(Chunk.parse(argument), refusal(self._state, verb))

    def _octets_read(self, reader: ContentReader | ChunkReader | RefusedChunk) -> EndOfContent | None:
        """All octets that were announced, or all up to the dot, have come."""
        self._reader = None
        if isinstance(reader, ContentReader) or (isinstance(reader, ChunkReader) and reader.ended):
            self._content = None
            return EndOfContent(self._transaction.envelope(), reader.size, reader.flaw)
        if isinstance(reader, RefusedChunk):  # many may follow a refused MAIL
            self._complain(Trial.REFUSED if self.authenticated else Trial.ERROR, reader.reply)
        elif reader.octets and reader.flaw is None:
            self._say(reader.reply)
        else:
            self._complain(Trial.REFUSED if reader.flaw else Trial.JUNK, reader.reply)
        return None

    def _content_answered(self, event: EndOfContent, reply: Reply) -> None:
        if event.flaw is not None and reply.positive:
            reply = event.flaw  # what was not handed on to its end cannot be ours
        self._reset()
        if reply.positive:
            self._patience.rewarded()
            self._say(reply)
        else:
            self._complain(Trial.REFUSED, reply)

    def _rset(self, _argument: str) -> Abandoned | None:
        self._junk()
        self._say(replies.OK)
        return self._reset()

    def _vrfy(self, argument: str) -> None:
        if not argument:
            raise Refused(replies.BAD_ARGUMENT)
        self._junk()
        self._say(replies.CANNOT_VERIFY)

    def _quit(self, _argument: str) -> None:
        self._close(replies.CLOSING)


def _saying(reply: Reply) -> Callable[[Session, str], None]:
    def say(session: Session, _argument: str) -> None:
        session._junk()
        session._say(reply)

    return say


_HANDLERS: Mapping[str, Callable[[Session, str], Question | Abandoned | None]] = {
    "EHLO": Session._ehlo,
    "HELO": Session._helo,
    "STARTTLS": Session._starttls,
    "AUTH": Session._auth,
    "MAIL": Session._mail,
    "RCPT": Session._rcpt,
    "DATA": Session._data,
    "BDAT": Session._bdat,
    "RSET": Session._rset,
    "NOOP": _saying(replies.OK),
    "VRFY": Session._vrfy,
    "EXPN": _saying(replies.NO_LISTS),
    "HELP": _saying(replies.HELP),
    "QUIT": Session._quit,
}
_ANSWERS: Mapping[type[Question], Callable[[Session, Any, Reply], None]] = {
    StartTls: Session._starttls_answered,
    Login: Session._login_answered,
    Mail: Session._mail_answered,
    Rcpt: Session._rcpt_answered,
    EndOfContent: Session._content_answered,
}
