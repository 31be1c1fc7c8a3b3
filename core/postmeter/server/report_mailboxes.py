"""Which addresses the port for reports takes: return paths of ours, and the mailboxes that every mail server has."""

from __future__ import annotations

import logging
from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from postmeter.message.return_path import MARK, ReturnPaths
from postmeter.smtp.replies import NO_RETURN_PATH, RECIPIENT_OK, RECIPIENT_UNCHECKED, RELAY_DENIED
from postmeter.smtp.reply import Reply

log = logging.getLogger(__name__)

ROLES = frozenset({"abuse", "postmaster"})  # RFC 2142, 4 and 5; RFC 5321, 4.5.1
COMPLAINTS = "fbl"  # for feedback loops, which want one address


def is_return_path(address: str) -> bool:
    """Whether it has the form of a return path of ours; whether it is one, its hash tells."""
    return address[: len(MARK)].lower() == MARK


def is_role(address: str) -> bool:
    """Whether its mail is the operator's; ``postmaster`` may stand alone."""
    return address.lower().partition("@")[0] in ROLES


class Mailboxes:
    """Judges the recipients of reports.

    ``own`` are the relay's domains; ``of_customer`` looks up whether a domain is one to which a customer's bounces
    come back.
    """

    def __init__(
        self,
        paths: ReturnPaths,
        own: frozenset[str],
        of_customer: Callable[[str], Deferred[bool]],
        clock: Callable[[], float],
    ) -> None:
        self._paths = paths
        self._own = own
        self._of_customer = of_customer
        self._clock = clock

    def judge(self, forward_path: str) -> Reply | Deferred[Reply]:
        """The answer to RCPT; a Deferred does not fail."""
        if is_return_path(forward_path):
            return RECIPIENT_OK if self._paths.read(forward_path, self._clock()) else NO_RETURN_PATH
        local, at, domain = forward_path.lower().partition("@")
        if local not in ROLES | {COMPLAINTS}:
            return RELAY_DENIED
        if domain in self._own or (local == "postmaster" and not at):
            return RECIPIENT_OK
        return self._of_customer(domain).addCallbacks(_judged, _not_told)


def _judged(ours: bool) -> Reply:
    return RECIPIENT_OK if ours else RELAY_DENIED


def _not_told(failure: Failure) -> Reply:
    log.error("a recipient could not be checked", exc_info=failure.value)
    return RECIPIENT_UNCHECKED
