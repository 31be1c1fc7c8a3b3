"""What a mail to a return path is: a notification about deliveries, a complaint, an automatic answer, or none of them.

Notifications come as RFC 3464 wants them (in RFC 6522's container; RFC 6533 with it) or in the sender's own words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from postmeter.message import plain_bounce
from postmeter.message.feedback import feedback
from postmeter.message.parts import Header, Mail
from postmeter.message.statement import ACTIONS, FAILED, MAX_DIAGNOSTIC, Kind, Report, Statement, codes

STATUS = ("message/delivery-status", "message/global-delivery-status")
DISPOSITION = ("message/disposition-notification", "message/global-disposition-notification")  # RFC 8098
MAX_RECIPIENTS = 100

_BLANK_LINE = re.compile(rb"\n[ \t]*\r?\n")
_UNITEXT = re.compile(r"\\x\{([0-9A-Fa-f]{2,6})\}")  # RFC 6533, 3
_INLINE = "final-recipient:"


def read(content: bytes, *, null_sender: bool) -> Report:
    """What a mail says; ``null_sender``: it came from ``<>``, as notifications do (RFC 5321, 4.5.5)."""
    return understood(Mail.read(content), null_sender=null_sender)


def understood(mail: Mail, *, null_sender: bool) -> Report:
    """The same of a mail that was read already."""
    if said := feedback(mail):
        return Report(Kind.COMPLAINT, feedback=said)
    if statements := tuple(islice(_standard(mail), MAX_RECIPIENTS)):
        return Report(Kind.NOTIFICATION, statements)
    if next(mail.of(*DISPOSITION), None):
        return Report(Kind.AUTOMATIC)
    return plain_bounce.read(mail, null_sender=null_sender)


def _standard(mail: Mail) -> Iterator[Statement]:
    """What delivery-status parts say, also where they stand in the text itself."""
    for part in mail.of(*STATUS):
        yield from _blocks(part.body)
    if not next(mail.of(*STATUS), None):
        for part in mail.of("text/plain"):
            if _INLINE in (text := part.text).lower():
                yield from _blocks(text.encode())


def _blocks(octets: bytes) -> Iterator[Statement]:
    for block in _BLANK_LINE.split(octets)[: MAX_RECIPIENTS + 1]:
        header = Header.read(block)
        statement = _statement(header) if header.get("final-recipient") or header.get("original-recipient") else None
        if statement:
            yield statement


def _statement(header: Header) -> Statement | None:
    action = header.get("action").partition(" ")[0].strip(";,").lower()
    diagnostic = _untyped(header.get("diagnostic-code"))
    code, status = codes(header.get("status").partition("(")[0])[1], codes(diagnostic)
    if action not in ACTIONS:
        action = FAILED if (code or status[1]).startswith("5") else ""
    if not action:
        return None
    return Statement(
        action=action,
        original=_address(header.get("original-recipient")),
        final=_address(header.get("final-recipient")),
        code=status[0],
        status=_telling(code, status[1]),
        diagnostic=diagnostic[:MAX_DIAGNOSTIC],
        remote=_untyped(header.get("remote-mta"))[:253],
    )


def _telling(status: str, in_diagnostic: str) -> str:
    """The status that says more: some put 5.0.0 in its field, and the server's own one into the diagnostic."""
    return in_diagnostic if in_diagnostic and (not status or status.endswith(".0.0")) else status


def _untyped(value: str) -> str:
    """The value behind its type (RFC 3464, 2.1.2)."""
    kind, mark, rest = value.partition(";")
    return (rest if mark and len(kind) <= 20 and " " not in kind.strip() else value).strip()


def _address(value: str) -> str:
    """The address of a recipient field."""
    address = _untyped(value).strip("<> ")[:320]
    return _UNITEXT.sub(_character, address)


def _character(found: re.Match[str]) -> str:
    number = int(found[1], 16)
    return chr(number) if number < 0xD800 or 0xDFFF < number <= 0x10FFFF else found[0]
