"""A report as it was understood, and what a notification says about one recipient (RFC 3464, 2.3)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from postmeter.message.feedback import Feedback

FAILED, DELAYED = "failed", "delayed"
ACTIONS = (FAILED, DELAYED, "delivered", "relayed", "expanded")
MAX_DIAGNOSTIC = 2048  # characters

_REPLY = re.compile(r"(?<![\d.:])([45]\d\d)(?=[ :-]|$)")
_STATUS = re.compile(r"(?<![\d.])([245]\.\d{1,3}\.\d{1,3})(?![\d.])")


@dataclass(frozen=True, slots=True)
class Statement:
    """What became of a recipient, as another mail server says.

    ``original`` and ``final`` are addresses: what was given to it, and what it made of that. ``code`` and ``status``
    are those of the last reply (0 and empty: unknown), ``diagnostic`` its text, ``remote`` who gave it.
    """

    action: str
    original: str = ""
    final: str = ""
    code: int = 0
    status: str = ""
    diagnostic: str = ""
    remote: str = ""


class Kind(Enum):
    """What a mail to a return path can be."""

    NOTIFICATION = "notification"
    COMPLAINT = "complaint"
    AUTOMATIC = "automatic"  # of an answering machine
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Report:
    """A mail as understood: the ``statements`` of a notification, the ``feedback`` of a complaint."""

    kind: Kind
    statements: tuple[Statement, ...] = ()
    feedback: Feedback | None = None


def codes(text: str) -> tuple[int, str]:
    """The first reply code and the first enhanced status in a text (RFC 5321, 4.2; RFC 3463); 0 and empty: none."""
    reply, status = _REPLY.search(text), _STATUS.search(text)
    return int(reply[1]) if reply else 0, status[1] if status else ""
