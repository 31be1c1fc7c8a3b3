"""What people read in a message, its subject and its texts, in a time that grows only as the message does.

The standard library's parser can be kept busy for seconds: by multiparts within multiparts, whose depth each line pays
for, or by one field full of semicolons. So three fields are read here, each up to a length, and so many parts.
"""

from __future__ import annotations

import codecs
import encodings
import pkgutil
import re
from collections.abc import Iterator
from email.errors import MessageError
from email.header import decode_header
from email.message import Message as Part
from encodings.aliases import aliases
from html import unescape

MAX_FIELD = 2_000  # characters; the header section may have 128 KiB
MAX_PARTS = 50  # that are looked at, multiparts included
MAX_BOUNDARY = 70  # characters (RFC 2046, 5.1.1)
MAX_TEXT = 65_536  # characters of a part
_FIELD = re.compile(
    rb"^(subject|content-type|content-transfer-encoding)[ \t]*+:([^\r\n]*+(?:\r?\n[ \t][^\r\n]*+)*+)",
    re.IGNORECASE | re.MULTILINE,
)
_EMPTY_LINE = re.compile(rb"^\r?\n", re.MULTILINE)
_INLINE = re.compile(r"</?(?:a|b|em|font|i|small|span|strong|u)\b[^<>]*+>", re.IGNORECASE)  # within a word
_TAG = re.compile(r"<[^<>]*+>")
# Python keeps every name that it was ever asked for, so it is asked for none that a stranger made up.
_KNOWN = frozenset({*aliases, *aliases.values(), *(module.name for module in pkgutil.iter_modules(encodings.__path__))})
_SLOW = frozenset({"idna", "punycode", "unicode_escape", "raw_unicode_escape"})  # no mail is written in them


def subject(header: bytes) -> str:
    """The decoded subject; as it came when it says that it is what it is not."""
    text = str(_fields(header).get("Subject", ""))
    try:
        return "".join([_word(word, charset) for word, charset in decode_header(text)])
    except (MessageError, ValueError, LookupError):
        return text


def texts(mail: bytes) -> Iterator[str]:
    """The decoded texts of a message or of its beginning, those in HTML without their tags."""
    waiting = [mail]
    for _ in range(MAX_PARTS):
        if not waiting:
            return
        header, content = _cut(waiting.pop())
        part = _fields(header)
        waiting += reversed(_parts(part, content))
        if part.get_content_maintype() == "text":
            part.set_payload(content.decode("ascii", "surrogateescape"))
            text = _text(part)
            yield _without_tags(text) if part.get_content_subtype() == "html" else text


def _cut(mail: bytes) -> tuple[bytes, bytes]:
    """Header section and body."""
    line = _EMPTY_LINE.search(mail)
    return (mail[: line.start()], mail[line.end() :]) if line else (mail, b"")


def _fields(header: bytes) -> Part:
    """A part that has the fields which matter, unfolded (RFC 5322, 2.2.3)."""
    part = Part()
    for name, value in _FIELD.findall(header):
        part[name.decode("ascii")] = b"".join(value.splitlines()).decode("utf-8", "replace").strip()[:MAX_FIELD]
    return part


def _parts(part: Part, content: bytes) -> list[bytes]:
    """What a multipart or an enclosed message consists of; what follows the last delimiter counts as a part, too."""
    if part.get_content_maintype() == "message":
        return [content]
    boundary = _parameter(part, "boundary").rstrip()
    if part.get_content_maintype() != "multipart" or not 0 < len(boundary) <= MAX_BOUNDARY:
        return []
    delimiter = rb"\n--%b(?:--)?[ \t]*+\r?(?=\n|\Z)" % re.escape(boundary.encode())
    return [piece.partition(b"\n")[2] for piece in re.split(delimiter, b"\n" + content, maxsplit=MAX_PARTS)[1:]]


def _parameter(part: Part, name: str) -> str:
    """A parameter of Content-Type, empty when there is none; it has three parts in the form of RFC 2231."""
    value = part.get_param(name, "")
    return value[2] if isinstance(value, tuple) else str(value)


def _text(part: Part) -> str:
    octets = part.get_payload(decode=True)
    assert isinstance(octets, bytes)
    try:
        codec = _codec(_parameter(part, "charset") or "utf-8")
    except LookupError:
        codec = "utf-8"
    return octets.decode(codec, "replace")[:MAX_TEXT]


def _word(word: bytes | str, charset: str | None) -> str:
    """A part of a field's value; what is not encoded is given in Latin-1 when another part is."""
    if isinstance(word, str):
        return word
    return word.decode(_codec(charset) if charset else "latin-1", "replace")


def _codec(charset: str) -> str:
    """What Python calls a charset; LookupError when it knows none of that name that texts are written in."""
    name = encodings.normalize_encoding(charset).lower()
    if name not in _KNOWN or (found := codecs.lookup(name).name.replace("-", "_")) in _SLOW:
        raise LookupError(f"unknown charset: {charset!r}")
    try:
        b"x".decode(found, "replace")
    except ValueError:
        raise LookupError(f"not a charset: {charset!r}") from None
    return found


def _without_tags(html: str) -> str:
    return " ".join(unescape(_TAG.sub(" ", _INLINE.sub("", html))).split())
