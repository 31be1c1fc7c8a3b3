"""Return paths that name the message they were written for, and prove that this relay has written them (VERP).

``b+<id>.<n>.<mac>@<domain>``: the message's id, the number of its recipient (``-``: of several), and an HMAC over
both and the domain; ``<n>.<days>`` when it might leave so much later, as it was held or had to wait for its slot.
Nothing of it is personal, and nobody else can make one.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import re
from base64 import b32encode
from dataclasses import dataclass

from postmeter.message.identifier import is_id, time_of

MARK = "b+"  # how they begin
MAC = 10  # octets, which are 16 characters
DAY = 86_400.0
MOST_DAYS = 9_999
LATE = 30 * DAY  # seconds after a message's lifetime in which reports about it are taken

_LOCAL = re.compile(r"b\+([0-9a-z]{26})\.(-|0|[1-9][0-9]{0,5})(?:\.([1-9][0-9]{0,3}))?\.([a-z2-7]{16})")


@dataclass(frozen=True, slots=True)
class Returned:
    """The message that a report is about; ``recipient`` is the number of its only one there (None: of several).

    ``days``: from its acceptance to the beginning of its lifetime.
    """

    message_id: str
    recipient: int | None
    days: int = 0


class ReturnPaths:
    """Writes return paths and knows them again; ``lifetime`` of messages in seconds."""

    def __init__(self, key: bytes, lifetime: float) -> None:
        self._key = key
        self._lifetime = lifetime

    def write(self, returned: Returned, domain: str) -> str:
        """The reverse path at this domain, which is in lower case."""
        local = f"{MARK}{returned.message_id.lower()}.{'-' if returned.recipient is None else returned.recipient}"
        if returned.days:
            local += f".{returned.days}"
        return f"{local}.{self._mac(local, domain)}@{domain}"

    def read(self, address: str, now: float) -> Returned | None:
        """What such an address is about, in capitals or not; None: it is not one of ours, or its time is over."""
        local, _, domain = address[:320].lower().rpartition("@")
        found = _LOCAL.fullmatch(local)
        if found is None:
            return None
        given, number, days, mac = found.groups()
        if not hmac.compare_digest(self._mac(local.rpartition(".")[0], domain).encode(), mac.encode()):
            return None
        returned = Returned(given.upper(), None if number == "-" else int(number), int(days or 0))
        return None if not is_id(returned.message_id) or self._is_over(returned, now) else returned

    def _is_over(self, returned: Returned, now: float) -> bool:
        begun = time_of(returned.message_id) / 1000 + returned.days * DAY
        return begun + self._lifetime + LATE < now

    def _mac(self, local: str, domain: str) -> str:
        digest = hmac.digest(self._key, f"{local}@{domain}".encode(), hashlib.sha256)
        return b32encode(digest[:MAC]).decode().lower()


@dataclass(frozen=True, slots=True)
class ReturnDomain:
    """The domain to which bounces of some mail come back."""

    paths: ReturnPaths
    name: str

    def write(self, message_id: str, recipient: int | None, waited: float) -> str:
        """The reverse path of a message's transaction with this recipient (None: with several).

        ``waited``: seconds from its acceptance to the beginning of its lifetime.
        """
        days = min(max(0, math.ceil(waited / DAY)), MOST_DAYS)
        return self.paths.write(Returned(message_id, recipient, days), self.name)
