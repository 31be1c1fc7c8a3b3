"""What an attempt's outcome means for a recipient: final or not, charged or not, and when to try again."""

from __future__ import annotations

from typing import Any

from postmeter.delivery.retry import GREYLISTED, IN_DOUBT, greylisted, next_attempt
from postmeter.smtp.mail import Outcome
from postmeter.smtp.reply import Reply
from postmeter.store.providers import Suspension
from postmeter.store.queue import QueuedMessage, QueuedRecipient
from postmeter.store.settle import Settlement
from postmeter.store.tables import BOUNCED, DEFERRED, DELIVERED, EXPIRED, QUEUED

LOOK_AGAIN = 3600.0  # seconds, about, until a recipient of a suspended provider is looked at again
SPREAD = 300.0  # seconds in which those of a provider leave after its suspension
EXPIRED_REPLY = "delivery time expired; the last answer was: "
HANDED_OVER = ("rcpt", "data", "content")  # stages at which a mail server had been given the recipient


class Judge:
    """Turns outcomes into settlements for one worker; ``lifetime`` in seconds."""

    def __init__(self, worker: int, lifetime: float) -> None:
        self._worker = worker
        self._lifetime = lifetime

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
        state, again, text = DELIVERED, now, str(outcome.reply)
        if not outcome.delivered:
            state = BOUNCED if final_refusal(outcome) else DEFERRED
        if state == DEFERRED:
            pause = _pause(outcome, recipient.attempts)
            attempts = recipient.attempts + 1
            since = message.accepted_at if recipient.leaves_at is None else recipient.leaves_at
            following = next_attempt(now, attempts, since, self._lifetime, random, pause=pause)
            if following is None:
                state, text = EXPIRED, EXPIRED_REPLY + text
            else:
                again = following
        return Settlement(
            message=message,
            recipient=recipient,
            worker=self._worker,
            state=state,
            reply=text,
            at=now,
            next_attempt_at=again,
            transmitted=outcome.stage in HANDED_OVER,
            in_doubt=outcome.in_doubt,
            facts={"stage": outcome.stage, **facts},
        )

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
        end = (message.accepted_at if recipient.leaves_at is None else recipient.leaves_at) + self._lifetime
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


def suspended(suspension: Suspension) -> Reply:
    """Why nothing is sent to a provider."""
    return Reply(451, "4.3.2", f"Mail to {suspension.provider} is suspended: {suspension.reason}")


def final_refusal(outcome: Outcome) -> bool:
    """Whether the recipient has failed for good.

    A 5xx to MAIL is mostly about the sending machine, so it is tried again, unless it is about this very message
    (its size, RFC 1870; its need of SMTPUTF8, RFC 6531).
    """
    if outcome.stage == "mail":
        return outcome.permanent and about_message(outcome.reply)
    return outcome.permanent


def about_message(reply: Reply) -> bool:
    """Whether a refusal of MAIL would be the same from any other machine."""
    return reply.code == 552 or reply.status in ("5.3.4", "5.6.7", "5.2.3")


def _pause(outcome: Outcome, attempts: int) -> float | None:
    if outcome.in_doubt:
        return IN_DOUBT  # a copy may be under way: leave it the time to show up
    if attempts == 0 and greylisted(outcome.reply):
        return GREYLISTED
    return None
