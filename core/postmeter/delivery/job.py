"""A mail in the pool: since when, whose turn it is, who waits for what becomes of it."""

from __future__ import annotations

import math
from dataclasses import replace

from twisted.internet.defer import Deferred

from postmeter.delivery.attempt import Delivery, Facts, Talk
from postmeter.delivery.fair_queue import Turn
from postmeter.delivery.opening import NoSession
from postmeter.smtp.mail import Mail, Outcome, Stage
from postmeter.smtp.reply import Reply
from postmeter.smtp.transcript import Line

MOST_WAIT = 300.0  # seconds in the queue of a destination; then others may have the place in memory
SHORT = 900.0  # what has less time left waits for its turn to the end
BUSY = Reply(451, "4.4.5", "The provider gets as much mail as it bears; this one waits for its turn")
NOT_TRIED = "(not tried: it took no session a moment ago)"


class Job:
    """A mail in the pool since ``began`` (by the reactor's clock) and who waits for it; ``given`` to a session then.

    No session begins with it after ``until``.
    """

    __slots__ = ("began", "done", "given", "mail", "turn", "until")

    def __init__(self, mail: Mail, began: float, turn: Turn, until: float = math.inf) -> None:
        self.mail = mail
        self.began = self.given = began
        self.turn = turn
        self.until = until
        self.done: Deferred[Delivery] = Deferred()

    def waits_too_long(self, now: float) -> bool:
        """Whether it should leave the queue, as there is time enough left to come again."""
        return now - self.began > MOST_WAIT and self.until - now > SHORT

    def fail(self, failure: NoSession, now: float) -> None:
        """No server took it: the same outcome for every recipient."""
        self._end(failure.reply, failure.stage, failure.facts, Talk(self.began, now, opening=failure.lines))

    def fail_at_once(self, failure: NoSession, now: float) -> None:
        """As ``fail``, since that is how it went with another mail just now."""
        facts = replace(failure.facts, local="", ehlo="")
        self._end(failure.reply, failure.stage, facts, Talk(now, now, opening=(Line(now, "C", NOT_TRIED),)))

    def put_off(self, seconds: float, host: Facts, now: float) -> None:
        """It is not its time yet."""
        self._end(BUSY, "connect", host, Talk(self.began, now), seconds)

    def _end(self, reply: Reply, stage: Stage, facts: Facts, talk: Talk, put_off: float | None = None) -> None:
        count = len(self.mail.envelope.recipients)
        outcomes = tuple(Outcome(index, reply, stage) for index in range(count))
        self.done.callback(Delivery(outcomes, facts, talk, put_off))
