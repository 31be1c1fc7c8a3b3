"""Fuzz target: any text as a path, parameters, header section, reply or PROXY header is read or refused, and in time.

The first octet of an input says as what the rest is read (``READERS``), from ``REPEATED`` on also over and over again
in one long text. What was read, written again and read again, is the same; nothing raises but what the reader declares.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from ipaddress import ip_address

from fuzz.play import find_control
from postmeter.message.editing import prepare
from postmeter.message.header import HeaderSection
from postmeter.message.originator import originator_domains
from postmeter.smtp.address import MAX_LOCAL, MAX_PATH, Mailbox, Path, parse_forward_path, parse_reverse_path
from postmeter.smtp.parameters import parse_mail_parameters, parse_rcpt_parameters
from postmeter.smtp.proxy import read_header
from postmeter.smtp.reply import Refused, Reply
from postmeter.smtp.reply_reader import MAX_STORED_TEXT, ReplyReader
from support.dialogue import Credentials, Script, load_scripts

MAX_SIZE = 31_457_280
REPEATED = 240  # first octets of one in 16 inputs
LONG = 100_000  # octets that are read within PATIENCE; a reader that takes the square of the time needs minutes
PATIENCE = 2.0  # seconds
_find_odd = re.compile(rb"(?<!\r)\n|\r(?!\n)|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]").search
_xtext = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*").fullmatch

SAMPLES = {
    4: (
        b"7From: Shop <a@shop.example>\r\nSender: b@shop.example\r\nSubject: =?utf-8?q?=C3=A4?= =?utf-8?b?w6Q=?=\r\n",
        b'8From: "B\xc3\xbcro" (desk) <a@b\xc3\xbccher.example>, b@shop.example\r\nTo: a\r\n\tb\r\n\r\n',
        b"7From: a@shop.example\r\nBcc: b@example.org\r\nMessage-ID: <a@b>\r\n",
        b"7From: a@shop.example\r\nList-Help: <https://a.b/>, <mailto:a@b>\r\nPostmeter-Idempotency-Key: a\r\n\r\n",
    ),
    5: (b"250-a\r\n250 2.1.0 b\r\n550 5.7.1 c\r\n", b"421 \xff\x1b[1m\r\n", b"354 \n220\r\n"),
    6: (
        b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 587\r\n",
        b"PROXY TCP6 2001:db8::1 ::1 1 2\r\nEHLO a\r\n",
        b"PROXY TCP6 fe80::1%\x1b[2J ::1 1 2\r\n",
        b"PROXY UNKNOWN\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\2\1\xc0\0\2\2\xdc\4\2\x4b",
        b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0",
    ),
}  # by reader


def seeds() -> Iterator[bytes]:
    """The paths and parameters of all dialogue scripts, and the samples."""
    paths = {(verb, path) for script in load_scripts() for verb, path in _paths(script) if len(path) < 1000}
    for verb, path in sorted(paths):
        number = (b"MAIL FROM", b"RCPT TO").index(verb)
        yield bytes([number]) + path
        if parameters := path.partition(b"> ")[2]:
            yield bytes([number + 2]) + parameters
    for number, samples in SAMPLES.items():
        for sample in samples:
            yield bytes([number]) + sample


def _paths(script: Script) -> Iterator[tuple[bytes, bytes]]:
    for step in script.steps:
        verb, _, path = step.octets(Credentials()).strip(b"\r\n").partition(b":")
        if verb in (b"MAIL FROM", b"RCPT TO"):
            yield verb, path


def check(data: bytes) -> None:
    """AssertionError, or what a reader must not raise."""
    if not data:
        return
    read, refusals = READERS[data[0] % len(READERS)]
    with suppress(*refusals):
        read(data[1:])
    if data[0] >= REPEATED and len(data) > 1:
        begun = time.process_time()
        with suppress(*refusals):
            read(data[1:] * (LONG // (len(data) - 1)))
        assert time.process_time() - begun < PATIENCE


def _reverse_path(data: bytes) -> None:
    path = parse_reverse_path(_text(data))
    if path.mailbox:
        _look_at_path(path, parse_reverse_path)


def _forward_path(data: bytes) -> None:
    path = parse_forward_path(_text(data))
    if "@" in path.mailbox:
        _look_at_path(path, parse_forward_path)
        assert "." in path.mailbox.rpartition("@")[2]
    else:
        assert path.mailbox.lower() == "postmaster"


def _look_at_path(path: Path, parse: Callable[[str], Path]) -> None:
    mailbox = Mailbox.parse(path.mailbox)
    assert str(mailbox) == path.mailbox
    assert not find_control(path.mailbox)
    assert len(mailbox.local.encode()) <= MAX_LOCAL
    assert len(path.mailbox.encode()) + 2 <= MAX_PATH
    assert parse(f"<{path.mailbox}>") == Path(path.mailbox, "")
    assert mailbox.local[0] == '"' or not set(' ()<>[]:;@\\,"') & set(mailbox.local)


def _mail_parameters(data: bytes) -> None:
    said = parse_mail_parameters(_text(data), MAX_SIZE)
    assert 0 <= said.size <= MAX_SIZE
    assert _xtext(said.envid)
    again = f"SIZE={said.size} BODY={said.body}" + " SMTPUTF8" * said.smtputf8
    again += f" RET={said.ret}" * bool(said.ret) + f" ENVID={said.envid}" * bool(said.envid)
    assert parse_mail_parameters(again, MAX_SIZE) == said


def _rcpt_parameters(data: bytes) -> None:
    said = parse_rcpt_parameters(_text(data))
    again = f"NOTIFY={said.notify}" * bool(said.notify) + f" ORCPT={said.orcpt}" * bool(said.orcpt)
    assert _xtext(said.orcpt)
    assert parse_rcpt_parameters(again) == said


def _header(data: bytes) -> None:
    smtputf8 = data[:1] == b"8"
    section = HeaderSection.parse(data[1:], smtputf8=smtputf8)
    assert section.raw == data[1:]
    assert not _find_odd(section.raw)
    assert all(field.raw.endswith(b"\r\n") and field.name.isascii() for field in section.fields)
    domains = originator_domains(section)
    assert all(domain == domain.lower() and domain.isascii() and domain.isprintable() for domain in domains)
    head = prepare(
        section, identifier="01M845D52EFTKSJPV36DHCW3RR", connection="7", hostname="mail.example.net", seconds=0,
        list_help="<https://shop.example/help>", smtputf8=smtputf8,
    )  # fmt: skip
    assert head.subject.isprintable()
    assert head.message_id.isprintable()
    assert HeaderSection.read(head.section.raw).raw == head.section.raw


def _reply(data: bytes) -> None:
    octets = [data[place : place + 1] for place in range(len(data[:2000]))]
    assert _replies([data]) == _replies([*octets, data[2000:]])


def _replies(pieces: Iterable[bytes]) -> list[Reply | str]:
    reader = ReplyReader()
    told: list[Reply | str] = []
    for piece in pieces:
        reader.feed(piece)
        try:
            while (reply := reader.next()) is not None:
                assert not find_control(reply.text.replace("\n", ""))
                assert len(reply.text.encode()) <= MAX_STORED_TEXT
                told.append(reply)
        except ValueError:
            return [*told, "no reply"]
    return told


def _proxy(data: bytes) -> None:
    header = read_header(data)
    if header is None:
        return
    assert header.client is None or header.client == str(ip_address(header.client))
    assert "%" not in str(header.client)
    assert read_header(data[: header.size]) == header
    try:
        assert all(read_header(data[:place]) is None for place in range(header.size))
    except ValueError:
        raise AssertionError("a header is refused before it is complete") from None


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


Reader = tuple[Callable[[bytes], None], tuple[type[Exception], ...]]
READERS: tuple[Reader, ...] = (
    (_reverse_path, (Refused,)),
    (_forward_path, (Refused,)),
    (_mail_parameters, (Refused,)),
    (_rcpt_parameters, (Refused,)),
    (_header, (Refused,)),
    (_reply, ()),
    (_proxy, (ValueError,)),
)
