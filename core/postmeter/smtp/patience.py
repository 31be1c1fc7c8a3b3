"""How much a client may do without getting a message through before its session ends."""

from __future__ import annotations

from enum import IntEnum

from postmeter.smtp.limits import Limits
from postmeter.smtp.replies import (
    TOO_MANY_ERRORS,
    TOO_MANY_JUNK_COMMANDS,
    TOO_MANY_LOGINS,
    TOO_MANY_REFUSED,
)
from postmeter.smtp.reply import Reply

MAX_REFUSED = 1000  # senders, recipients, chunks behind them, messages: they come in lists, so one is no error yet
MAX_SURPLUS = 10_000  # recipients over those that one envelope may have: the others are to get their mail all the same


class Trial(IntEnum):
    """What tries the patience."""

    ERROR = 0
    LOGIN = 1
    JUNK = 2
    REFUSED = 3
    SURPLUS = 4


_FAREWELLS = (TOO_MANY_ERRORS, TOO_MANY_LOGINS, TOO_MANY_JUNK_COMMANDS, TOO_MANY_REFUSED, TOO_MANY_REFUSED)


class Patience:
    """Counts since the last accepted message; ``messages`` is how many may still be accepted."""

    __slots__ = ("_most", "_tried", "messages")

    def __init__(self, limits: Limits) -> None:
        # The last error and the last failed log-in end the session; of the others, the first over the limit.
        self._most = (
            limits.max_errors - 1, limits.max_login_failures - 1, limits.max_junk_commands, MAX_REFUSED, MAX_SURPLUS
        )  # fmt: skip
        self._tried: dict[Trial, int] = {}
        self.messages = limits.max_messages

    def tried(self, trial: Trial) -> Reply | None:
        """Counts one more; the reply that ends the session when it is one too many."""
        count = self._tried[trial] = self._tried.get(trial, 0) + 1
        return _FAREWELLS[trial] if count > self._most[trial] else None

    def rewarded(self) -> None:
        """A message was accepted: all is forgiven."""
        self._tried.clear()
        self.messages -= 1
