"""SMTP dialogues as text: parses the scripts of ``tests/dialogues``, plays them on the bare session or a live server.

A script is a head of ``#`` lines and then, line by line::

    C: text      the client sends the line; lines in a row go out in one write
    C<: text     the client sends exactly this, with Python's escapes and no line end added
    S: text      the next line of the server begins with this
    S*: text     every line of the server's next reply begins with this
    C{9}: text   nine times the same line; so with S{9}
    *: SECURE    (first) the link is encrypted from the start
    *: TLS       the client starts TLS
    *: LOGIN     the same as EHLO and AUTH PLAIN, both answered well
    *: CLOSED    the server has nothing more to say and closes

``{plain}``, ``{username}`` and ``{password}`` stand for the base64 of the login data, ``{x*600}`` for 600 times ``x``.
The scripts in the folder ``normalise`` are for a server that makes all line ends CR LF.
"""

from __future__ import annotations

import re
import socket
import ssl
from base64 import b64encode
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

from postmeter.smtp import replies
from postmeter.smtp.events import Abandoned, Content, EndOfContent, Event, Login, Mail, Question, Rcpt, StartTls
from postmeter.smtp.limits import DEFAULT_LIMITS, Limits
from postmeter.smtp.reply import Reply
from postmeter.smtp.session import Session

DIALOGUES = Path(__file__).parent.parent / "dialogues"
_LOGIN = ("C: EHLO client.example", "S*: 250", "C: AUTH PLAIN {plain}", "S: 235 2.7.0")


@dataclass(frozen=True)
class Credentials:
    """Who the scripts log in as."""

    username: str = "shop"
    password: str = "secret"

    def fill(self, text: str) -> str:
        """``text`` with the login data in place of the placeholders."""
        text = text.replace("{plain}", _base64(f"\0{self.username}\0{self.password}"))
        return text.replace("{username}", _base64(self.username)).replace("{password}", _base64(self.password))


@dataclass(frozen=True)
class Step:
    """``line`` in the script; ``kind`` is ``C``, ``C<``, ``S``, ``S*`` or ``*``."""

    line: int
    kind: str
    text: str

    def octets(self, credentials: Credentials) -> bytes:
        """What the client sends."""
        text = re.sub(r"\{(.)\*(\d+)\}", lambda found: found[1] * int(found[2]), credentials.fill(self.text))
        if self.kind == "C":
            return text.encode() + b"\r\n"
        return text.encode().decode("unicode_escape").encode("latin-1")


@dataclass(frozen=True)
class Script:
    """One dialogue; ``title`` is its head in one line."""

    name: str
    title: str
    secure: bool
    steps: tuple[Step, ...]


def parse_script(text: str, name: str = "") -> Script:
    """The dialogue that ``text`` describes; ValueError with the line number when it is not one."""
    head: list[str] = []
    steps: list[Step] = []
    secure = False
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("#"):
            head.append(line[1:].strip())
        elif line == "*: SECURE" and not steps:
            secure = True
        elif line == "*: LOGIN":
            steps.extend(_step(number, each) for each in _LOGIN)
        elif line:
            steps.extend(_steps(number, line))
    return Script(name, " ".join(head), secure, tuple(steps))


def load_scripts(folder: str = "") -> list[Script]:
    """All scripts of the folder, without those of folders in it, in the order of their names."""
    return [parse_script(path.read_text("utf-8"), path.stem) for path in sorted((DIALOGUES / folder).glob("*.txt"))]


def decide(event: Question, credentials: Credentials) -> Reply:
    """How a server that refuses nothing by policy answers."""
    match event:
        case StartTls():
            return replies.READY_FOR_TLS
        case Login(username=username, password=password):
            known = (username, password) == (credentials.username, credentials.password)
            return replies.AUTHENTICATED if known else replies.AUTHENTICATION_FAILED
        case Mail():
            return replies.SENDER_OK
        case Rcpt(recipient=recipient):  # RFC 6409, 4.2: nothing is local here
            return replies.RECIPIENT_OK if "@" in recipient.forward_path else replies.NO_SUCH_DOMAIN
        case EndOfContent(flaw=flaw):
            return flaw or replies.queued("01M845D52EFTKSJPV36DHCW3RR")


@dataclass
class Driver:
    """Feeds a session and answers its events as ``decide`` says; keeps the events and what was written."""

    session: Session
    credentials: Credentials = field(default_factory=Credentials)
    events: list[Event] = field(default_factory=list)
    written: bytes = b""

    def __post_init__(self) -> None:
        self.flush()

    def send(self, data: bytes) -> bytes:
        """What the session says to ``data``."""
        self.session.receive(data)
        while (event := self.session.poll()) is not None:
            self.events.append(event)
            if not isinstance(event, Content | Abandoned):
                self.session.answer(decide(event, self.credentials))
        return self.flush()

    def flush(self) -> bytes:
        """Writes what waits."""
        out = self.session.outgoing()
        self.written += out
        return out

    @property
    def content(self) -> bytes:
        """All content so far."""
        return b"".join(event.block for event in self.events if isinstance(event, Content))


def whole(data: bytes) -> Iterable[bytes]:
    """All in one piece."""
    return [data] if data else []


def octet_by_octet(data: bytes) -> Iterable[bytes]:
    """The smallest pieces there are."""
    return (data[place : place + 1] for place in range(len(data)))


def play_on_machine(
    script: Script, cut: Callable[[bytes], Iterable[bytes]] = whole, limits: Limits = DEFAULT_LIMITS
) -> Driver:
    """Plays the script on the bare session; AssertionError with the line number where it says something else."""
    credentials = Credentials()
    driver = Driver(Session("mail.example.net", limits, script.secure), credentials)
    waiting = driver.written.splitlines(keepends=True)
    sending = b""
    for step in script.steps:
        if step.kind.startswith("C"):
            sending += step.octets(credentials)
            continue
        for piece in cut(sending):
            waiting += driver.send(piece).splitlines(keepends=True)
        sending = b""
        if step.kind == "*":
            _direct(script, step, driver, waiting)
        else:
            _expect(script, step, waiting)
    assert not waiting, f"{script.name}: the server says more: {waiting}"
    return driver


def play_on_socket(script: Script, port: int, trusted: ssl.SSLContext, seconds: float = 10.0) -> None:
    """Plays the script with a live server on loopback, in a thread; AssertionError as ``play_on_machine``.

    ``port`` is one with implicit TLS for a script that is encrypted from the start.
    """
    credentials = Credentials()
    link: socket.socket = socket.create_connection(("127.0.0.1", port), seconds)
    link = trusted.wrap_socket(link, server_hostname="localhost") if script.secure else link
    sending, rest = b"", b""
    with ExitStack() as stack:
        stack.callback(lambda: link.close())
        for step in script.steps:
            if step.kind.startswith("C"):
                sending += step.octets(credentials)
                continue
            if sending:
                with suppress(BrokenPipeError, ConnectionResetError):  # the server may have closed: what did it say?
                    link.sendall(sending)
                sending = b""
            if step.kind == "*" and step.text == "TLS":
                assert not rest, f"{script.name}:{step.line}: the server says more: {rest!r}"
                link = trusted.wrap_socket(link, server_hostname="localhost")
            elif step.kind == "*":
                rest += _read(link, lambda _: False)
                assert not rest, f"{script.name}:{step.line}: the server says more: {rest!r}"
            else:
                rest += _read(link, _complete, rest)
                waiting, rest = _lines(rest)
                _expect(script, step, waiting)
                rest = b"".join(waiting) + rest


def _read(link: socket.socket, enough: Callable[[bytes], bool], have: bytes = b"") -> bytes:
    """What the server says until it is enough or the link is closed."""
    read = b""
    while not enough(have + read):
        try:
            piece = link.recv(65536)
        except (ConnectionResetError, ssl.SSLEOFError, ssl.SSLZeroReturnError):
            break
        if not piece:
            break
        read += piece
    return read


def _complete(said: bytes) -> bool:
    """Whether this holds at least one whole reply."""
    return any(line[3:4] != b"-" and line.endswith(b"\n") for line in said.splitlines(keepends=True))


def _lines(said: bytes) -> tuple[list[bytes], bytes]:
    """The complete lines, and the rest."""
    lines = said.splitlines(keepends=True)
    return (lines, b"") if said.endswith(b"\n") else (lines[:-1], b"".join(lines[-1:]))


def _direct(script: Script, step: Step, driver: Driver, waiting: list[bytes]) -> None:
    assert not waiting, f"{script.name}:{step.line}: the server says more: {waiting}"
    if step.text == "TLS":
        driver.session.tls_started()
    else:
        assert driver.session.closing, f"{script.name}:{step.line}: the session goes on"


def _expect(script: Script, step: Step, waiting: list[bytes]) -> None:
    more = True
    while more:
        place = f"{script.name}:{step.line}"
        assert waiting, f"{place}: the server is silent instead of {step.text!r}"
        line = waiting.pop(0)
        assert line.startswith(step.text.encode()), f"{place}: {line!r} instead of {step.text!r}"
        more = step.kind == "S*" and line[3:4] == b"-"


def _steps(number: int, line: str) -> list[Step]:
    """The step of a line, as often as the line says."""
    repeated = re.match(r"([CS])\{(\d+)\}(:.*)", line)
    if repeated is None:
        return [_step(number, line)]
    return [_step(number, repeated[1] + repeated[3])] * int(repeated[2])


def _step(number: int, line: str) -> Step:
    kind, colon, text = line.partition(":")
    text = text.removeprefix(" ")
    if not colon or kind not in ("C", "C<", "S", "S*", "*") or (kind == "*" and text not in ("TLS", "CLOSED")):
        raise ValueError(f"line {number} is not a step: {line!r}")
    return Step(number, kind, text)


def _base64(text: str) -> str:
    return b64encode(text.encode()).decode()
