"""When to try again: the schedule, its jitter, and the end of a recipient's lifetime (RFC 5321, 4.5.4.1)."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b

from postmeter.delivery.announced import announced
from postmeter.smtp.mail import Outcome
from postmeter.store.queue import QueuedMessage, QueuedRecipient

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
SCHEDULE = (1 * MINUTE, 5 * MINUTE, 15 * MINUTE, 30 * MINUTE, 1 * HOUR, 2 * HOUR)
LATER = 4 * HOUR  # after the schedule's end
JITTER = 0.1
LAST_CALL = 60.0  # seconds behind the end of a lifetime in which the last attempt may still begin
GRACE = 900.0  # the same for the setting's, or from when we come to it; it ends within the hour behind the lifetime


@dataclass(frozen=True, slots=True)
class Pause:
    """A wait in the place of the schedule's, never shorter; ``firm``: rather no attempt at all than one sooner."""

    seconds: float
    firm: bool = False


GREYLISTED = Pause(5 * MINUTE)
IN_DOUBT = Pause(15 * MINUTE, firm=True)  # a copy may be under way: leave it the time to show up
UNANSWERED = frozenset({"net", "tls", "dns", "local"})  # classes of failures at which no server has asked to wait


def draw(message_id: str, attempts: int) -> float:
    """A number from 0 to 1 that spreads messages, and is the same for all recipients of one.

    So those that were refused together leave together again: in one transaction, and to a server that greylists by all
    that it is told the same one as before.
    """
    octets = blake2b(f"{message_id} {attempts}".encode(), digest_size=4).digest()
    return int.from_bytes(octets) / 0xFFFFFFFF


def next_attempt(
    now: float, attempts: int, since: float, lifetime: float, random: float, *, pause: Pause | None = None
) -> float | None:
    """When to try again after ``attempts`` attempts; None when no attempt is left.

    ``since`` is when the recipient was accepted or, under the hourly limit, might first leave; ``lifetime`` seconds
    later it expires. ``random`` (0 to 1) spreads the wait by ± 10 %, that of a pause by 20 % upwards. The last attempt
    is made at the end of the lifetime, not long before it.
    """
    end = since + lifetime
    if now >= end:
        return None
    if pause is not None:
        at = now + pause.seconds * (1 + 2 * JITTER * random)
        return None if pause.firm and at > end else min(at, end)
    wait = SCHEDULE[attempts - 1] if attempts <= len(SCHEDULE) else LATER
    return min(now + wait * (1 - JITTER + 2 * JITTER * random), end)


def pause_after(outcome: Outcome, attempts: int, failure: str, *, greylisted: bool) -> Pause | None:
    """What an attempt asks to wait, after ``attempts`` earlier ones of which the last had this ``failure``.

    None: what the schedule says.
    """
    if outcome.in_doubt:
        return IN_DOUBT
    if outcome.reply.code not in (450, 451):
        return None
    if attempts > 1 and failure not in UNANSWERED:
        return None  # who has been asked to wait twice goes by the schedule, which is slower
    if wait := announced(outcome.reply.text):
        return Pause(wait)
    return GREYLISTED if greylisted else None


def since(message: QueuedMessage, recipient: QueuedRecipient) -> float:
    """Since when the recipient's lifetime counts, in seconds since the epoch."""
    return message.accepted_at if recipient.leaves_at is None else recipient.leaves_at


def time_left(message: QueuedMessage, recipient: QueuedRecipient, lifetime: float, now: float) -> float:
    """Seconds in which an attempt may begin; below 0: none is to, since a lifetime of the message's own is over.

    The setting's (``lifetime``) is no wish of the sender's. What we come to so late, since the relay was down or its
    clock was set, has its last attempt all the same: else all that waited would expire at once, and untried.
    """
    begun = since(message, recipient)
    if message.lifetime:
        return begun + message.lifetime + LAST_CALL - now
    return max(begun + lifetime - now, 0.0) + GRACE
