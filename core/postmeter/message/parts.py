"""The parts of a report: a reader of MIME that takes anything and never long (RFC 2045, 2046, 5.1).

Whoever writes reports may be hostile or broken, so depth, number and size of what is looked at are bounded, nothing is
decoded by a name that the sender gives, and every step is linear.
"""

from __future__ import annotations

import re
from binascii import Error, a2b_base64, a2b_qp
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

MAX_SIZE = 1_048_576  # octets that are looked at
MAX_DEPTH, MAX_PARTS = 10, 100
MAX_HEAD, MAX_LINES = 65_536, 800  # octets and lines of a header section that are read
MAX_TEXT = 32_768  # characters of a text that are read

_PARAMETER = re.compile(r';\s*+([^\s=;"]++)\s*+=\s*+(?:"((?:[^"\\]|\\.)*+)"?+|([^\s;]*+))')
_TAG = re.compile(r"<[^<>]*+>")
_QUOTED_PAIR = re.compile(r"\\(.)")
_ENTITIES = {"&lt;": "<", "&gt;": ">", "&nbsp;": " ", "&#64;": "@", "&quot;": '"', "&amp;": "&"}


@dataclass(frozen=True, slots=True)
class Header:
    """Fields by their names in lower case, each with all its values, unfolded."""

    fields: Mapping[str, Sequence[str]]

    @classmethod
    def read(cls, octets: bytes) -> Header:
        """The fields in a header section or in a block of such lines; what is no field is passed over."""
        found: list[tuple[str, list[str]]] = []
        for line in octets[:MAX_HEAD].split(b"\n", MAX_LINES)[:MAX_LINES]:
            text = decoded(line.rstrip(b"\r"))
            if text[:1] in (" ", "\t"):
                if found:
                    found[-1][1].append(text.strip())
            elif ":" in text:
                name, _, value = text.partition(":")
                found.append((name.strip().lower(), [value.strip()]))
        fields: dict[str, list[str]] = {}
        for name, values in found:
            fields.setdefault(name, []).append(" ".join(values))
        return cls(fields)

    def get(self, name: str) -> str:
        """The first value of a field; empty when there is none."""
        return self.fields.get(name, ("",))[0]

    def all(self, name: str) -> Sequence[str]:
        """All values of a field."""
        return self.fields.get(name, ())


@dataclass(frozen=True, slots=True)
class Part:
    """A part that is no multipart: its media type in lower case, its header and its octets, encoded as they came."""

    type: str
    header: Header
    octets: bytes

    @property
    def body(self) -> bytes:
        """The beginning of what is in it, decoded (RFC 2045, 6)."""
        octets, encoding = self.octets[: 2 * MAX_TEXT], self.header.get("content-transfer-encoding").lower()
        try:
            if encoding == "base64":
                return a2b_base64(octets[: octets.rfind(b"\n") + 1] if len(octets) == 2 * MAX_TEXT else octets)
            return a2b_qp(octets) if encoding == "quoted-printable" else octets
        except Error:
            return octets

    @property
    def text(self) -> str:
        """The beginning of what a person would read; of HTML without its tags."""
        text = decoded(self.body)[:MAX_TEXT]
        if self.type == "text/html":
            text = _TAG.sub("\n", text)
            for entity, character in _ENTITIES.items():
                text = text.replace(entity, character)
        return text


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail: its header section, and its parts in their order, those inside of others as well."""

    header: Header
    parts: tuple[Part, ...]

    @classmethod
    def read(cls, content: bytes) -> Mail:
        """The mail in ``content``."""
        content = content[:MAX_SIZE]
        head, _ = split(content)
        parts = []
        for part in _parts(content, 0):
            parts.append(part)
            if len(parts) == MAX_PARTS:
                break
        return cls(Header.read(head), tuple(parts))

    def of(self, *types: str) -> Iterator[Part]:
        """The parts of these media types."""
        return (part for part in self.parts if part.type in types)


def split(content: bytes) -> tuple[bytes, bytes]:
    """Header section and body, whatever the line ends are."""
    if content[:1] == b"\n" or content[:2] == b"\r\n":
        return b"", content
    ends = [(place, size) for end, size in ((b"\n\r\n", 3), (b"\n\n", 2)) if (place := content.find(end)) >= 0]
    if not ends:
        return content, b""
    place, size = min(ends)
    return content[: place + 1], content[place + size :]


def decoded(octets: bytes) -> str:
    """The text, which is in UTF-8, or else taken for Windows-1252: the sender's word is not asked for."""
    try:
        return octets.decode()
    except UnicodeDecodeError:
        return octets.decode("cp1252", "replace")


def media_type(value: str) -> tuple[str, Mapping[str, str]]:
    """The type in lower case, and its parameters (RFC 2045, 5.1)."""
    kind = value[:2000].partition(";")[0].strip().lower()
    found = _PARAMETER.findall(value[:2000])
    return kind or "text/plain", {name.lower(): _QUOTED_PAIR.sub(r"\1", quoted) or bare for name, quoted, bare in found}


def _parts(octets: bytes, depth: int) -> Iterator[Part]:
    head, body = split(octets)
    header = Header.read(head)
    kind, parameters = media_type(header.get("content-type"))
    boundary = parameters.get("boundary", "").encode()
    if kind.startswith("multipart/") and boundary and depth < MAX_DEPTH:
        for inner in _between(body, b"--" + boundary):
            yield from _parts(inner, depth + 1)
    else:
        yield Part(kind, header, body)


def _between(body: bytes, delimiter: bytes) -> Iterator[bytes]:
    """What stands between the delimiter lines (RFC 2046, 5.1.1); the last part may lack its end."""
    start = -1
    for place, after in _delimiters(b"\n" + body, b"\n" + delimiter):
        if start >= 0:
            yield body[start:place]
        start = after
        if body[place + len(delimiter) : place + len(delimiter) + 2] == b"--":
            return
    if start >= 0:
        yield body[start:]


def _delimiters(octets: bytes, delimiter: bytes) -> Iterator[tuple[int, int]]:
    """Where delimiter lines begin, and what follows them; a few of those that only look like one are passed over."""
    place = octets.find(delimiter)
    for _ in range(2 * MAX_PARTS):
        if place < 0:
            return
        end = place + len(delimiter)
        if octets[end : end + 2] == b"--" or octets[end : end + 1] in (b"", b"\r", b"\n", b" ", b"\t"):
            line_end = octets.find(b"\n", end)
            yield place, len(octets) if line_end < 0 else line_end
        place = octets.find(delimiter, end)
