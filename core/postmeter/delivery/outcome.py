"""What an attempt's outcome means for a recipient: final or not, charged or not, and when to try again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from postmeter.delivery.retry import Pause, next_attempt, pause_after, since, time_left
from postmeter.message.bounce import Classification, classify
from postmeter.smtp.mail import Outcome
from postmeter.smtp.reply import Reply
from postmeter.store.pauses import Stopped
from postmeter.store.providers import Suspension
from postmeter.store.queue import QueuedMessage, QueuedRecipient
from postmeter.store.settle import Settlement
from postmeter.store.tables import BOUNCED, DEFERRED, DELIVERED, EXPIRED, QUEUED, SUPPRESSED

LOOK_AGAIN = 3600.0  # seconds, about, until a recipient is looked at again that is not to be sent at present
SPREAD = 300.0  # seconds in which those of a provider leave after its suspension
EXPIRED_REPLY = "554 5.4.7 Delivery time expired; the last answer was: "  # RFC 3463, 3.5
TOO_LATE = Reply(451, "4.4.7", "This relay could not try it in time")
Classify = Callable[[str, int, str, str], Classification]  # by stage, code, enhanced status and text
HANDED_OVER = ("rcpt", "data", "content")  # stages at which a mail server had been given the recipient


class Judge:
    """Turns outcomes into settlements for one worker, by their class (``classify`` as in ``Classifier``).

    ``lifetime`` (seconds) is that of messages without their own.
    """

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
            pause = pause_after(outcome, recipient.attempts, recipient.failure, greylisted=failure.name == "greylist")
            state, again = self._after(failure, message, recipient, pause, now, random)
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
        pause: Pause | None,
        now: float,
        random: float,
    ) -> tuple[str, float]:
        """The state after a failure, and when to try again: as long as its class and the lifetime allow."""
        if failure.permanent:
            return BOUNCED, now
        lifetime = whole = message.lifetime or self._lifetime
        begun = since(message, recipient)
        if failure.patience is not None:
            first = now if recipient.failing_since is None else recipient.failing_since
            lifetime = min(whole, first + failure.patience - begun)
        again = next_attempt(now, recipient.attempts + 1, begun, lifetime, random, pause=pause)
        if again is not None:
            return DEFERRED, again
        return EXPIRED if lifetime == whole else BOUNCED, now

    def time_left(self, message: QueuedMessage, recipient: QueuedRecipient, now: float) -> float:
        """Seconds in which an attempt may begin; below 0: the recipient expires without another one."""
        return time_left(message, recipient, self._lifetime, now)

    def put_off(
        self,
        message: QueuedMessage,
        recipient: QueuedRecipient,
        suspension: Suspension,
        now: float,
        random: float,
        *,
        provider: str,
    ) -> Settlement | None:
        """How a recipient waits until its provider may be sent mail again; None when its lifetime is over.

        It is looked at when that ends, so that its sender is told in time.
        """
        seconds = LOOK_AGAIN * (0.5 + random)
        if suspension.until is not None:
            seconds = min(seconds, suspension.until + SPREAD * random - now)
        return self.wait(message, recipient, suspended(suspension), now, seconds, provider=provider)

    def wait(
        self,
        message: QueuedMessage,
        recipient: QueuedRecipient,
        reply: Reply,
        now: float,
        seconds: float,
        *,
        provider: str,
    ) -> Settlement | None:
        """How a recipient waits so long without an attempt, and why; None when its lifetime is over."""
        end = since(message, recipient) + (message.lifetime or self._lifetime)
        if now >= end:
            return None
        return Settlement(
            message=message,
            recipient=recipient,
            worker=self._worker,
            state=DEFERRED if recipient.attempts else QUEUED,
            reply=str(reply),
            at=now,
            next_attempt_at=min(now + seconds, end),
            transmitted=False,
            in_doubt=False,
            facts={} if recipient.attempts else {"provider": provider},
            attempted=False,
        )

    def suppressed(self, message: QueuedMessage, recipient: QueuedRecipient, now: float) -> Settlement:
        """The end of a recipient whose address is not to be tried any more."""
        return Settlement(
            message=message,
            recipient=recipient,
            worker=self._worker,
            state=SUPPRESSED,
            reply=recipient.suppressed,
            at=now,
            next_attempt_at=now,
            transmitted=False,
            in_doubt=False,
            facts={},
            attempted=False,
        )


def stopped(pause: Stopped) -> Reply:
    """Why nothing of a connection is sent."""
    return Reply(451, "4.3.2", f"This connection is paused: {pause.reason}")


def suspended(suspension: Suspension) -> Reply:
    """Why nothing is sent to a provider."""
    return Reply(451, "4.3.2", f"Mail to {suspension.provider} is suspended: {suspension.reason}")
