"""What an attempt's outcome means for a recipient: final or not, charged or not, and when to try again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from postmeter.delivery.retry import GREYLISTED, IN_DOUBT, next_attempt
from postmeter.message.bounce import Classification, classify
from postmeter.smtp.mail import Outcome
from postmeter.smtp.reply import Reply
from postmeter.store.providers import Suspension
from postmeter.store.queue import QueuedMessage, QueuedRecipient
from postmeter.store.settle import Settlement
from postmeter.store.tables import BOUNCED, DEFERRED, DELIVERED, EXPIRED, QUEUED

LOOK_AGAIN = 3600.0  # seconds, about, until a recipient of a suspended provider is looked at again
SPREAD = 300.0  # seconds in which those of a provider leave after its suspension
EXPIRED_REPLY = "delivery time expired; the last answer was: "
Classify = Callable[[str, int, str, str], Classification]  # by stage, code, enhanced status and text
HANDED_OVER = ("rcpt", "data", "content")  # stages at which a mail server had been given the recipient


class Judge:
    """Turns outcomes into settlements for one worker; ``lifetime`` in seconds, ``classify`` as in ``Classifier``."""

    def __init__(self, worker: int, lifetime: float, classify: Classify = classify) -> None:
        self._worker = worker
        self._lifetime = lifetime
        self._classify = classify

    def settlement(
        self,
        message: QueuedMessage,
        recipient: QueuedRecipient,
        outcome: Outcome,
        now: float,
        random: float,
        facts: dict[str, Any],
    ) -> Settlement:
        """The state after this outcome; ``random`` (0 to 1) is the retry's jitter."""
        reply, failure = outcome.reply, None
        state, again, text = DELIVERED, now, str(reply)
        facts = {"stage": outcome.stage, **facts}
        if not outcome.delivered:
            failure = self._classify(outcome.stage, reply.code, reply.status, reply.text)
            facts |= {"class": failure.name, "rule": failure.rule}
            state, again = self._after(failure, message, recipient, _pause(outcome, failure, recipient), now, random)
        return Settlement(
            message=message,
            recipient=recipient,
            worker=self._worker,
            state=state,
            reply=EXPIRED_REPLY + text if state == EXPIRED else text,
            at=now,
            next_attempt_at=again,
            transmitted=outcome.stage in HANDED_OVER,
            in_doubt=outcome.in_doubt,
            facts=facts,
            failure=failure,
        )

    def _after(
        self,
        failure: Classification,
        message: QueuedMessage,
        recipient: QueuedRecipient,
        pause: float | None,
        now: float,
        random: float,
    ) -> tuple[str, float]:
        """The state after a failure, and when to try again: as long as its class and the lifetime allow."""
        if failure.permanent:
            return BOUNCED, now
        since = message.accepted_at if recipient.leaves_at is None else recipient.leaves_at
        lifetime = min(self._lifetime, failure.patience or self._lifetime)
        again = next_attempt(now, recipient.attempts + 1, since, lifetime, random, pause=pause)
        if again is not None:
            return DEFERRED, again
        return EXPIRED if lifetime == self._lifetime else BOUNCED, now

    def put_off(
        self,
        message: QueuedMessage,
        recipient: QueuedRecipient,
        suspension: Suspension,
        now: float,
        random: float,
    ) -> Settlement | None:
        """How a recipient waits until its provider may be sent mail again; None when its lifetime is over.

        It is looked at when that ends, so that its sender is told in time.
        """
        end = (message.accepted_at if recipient.leaves_at is None else recipient.leaves_at) + self._lifetime
        if now >= end:
            return None
        again = min(now + LOOK_AGAIN * (0.5 + random), end)
        if suspension.until is not None:
            again = min(again, suspension.until + SPREAD * random)
        return Settlement(
            message=message,
            recipient=recipient,
            worker=self._worker,
            state=DEFERRED if recipient.attempts else QUEUED,
            reply=str(suspended(suspension)),
            at=now,
            next_attempt_at=again,
            transmitted=False,
            in_doubt=False,
            facts={} if recipient.attempts else {"provider": suspension.provider},
            attempted=False,
        )


def suspended(suspension: Suspension) -> Reply:
    """Why nothing is sent to a provider."""
    return Reply(451, "4.3.2", f"Mail to {suspension.provider} is suspended: {suspension.reason}")


def _pause(outcome: Outcome, failure: Classification, recipient: QueuedRecipient) -> float | None:
    if outcome.in_doubt:
        return IN_DOUBT  # a copy may be under way: leave it the time to show up
    if recipient.attempts == 0 and failure.name == "greylist":
        return GREYLISTED
    return None
