"""A mail on its way out: the commands and the octets it becomes on the wire, and the outcome for each recipient."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from postmeter.message.envelope import Envelope, Recipient
from postmeter.smtp.reply import Reply

Stage = Literal["sign", "route", "connect", "banner", "ehlo", "starttls", "mail", "rcpt", "data", "content"]
Extensions = Mapping[str, str]  # what EHLO offered: keyword in upper case -> its parameters

ABOUT_US = frozenset({"connect", "banner", "ehlo", "starttls"})  # a refusal here says nothing about a recipient
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_is_limit = re.compile(r"[1-9][0-9]{0,5}").fullmatch  # RFC 9422, 3
PIECE = 65_536  # octets of content that are written at a time; less content goes out in one piece


@dataclass(frozen=True, slots=True)
class Mail:
    """One mail transaction to do: the envelope as the next server shall see it, and the content in chunks.

    The content has CRLF line ends only; it is neither dot-stuffed nor ended. Where ``envelope.smtputf8`` is set the
    mail is not given to a server that lacks the extension (RFC 6531, 3.2): set it where something needs it.
    """

    envelope: Envelope
    content: tuple[bytes, ...]

    @property
    def size(self) -> int:
        """Octets of content (RFC 1870, 3)."""
        return sum(map(len, self.content))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one recipient (its index in the envelope): the reply that decided, and the stage it came at.

    ``in_doubt``: the final dot was sent and never answered, so the recipient may have got the mail (RFC 1047).
    """

    recipient: int
    reply: Reply
    stage: Stage
    delivered: bool = False
    in_doubt: bool = False

    @property
    def permanent(self) -> bool:
        """The recipient is refused for good; a 5xx before MAIL is about us and never so."""
        return self.reply.permanent and self.stage not in ABOUT_US


def limit(extensions: Extensions, name: str, most: int) -> int:
    """At most ``most``, and what the server says in its LIMITS, such as RCPTMAX (RFC 9422, 4)."""
    if "LIMITS" not in extensions:
        return most
    said = f" {extensions['LIMITS']}".upper().partition(f" {name}=")[2].partition(" ")[0]
    return min(most, int(said)) if _is_limit(said) else most


def envelope_commands(envelope: Envelope, size: int, extensions: Extensions) -> list[bytes]:
    """MAIL, one RCPT for each recipient, DATA; ValueError when a path or parameter would break out of its line."""
    commands = [f"MAIL FROM:<{envelope.reverse_path}>{_mail_parameters(envelope, size, extensions)}"]
    if "DSN" in extensions:
        commands += [f"RCPT TO:<{to.forward_path}>{_notify_parameters(to)}" for to in envelope.recipients]
    else:
        commands += [f"RCPT TO:<{to.forward_path}>" for to in envelope.recipients]
    if found := _CONTROL.search("".join(commands)):
        raise ValueError(f"control character {found[0]!r} in an envelope")
    return [*(f"{command}\r\n".encode("utf-8", "surrogateescape") for command in commands), b"DATA\r\n"]


def _mail_parameters(envelope: Envelope, size: int, extensions: Extensions) -> str:
    parameters = ""
    if "SIZE" in extensions:  # RFC 1870, 6
        parameters += f" SIZE={size}"
    if envelope.body == "8BITMIME" and "8BITMIME" in extensions:  # RFC 6152, 2
        parameters += " BODY=8BITMIME"
    if envelope.smtputf8:  # RFC 6531, 3.4
        parameters += " SMTPUTF8"
    if "DSN" in extensions:  # RFC 3461, 4.3 and 4.4
        parameters += f" RET={envelope.ret}" if envelope.ret else ""
        parameters += f" ENVID={envelope.envid}" if envelope.envid else ""
    return parameters


def _notify_parameters(recipient: Recipient) -> str:
    notify = f" NOTIFY={recipient.notify}" if recipient.notify else ""  # RFC 3461, 4.1
    return f"{notify} ORCPT={recipient.orcpt}" if recipient.orcpt else notify  # RFC 3461, 4.2


class ContentWriter:
    """The content as it goes over the wire: dot-stuffed as one stream, ended by a line with a dot (RFC 5321, 4.5.2)."""

    def __init__(self, content: tuple[bytes, ...], size: int) -> None:
        self.finished = False  # the final dot was handed out
        self._end = b"\r\n"  # the last two octets; the stream begins at the beginning of a line
        self._at_once = size <= PIECE
        # Nothing that refers back to us: a large content must not wait for the garbage collector.
        self._pieces = iter(content) if self._at_once else _pieces(content)

    def next(self) -> bytes:
        """The next piece to write, the last one with the final dot; empty when that is out."""
        if self._at_once and not self.finished:
            return b"".join([*map(self._stuff, self._pieces), self._finish()])
        for piece in self._pieces:
            return self._stuff(piece)
        return b"" if self.finished else self._finish()

    def _finish(self) -> bytes:
        self.finished = True
        return b".\r\n" if self._end == b"\r\n" else b"\r\n.\r\n"

    def _stuff(self, piece: bytes) -> bytes:
        stuffed = piece.replace(b"\r\n.", b"\r\n..")
        if self._end == b"\r\n" and piece[:1] == b".":
            stuffed = b"." + stuffed
        elif self._end[-1:] == b"\r" and piece[:2] == b"\n.":
            stuffed = b"\n." + stuffed[1:]
        self._end = (self._end + piece)[-2:] if len(piece) < 2 else piece[-2:]
        return stuffed


def _pieces(content: tuple[bytes, ...]) -> Iterator[bytes]:
    for chunk in content:
        for start in range(0, len(chunk), PIECE):
            yield chunk if len(chunk) <= PIECE else chunk[start : start + PIECE]
