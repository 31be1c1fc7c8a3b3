"""One session under a fuzzed dialogue: answers every question, and asserts what must hold whatever a client sends."""

from __future__ import annotations

import re
from collections.abc import Iterable

from fuzz.wire import Wire, fault
from postmeter.message.envelope import Recipient
from postmeter.smtp import replies
from postmeter.smtp.address import Mailbox
from postmeter.smtp.events import Abandoned, Content, EndOfContent, Event, Login, Mail, Question, Rcpt, StartTls
from postmeter.smtp.limits import Limits
from postmeter.smtp.lines import MAX_PATH_COMMAND
from postmeter.smtp.reply import MAX_REPLY_LINE, Reply
from postmeter.smtp.session import Session
from support.dialogue import octet_by_octet

HOSTNAME = "mail.example.net"
find_control = re.compile("[\0-\x1f\x7f-\x9f\u2028\u2029]").search
LATER = Reply(451, "4.3.0", "Later")
_BEHIND = replies.BEHIND_STARTTLS.encode()
_match_reply = re.compile(r"([2-5]\d\d)([ -])(?:([245])\.\d{1,3}\.\d{1,3} )?[ -~]*\r\n").fullmatch


class Play:
    """Plays one dialogue. ``told``: the events, with content in one piece; ``written``: what the server said."""

    def __init__(self, limits: Limits, tls: bool, refused: int, *, octets: bool, late: bool) -> None:
        self.session = Session(HOSTNAME, limits, tls)
        self.told: list[Event] = []
        self.written = self.session.outgoing()
        self.muddled = False  # octets in clear text came behind STARTTLS
        self._limits = limits
        self._refused = refused
        self._late = late
        self._wire = Wire() if octets else None
        self._open: Question | None = None
        self._asked = 0
        self._tls = tls
        self._known = False
        self._hands = False  # STARTTLS was answered well, TLS is to come
        self._sender = ""
        self._recipients: list[Recipient] = []
        self._content = b""

    def log_in(self, lines: bytes) -> None:
        """Begins with a login that is not refused."""
        refused, self._refused = self._refused, 0
        self.fly([lines])
        assert self.session.authenticated
        self._refused, self._asked = refused, 0

    def fly(self, pieces: Iterable[bytes], *, stop: bool = False) -> None:
        """The client sends the pieces one after the other and waits until all is answered; or the server stops."""
        for piece in pieces:
            self.muddled = self.muddled or self._hands or isinstance(self._open, StartTls)
            self.session.receive(piece)
            if self._wire is not None:
                self._wire.sent(piece, self.session.in_content, self.session.closing)
            self._poll()
            assert self.session.closing or self._wire is None or not self._wire.hopeless
        if stop:
            self.session.shut_down()
        while self._open is not None:
            self._answer(self._open)
            self._poll()
        if self._hands and not self.session.closing:
            self.session.tls_started()
            self._tls = True
        self._hands = False
        self._look_at_what_is_kept()

    def end(self) -> None:
        """The server stops, but not in the midst of a content; a session that is over says and does nothing more."""
        over = self.session.closing
        self.session.shut_down()
        if not self.session.closing:
            assert self.session.in_content
            self.fly(octet_by_octet(b"\r\n.\r\nRSET\r\n"))
        self._flush()
        assert over or self.session.in_content or self.written.endswith(replies.SHUTTING_DOWN.encode())
        self.session.refuse(replies.TIMED_OUT)  # in a chunk that goes on
        self._flush()
        assert self.session.closing
        self.session.receive(b"NOOP\r\n")
        assert self.session.poll() is None
        assert self.session.outgoing() == b""
        _look_at_replies(self.written)

    def _poll(self) -> None:
        while self._open is None and (event := self.session.poll()) is not None:
            self._tell(event)
            if not isinstance(event, Content | Abandoned):
                self._open = event
                if not self._late:
                    self._answer(event)
        self._flush()
        if self._open is not None:  # nothing happens before the answer
            assert self.session.poll() is None
            assert self.session.outgoing() == b""

    def _flush(self) -> None:
        if said := self.session.outgoing():
            self.written += said
            self.muddled = self.muddled or _BEHIND in said
            if self._wire is not None:
                self._wire.said(said)

    def _answer(self, event: Question) -> None:
        self._open = None
        reply = LATER if self._refused >> self._asked % 8 & 1 else _kind_word(event)
        self._asked += 1
        if reply.positive:
            self._note(event)
        self.session.answer(reply)

    def _note(self, event: Question) -> None:
        match event:
            case StartTls():
                self._hands = not self.session.closing
            case Login():
                self._known = True
            case Mail(reverse_path=path):
                self._sender, self._recipients = path, []
            case Rcpt(recipient=recipient):
                self._recipients.append(recipient)

    def _tell(self, event: Event) -> None:
        last = self.told[-1] if self.told else None
        if isinstance(event, Content) and isinstance(last, Content):
            self.told[-1] = Content(last.block + event.block)
        else:
            self.told.append(event)
        self._look_at_the_right(event)
        match event:
            case Content(block=block):
                self._content += block
            case Abandoned():
                self._content = b""
            case Mail(reverse_path=path) if path:
                assert str(Mailbox.parse(path)) == path
            case Rcpt(recipient=recipient):
                assert not find_control(recipient.forward_path)
                assert len(self._recipients) < self._limits.max_recipients
            case EndOfContent():
                self._look_at_content(event)

    def _look_at_the_right(self, event: Event) -> None:
        """Nobody logs in without TLS, and nobody sends without a login."""
        match event:
            case StartTls():
                assert not self._tls
            case Login():
                assert self._tls
                assert not self._known
            case _:
                assert self._tls
                assert self._known

    def _look_at_content(self, event: EndOfContent) -> None:
        content, self._content = self._content, b""
        assert event.envelope.reverse_path == self._sender
        assert event.envelope.recipients == tuple(self._recipients) != ()
        assert event.flaw is not None or event.size == len(content)
        assert event.flaw is not None or fault(content, self._limits) is None
        if self._wire is not None:
            self._wire.look_at(content, event.flaw, self._limits)

    def _look_at_what_is_kept(self) -> None:
        """What waits in the session is part of one line."""
        waiting = len(self.session._lines.buffer)
        assert waiting <= max(self._limits.max_login_line, MAX_PATH_COMMAND)
        assert not (waiting and self.session.closing)


def _kind_word(event: Question) -> Reply:
    match event:
        case StartTls():
            return replies.READY_FOR_TLS
        case Login(username="shop", password="secret"):
            return replies.AUTHENTICATED
        case Login():
            return replies.AUTHENTICATION_FAILED
        case Mail():
            return replies.SENDER_OK
        case Rcpt():
            return replies.RECIPIENT_OK
        case EndOfContent(flaw=flaw):
            return flaw or replies.queued("01M845D52EFTKSJPV36DHCW3RR")


def _look_at_replies(written: bytes) -> None:
    """Every line is a line of a reply, and its enhanced status code says the same as its code (RFC 2034, 4)."""
    code, of_the_host = "", False
    for line in written.decode("ascii").splitlines(keepends=True):
        found = _match_reply(line)
        assert found is not None, line
        assert len(line) <= MAX_REPLY_LINE
        assert code in ("", found[1]), line
        of_the_host = (of_the_host and code != "") or line[4:].startswith(HOSTNAME)  # the greeting and answers to it
        plain = of_the_host or found[1] in ("334", "354")
        assert found[3] == (None if plain else found[1][0]), line
        code = found[1] if found[2] == "-" else ""
    assert code == ""
