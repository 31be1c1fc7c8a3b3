"""Which order a message is about: the number in a reference, or what a customer's pattern finds in the message."""

from __future__ import annotations

import logging
import re

import re2  # linear in the length of the text, whatever the pattern: a customer's must not hold up anybody

from postmeter import UsageError
from postmeter_stores.mime import subject, texts

log = logging.getLogger(__name__)

MAX_PATTERN = 200  # characters
PATTERN_MEMORY = 32_768  # octets of a compiled pattern: the worst that fits takes a quarter of a second
NUMBER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/+-]{0,63}")  # nothing that means something in a shop's query
_BREAKS = re.compile(r"[\s:#]+")


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
        return pattern.find(subject(header)) or next(filter(None, map(pattern.find, texts(header + body))), "")
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        log.warning("no order number was looked for in a message that cannot be read: %r", error)
        return ""


def _said(error: Exception) -> str:
    said = error.args[0] if error.args else ""
    return said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
