"""The header section as bytes: read once, kept byte for byte, never serialised anew (RFC 5322, 2.2)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from postmeter.smtp.replies import ROUTING_LOOP
from postmeter.smtp.reply import Refused, Reply

MAX_LINE, LINE_LENGTH = 998, 78  # RFC 5322, 2.1.1: must not and should not be exceeded
CRLF = b"\r\n"

_NAME = rb"[!-9;-~]"  # RFC 5322, 3.6.8: ftext
_TEXT = rb"[^\x00-\x08\n-\x1f\x7f]"
_FIELD = re.compile(rb"(" + _NAME + rb"++):" + _TEXT + rb"*+(?:\r\n[ \t]" + _TEXT + rb"*+)*+\r\n")
_UNFOLD = re.compile(rb"\r\n(?=[ \t])")
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class HeaderLimits:
    """How large a header section may be: octets in all, fields, and Received fields among them."""

    size: int = 131072
    fields: int = 1000
    received: int = 50  # RFC 5321, 6.3: what passed more servers than this goes round in a loop


DEFAULT_LIMITS = HeaderLimits()


def malformed(text: str) -> Refused:
    """The refusal of a content that is not a message (RFC 5322); ``text`` names the field."""
    return Refused(Reply(550, "5.6.0", text))


class Field(NamedTuple):
    """One field: ``name`` in lower case, and ``raw``: name, colon, value, folding and the last CRLF as received."""

    name: bytes
    raw: bytes

    @property
    def value(self) -> bytes:
        """The value unfolded (RFC 5322, 2.2.3), without blanks around it."""
        return _UNFOLD.sub(b"", self.raw[len(self.name) + 1 :]).strip(b" \t\r\n")

    @classmethod
    def make(cls, name: str, value: str) -> Field:
        """A field of our own, folded at blanks; ValueError for a bad name, a line break or a control character."""
        lines = [f"{name}:"]
        for word in value.split():
            if len(lines[-1]) + 1 + len(word) > LINE_LENGTH and lines[-1] != f"{name}:":
                lines.append("")
            lines[-1] += f" {word}"
        raw = "\r\n".join(lines).encode() + CRLF
        if not re.fullmatch(r"[!-9;-~]+", name) or _UNSAFE.search(value) or max(map(len, raw.split(CRLF))) > MAX_LINE:
            raise ValueError(f"not a header field: {name[:60]!r}: {value[:60]!r}")
        return cls(name.lower().encode(), raw)


@dataclass(frozen=True, slots=True)
class HeaderSection:
    """The fields in their order, and ``end``: the empty line, or nothing when the content has no body.

    Names are given to the methods in lower case.
    """

    fields: tuple[Field, ...]
    end: bytes = CRLF

    @classmethod
    def parse(cls, head: bytes, *, smtputf8: bool = False, limits: HeaderLimits = DEFAULT_LIMITS) -> HeaderSection:
        """The section in ``head``, which is everything up to and including the empty line.

        Refused: 550 5.6.0 with the field named when this is no header section of a message (folded first line,
        line without colon, bad name, control character, bare CR or LF, 8-bit octets without SMTPUTF8 or not in
        UTF-8 with it (RFC 6532), too large), 554 5.4.6 after too many servers.
        """
        if len(head) > limits.size:
            raise malformed(f"The header section is larger than {limits.size} octets")
        section = cls.read(head)
        if len(section.fields) > limits.fields:
            raise malformed(f"The header section has more than {limits.fields} fields")
        if not head.isascii():
            section._check_octets(smtputf8)
        if section.count(b"received") > limits.received:
            raise Refused(ROUTING_LOOP)
        return section

    @classmethod
    def read(cls, head: bytes) -> HeaderSection:
        """As ``parse`` without limits of size and number: for what was accepted and got fields of ours since."""
        size = len(head)
        if end := head.endswith(b"\r\n\r\n") or head == CRLF:
            size -= 2
        fields: list[Field] = []
        place = 0
        while place < size:
            found = _FIELD.match(head, place, size)
            if found is None:
                raise malformed(_fault(head[place : place + 1000]))
            fields.append(Field(found[1].lower(), found[0]))
            place = found.end()
        return cls(tuple(fields), CRLF if end else b"")

    def _check_octets(self, smtputf8: bool) -> None:
        for field in self.fields:
            try:
                field.raw.decode("utf-8" if smtputf8 else "ascii")
            except UnicodeDecodeError:
                need = "is not in UTF-8" if smtputf8 else "has 8-bit characters, which need SMTPUTF8"
                raise malformed(f"{printable(field.name)}: {need}") from None

    @property
    def raw(self) -> bytes:
        """The section as it is stored and sent, with the empty line."""
        return b"".join([field.raw for field in self.fields]) + self.end

    def get(self, name: bytes) -> bytes | None:
        """The unfolded value of the first field of that name."""
        for field in self.fields:
            if field.name == name:
                return field.value
        return None

    def all(self, name: bytes) -> list[Field]:
        """The fields of that name, in order."""
        return [field for field in self.fields if field.name == name]

    def count(self, name: bytes) -> int:
        """How many fields have that name."""
        return len(self.all(name))

    def without(self, *names: bytes) -> HeaderSection:
        """The section without the fields of these names."""
        return HeaderSection(tuple([field for field in self.fields if field.name not in names]), self.end)

    def with_front(self, fields: Iterable[Field]) -> HeaderSection:
        """The section with these fields in front of all others."""
        return HeaderSection((*fields, *self.fields), self.end)


def head_size(content: bytes) -> int:
    """How many octets of ``content`` are the header section with its empty line; all when there is no such line."""
    if content.startswith(CRLF):
        return len(CRLF)
    place = content.find(b"\r\n\r\n")
    return len(content) if place < 0 else place + 4


def split(content: bytes) -> tuple[bytes, bytes]:
    """The header section with its empty line, and the body (RFC 5322, 2.1)."""
    size = head_size(content)
    return content[:size], content[size:]


def printable(octets: bytes) -> str:
    """The first 60 characters for a reply or a log, with what is not printable ASCII escaped."""
    return repr(octets[:60])[2:-1]


def _fault(text: bytes) -> str:
    """Why no field begins at ``text``."""
    if text[:1] in (b" ", b"\t"):
        return "The header section begins with a folded line"
    line = text.partition(CRLF)[0]
    name, colon, _ = line.partition(b":")
    if not colon:
        return f"Header line without a colon: {printable(line)}"
    if not re.fullmatch(_NAME + rb"++", name):
        return f"Bad character in a header field name: {printable(name)}"
    return f"{printable(name)}: control character, bare CR or LF, or no line end"
