"""Which order a message is about: the number in a reference, or what a customer's pattern finds in the message."""

from __future__ import annotations

import codecs
import logging
import re
from collections.abc import Iterator
from email import policy
from email.errors import MessageError
from email.header import decode_header, make_header
from email.message import Message as Mail
from email.parser import BytesParser
from html import unescape

import re2  # linear in the length of the text, whatever the pattern: a customer's must not hold up anybody

from postmeter import UsageError

log = logging.getLogger(__name__)

MAX_PATTERN = 200  # characters
PATTERN_MEMORY = 32_768  # octets of a compiled pattern: the worst that fits takes a quarter of a second
MAX_SUBJECT = 2_000  # characters; the header section may have 128 KiB
MAX_TEXT = 65_536  # characters of a body
NUMBER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/+-]{0,63}")  # nothing that means something in a shop's query
_BREAKS = re.compile(r"[\s:#]+")
_INLINE = re.compile(r"</?(?:a|b|em|font|i|small|span|strong|u)\b[^<>]*+>", re.IGNORECASE)  # within a word
_TAG = re.compile(r"<[^<>]*+>")
_SLOW = frozenset({"idna", "punycode", "unicode_escape", "raw_unicode_escape"})  # no mail is written in them


class Pattern:
    """A compiled order pattern."""

    def __init__(self, text: str) -> None:
        """UsageError says what is wrong with it."""
        options = re2.Options()
        options.max_mem, options.log_errors = PATTERN_MEMORY, False
        if len(text) > MAX_PATTERN:
            raise UsageError(f"the pattern has more than {MAX_PATTERN} characters")
        try:
            self._compiled = re2.compile(text, options)
        except re2.error as error:
            raise UsageError(f"the pattern {text!r} cannot be used: {_said(error)}") from None
        if self._compiled.groups != 1:
            raise UsageError(f"the pattern {text!r} must have one group, which finds the order's number: Order #(\\d+)")

    def find(self, text: str) -> str:
        """The order's number in the text; empty when there is none."""
        found = self._compiled.search(text)
        number = (found[1] or "") if found else ""
        return number if NUMBER.fullmatch(number) else ""


def order_of(reference: str) -> str:
    """The order's number: the last part of a reference such as order:1234; empty when that is none."""
    last = _BREAKS.split(reference.strip())[-1]
    return last if NUMBER.fullmatch(last) else ""


def order_in(pattern: Pattern, header: bytes, body: bytes) -> str:
    """The number that the pattern finds in the subject or else in the text of the body; empty when there is none.

    ``body`` may end anywhere. What cannot be read has no number: a strange message is sent all the same.
    """
    try:
        mail = BytesParser(policy=policy.compat32).parsebytes(header + body)
        return pattern.find(_subject(mail)) or next(filter(None, map(pattern.find, _texts(mail))), "")
    except (MessageError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        log.warning("no order number was looked for in a message that cannot be read: %r", error)
        return ""


def _subject(mail: Mail) -> str:
    """The decoded subject; as it came when it says that it is what it is not."""
    subject = str(mail.get("Subject", ""))[:MAX_SUBJECT]
    try:
        return str(make_header(decode_header(subject)))
    except (MessageError, ValueError, LookupError):
        return subject


def _texts(mail: Mail) -> Iterator[str]:
    """The decoded texts of the body, those in HTML without their tags."""
    for part in mail.walk():
        if part.get_content_maintype() == "text" and not part.is_multipart():
            octets = part.get_payload(decode=True)
            text = octets.decode(_charset(part), "replace")[:MAX_TEXT] if isinstance(octets, bytes) else ""
            yield _without_tags(text) if part.get_content_subtype() == "html" else text


def _without_tags(html: str) -> str:
    return " ".join(unescape(_TAG.sub(" ", _INLINE.sub("", html))).split())


def _charset(part: Mail) -> str:
    """The charset that the part names, if Python knows it as one of texts."""
    name = str(part.get_content_charset("utf-8"))
    try:
        known = codecs.lookup(name).name
        b"x".decode(known, "replace")
    except (LookupError, ValueError):
        return "utf-8"
    return "utf-8" if known in _SLOW else known


def _said(error: Exception) -> str:
    said = error.args[0] if error.args else ""
    return said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
