"""What is answered to RCPT: whether a recipient is suppressed, and whether its domain takes mail at all."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, TimeoutError, ensureDeferred
from twisted.python.failure import Failure

from postmeter.smtp.replies import (
    NO_SUCH_DOMAIN,
    NULL_MX,
    RECIPIENT_OK,
    RECIPIENT_UNCHECKED,
)
from postmeter.smtp.reply import Reply
from postmeter.store.connections import Access
from postmeter.store.suppressed import refusal
from postmeter.store.suppressions import Suppression

log = logging.getLogger(__name__)

PATIENCE = 0.5  # seconds that a client waits for the DNS
SILENCE = 10.0  # seconds after a time-out in which nobody asks it
MOST_ASKED = 100  # questions at a time; each takes a socket


class RecipientPolicy:
    """Judges recipients one by one, without waiting in the usual case.

    ``suppressed`` looks up what keeps an account's mail from an address (None: that is done when the message is
    accepted, and keeps nobody out); ``null_mx`` says whether a domain takes no
    mail (RFC 7505), at once when it knows.
    """

    def __init__(
        self,
        suppressed: Callable[[int, str], Deferred[Suppression | None]] | None,
        null_mx: Callable[[str], bool | Deferred[bool]],
        reactor: Any,
    ) -> None:
        self._suppressed = suppressed
        self._null_mx = null_mx
        self._reactor = reactor
        self._silent_until = 0.0
        self._asked = 0

    def check(self, access: Access, forward_path: str) -> Reply | Deferred[Reply]:
        """The answer to RCPT with this path, as it was received; a Deferred does not fail."""
        _, at, domain = forward_path.rpartition("@")
        if not at:
            return NO_SUCH_DOMAIN  # RFC 6409, 4.2: nothing is local here
        if access.suppressions and self._suppressed is not None:
            return ensureDeferred(self._look_up(self._suppressed(access.account_id, forward_path), domain))
        return self._check_domain(domain)

    async def _look_up(self, looking: Deferred[Suppression | None], domain: str) -> Reply:
        try:
            found = await looking
        except Exception as error:
            log.error("a recipient could not be checked", exc_info=error)
            return RECIPIENT_UNCHECKED
        if found is not None:
            return refusal(found)
        reply = self._check_domain(domain)
        return reply if isinstance(reply, Reply) else await reply

    def _check_domain(self, domain: str) -> Reply | Deferred[Reply]:
        if self._asked >= MOST_ASKED or self._reactor.seconds() < self._silent_until:
            return RECIPIENT_OK  # delivery finds it out
        refuses = self._null_mx(domain)
        if isinstance(refuses, bool):
            return _judged(refuses)
        self._asked += 1
        refuses.addTimeout(PATIENCE, self._reactor).addBoth(self._told)
        return refuses.addCallbacks(_judged, self._not_told)

    def _told(self, result: Any) -> Any:
        self._asked -= 1
        return result

    def _not_told(self, failure: Failure) -> Reply:
        """What the DNS does not tell never keeps a message out."""
        if isinstance(failure.value, TimeoutError):
            self._silent_until = self._reactor.seconds() + SILENCE
        else:
            log.error("a defect while a domain was looked up", exc_info=failure.value)
        return RECIPIENT_OK


def _judged(refuses: bool) -> Reply:
    return NULL_MX if refuses else RECIPIENT_OK
