"""A notification to a sender of what became of his mail (RFC 3464, RFC 6522; RFC 6533 where an address needs it)."""

from __future__ import annotations

import re
import textwrap
from binascii import b2a_base64, b2a_qp
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from postmeter.message.advice import HEADINGS, SUBJECTS, advice
from postmeter.message.editing import date_time, subject_of
from postmeter.message.header import HeaderSection, head_size

Action = Literal["failed", "delayed", "relayed"]  # RFC 3464, 2.3.3
CLASSES: dict[Action, str] = {"failed": "5", "delayed": "4", "relayed": "2"}  # of the status (RFC 3463, 2)
WIDTH = 72  # characters of a line for people
MAX_DIAGNOSTIC = 1_500  # characters of a reply

_match_status = re.compile(r"[245][0-9]{2}[ -]([245]\.[0-9]{1,3}\.[0-9]{1,3})(?![0-9.])").match
_match_message_id = re.compile(rb"<[!-;=?-~]{1,250}>").fullmatch
_HEXADECIMAL = re.compile(r"\+([0-9A-F]{2})")
_UNSAFE = re.compile(r"[^!-*,-<>-\[\]-~]")  # what RFC 6533, 3 has written as \x{…}
_LITERAL = re.compile(r"[0-9.]+|[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*")


@dataclass(frozen=True, slots=True)
class Original:
    """The mail it is about: its header section, and its content if all of it is to be returned; ``envid`` in xtext.

    ``accepted_at`` is when it arrived here, in seconds since the epoch.
    """

    head: bytes
    accepted_at: float
    envid: str = ""
    content: bytes | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """What became of one recipient; ``orcpt`` in xtext, ``reply`` as it was kept, times in seconds since the epoch.

    ``at`` is that of the last attempt (None: it is not known), ``retry_until`` the end of the lifetime; ``remote`` is
    the server that gave the reply, empty if it is this relay's own word.
    """

    path: str
    action: Action
    reply: str
    at: float | None
    orcpt: str = ""
    remote: str = ""
    retry_until: float | None = None

    @property
    def status(self) -> str:
        """The enhanced status code of the reply, or the one that says nothing but the action's class."""
        found, wanted = _match_status(self.reply), CLASSES[self.action]
        return found[1] if found and found[1].startswith(wanted) else f"{wanted}.0.0"


def compose(
    original: Original, reports: Sequence[Report], *, to: str, hostname: str, identifier: str, now: float
) -> bytes:
    """The notification to the reverse path ``to``, with CRLF; it is in UTF-8 only if that address is."""
    utf8 = not to.isascii()
    section = HeaderSection.read(original.head)
    returned = _returned(original)
    parts = [
        _for_people(section, original, reports, hostname),
        _for_machines(original, reports, hostname, utf8),
        returned,
    ]
    boundary = f"=_{identifier}"
    fields = [
        f"From: MAILER-DAEMON <postmaster@{hostname}>",
        f"To: <{to}>",
        f"Subject: {subject(reports)}",
        f"Date: {date_time(int(now))}",
        f"Message-ID: <{identifier}@{hostname}>",
        *_thread(section),
        "Auto-Submitted: auto-replied",  # RFC 3834, 5
        "MIME-Version: 1.0",
        f'Content-Type: multipart/report; report-type=delivery-status;\r\n boundary="{boundary}"',
        *(["Content-Transfer-Encoding: 8bit"] if any(not part.isascii() for part in parts) else []),
    ]
    opened = f"\r\n--{boundary}\r\n".encode()
    body = b"".join([opened + part for part in parts]) + f"\r\n--{boundary}--\r\n".encode()
    return "\r\n".join([*fields, ""]).encode() + body


def subject(reports: Sequence[Report]) -> str:
    """What it says in one line: the worst of it."""
    return next(SUBJECTS[action] for action in CLASSES if any(report.action == action for report in reports))


def _thread(section: HeaderSection) -> list[str]:
    """The fields that put it below the mail that it is about (RFC 5322, 3.6.4)."""
    value = section.get(b"message-id") or b""
    named = value.decode() if _match_message_id(value) else ""
    return [f"In-Reply-To: {named}", f"References: {named}"] if named else []


def _for_people(section: HeaderSection, original: Original, reports: Sequence[Report], hostname: str) -> bytes:
    lines = [
        f"This is the mail server {hostname}. It writes about your mail of",
        f"{date_time(int(original.accepted_at))} with the subject",
        "",
        f"    {subject_of(section) or '(none)'}",
        "",
    ]
    for action in CLASSES:
        if concerned := [report for report in reports if report.action == action]:
            lines += _paragraph(HEADINGS[action])
            lines += [line for report in concerned for line in _about(report)]
            for sentence in dict.fromkeys(advice(report.action, report.status) for report in concerned):
                lines += _paragraph(sentence)
    text = "\r\n".join(lines)
    if text.isascii():
        return b"Content-Type: text/plain; charset=us-ascii\r\n\r\n" + text.encode()
    head = b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
    return head + b2a_qp(text.encode())


def _paragraph(text: str) -> list[str]:
    return [*textwrap.wrap(text, WIDTH), ""]


def _about(report: Report) -> list[str]:
    said = f"{report.remote} answered: " if report.remote else ""
    wrapped = textwrap.wrap(said + _printable(report.reply), WIDTH - 8, break_on_hyphens=False)
    until = [f"        It is tried until {date_time(int(report.retry_until))}."] if report.retry_until else []
    return [f"    {report.path}", *(f"        {line}" for line in wrapped), *until, ""]


def _for_machines(original: Original, reports: Sequence[Report], hostname: str, utf8: bool) -> bytes:
    kind = "message/global-delivery-status" if utf8 else "message/delivery-status"
    message = [
        f"Reporting-MTA: dns; {hostname}",
        *([f"Original-Envelope-Id: {from_xtext(original.envid)}"] if original.envid else []),
        f"Arrival-Date: {date_time(int(original.accepted_at))}",
    ]
    groups = [message, *(_fields(report, utf8) for report in reports)]
    head = [f"Content-Type: {kind}", *(["Content-Transfer-Encoding: 8bit"] if utf8 else [])]
    return "\r\n".join([*head, "", *(line for group in groups for line in (*group, ""))]).encode()


def _fields(report: Report, utf8: bool) -> Iterable[str]:
    kind, _, address = report.orcpt.partition(";")
    if report.orcpt:
        yield f"Original-Recipient: {kind}; {from_xtext(address)}"
    yield f"Final-Recipient: {_typed(report.path, utf8)}"
    yield f"Action: {report.action}"
    yield f"Status: {report.status}"
    if report.remote:
        yield f"Remote-MTA: dns; {f'[{report.remote}]' if _LITERAL.fullmatch(report.remote) else report.remote}"
    if report.reply:
        word = f"{'smtp' if report.remote else 'x-postmeter'}; {_printable(report.reply)}"
        yield "\r\n ".join(textwrap.wrap(f"Diagnostic-Code: {word}", WIDTH, break_on_hyphens=False))
    if report.at:
        yield f"Last-Attempt-Date: {date_time(int(report.at))}"
    if report.retry_until:
        yield f"Will-Retry-Until: {date_time(int(report.retry_until))}"


def _typed(path: str, utf8: bool) -> str:
    """An address with its type (RFC 3464, 2.1.2; RFC 6533, 3)."""
    if path.isascii():
        return f"rfc822; {path}"
    return f"utf-8; {path if utf8 else _UNSAFE.sub(_escaped, path)}"


def _escaped(found: re.Match[str]) -> str:
    return f"\\x{{{ord(found[0]):X}}}"


def _returned(original: Original) -> bytes:
    """The third part: the mail's header section, or all of it (RFC 3462 by name, RFC 6533 where it is in UTF-8)."""
    whole = original.content
    octets = original.head if whole is None else whole
    if original.head.isascii():
        eight_bit = b"" if octets.isascii() else b"Content-Transfer-Encoding: 8bit\r\n"
        kind = b"text/rfc822-headers" if whole is None else b"message/rfc822"
        return b"Content-Type: " + kind + b"\r\n" + eight_bit + b"\r\n" + octets
    kind = b"message/global-headers" if whole is None else b"message/global"
    encoded = b"\r\n".join([b2a_base64(octets[n : n + 57], newline=False) for n in range(0, len(octets), 57)])
    return b"Content-Type: " + kind + b"\r\nContent-Transfer-Encoding: base64\r\n\r\n" + encoded


def head_of(beginning: bytes) -> bytes:
    """The header section at the beginning of a content, as far as it is there, up to its last whole line."""
    head = beginning[: head_size(beginning)]
    return head[: head.rfind(b"\r\n") + 2]


def from_xtext(text: str) -> str:
    """The text that the xtext stands for (RFC 3461, 4); what it encodes is printable (``smtp.parameters``)."""
    return _HEXADECIMAL.sub(lambda found: chr(int(found[1], 16)), text)


def _printable(reply: str) -> str:
    """A reply in printable ASCII, in one line."""
    ascii = " ".join(reply.split())[:MAX_DIAGNOSTIC].encode("ascii", "backslashreplace").decode()
    return "".join([character if character.isprintable() else "?" for character in ascii])
