"""Warm-up in one worker: which of our addresses have room at a provider today, and how long mail waits for room."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any

from sqlalchemy.orm import Session
from twisted.internet.defer import Deferred

from postmeter.message.handling import URGENT
from postmeter.smtp.reply import Reply
from postmeter.store.queue import QueuedMessage, QueuedRecipient
from postmeter.store.settle import Settlement
from postmeter.store.sources import Figures, Key, day_of
from postmeter.store.tables import QUEUED
from postmeter.store.warm_up import Warmth, refreshed

EVERY = 5.0  # seconds between two reports, and between two looks at those of the other workers
PATIENCE = 600.0  # seconds after which mail leaves, whatever room there is
SHARE = 0.1  # of its lifetime, for mail that is of no use for long
_OTHER = ("4.7.1", "4.7.5")  # what greylisting says mostly (see ``retry.greylisted``), and what we say of bad TLS

Read = Callable[[Callable[[Session], Any]], Deferred[Any]]


class WarmUp:
    """How much of its cap each address has used: by the store and, beyond that, by this worker.

    What other workers send between two of their reports is not seen: together they may go beyond a cap by that much.
    """

    def __init__(self, read: Read, clock: Callable[[], float], addresses: Collection[str], known: Warmth) -> None:
        self._read = read
        self._clock = clock
        self._addresses = addresses
        self._known = known
        self._own: Counter[tuple[str, str]] = Counter()  # attempts under way, or not in what is known of the store
        self._reported: Counter[tuple[str, str]] = Counter()  # those of them that are in the store by now

    def begin(self, address: str, provider: str, recipients: int) -> None:
        """Recipients of a provider are on their way out by an address."""
        self._own[address, provider] += recipients

    def end(self, address: str, provider: str, recipients: int, local: str) -> None:
        """Their attempt has ended; ``local`` is the address that a mail server has seen, if one has."""
        if local == address:
            return  # it counts, until it is seen in the store
        self._own[address, provider] -= recipients
        if local:
            self._own[local, provider] += recipients

    def reported(self, counted: Mapping[Key, Figures]) -> None:
        """What this worker has counted is in the store."""
        for key, figures in counted.items():
            if key.day == self._today:
                self._reported[key.address, key.provider] += figures.attempts

    async def look(self) -> None:
        """Learn from the store what all workers have reported."""
        seen = self._reported.copy()
        found = await self._read(partial(refreshed, known=self._known, addresses=self._addresses, now=self._clock()))
        self._reported -= seen
        self._own = self._own - seen if found.day == self._known.day else Counter()
        self._known = found

    def use(self, address: str, provider: str, more: int = 0) -> float:
        """The part of its cap that an address will have used at a provider today with so many ``more`` recipients.

        Above 1 it has no room for them.
        """
        level = self._known.of(address, provider)
        if level.cap is None:
            return 0.0
        today = level.today if self._known.day == self._today else 0
        return (today + self._own[address, provider] + more) / level.cap

    @property
    def _today(self) -> int:
        return day_of(self._clock())


def limits(reply: str) -> bool:
    """Whether a deferral says that it was too much, or that we are not trusted enough; greylisting says neither."""
    code, _, rest = reply.partition(" ")
    status = rest.partition(" ")[0]
    return code == "421" or (status.startswith("4.7.") and status not in _OTHER and "greylist" not in reply.lower())


def waits_until(message: QueuedMessage, recipient: QueuedRecipient, now: float, random: float) -> float | None:
    """Until when a recipient waits for whom no address has room; None: it leaves now.

    It waits once, before its first attempt; those that were accepted together leave over a while (``random``, 0 to 1).
    """
    if message.priority == URGENT or recipient.attempts:
        return None
    since = message.accepted_at if recipient.leaves_at is None else recipient.leaves_at
    patience = min(PATIENCE, message.lifetime * SHARE if message.lifetime else math.inf)
    return since + patience * (1 + random) / 2 if now < since + patience / 2 else None


def put_off(
    worker: int, message: QueuedMessage, recipient: QueuedRecipient, provider: str, until: float, now: float
) -> Settlement:
    """How a recipient waits for room."""
    text = f"This relay has sent {provider} enough from its addresses today; the rest waits a little"
    return Settlement(
        message=message,
        recipient=recipient,
        worker=worker,
        state=QUEUED,
        reply=str(Reply(451, "4.3.2", text)),
        at=now,
        next_attempt_at=until,
        transmitted=False,
        in_doubt=False,
        facts={"provider": provider},
        attempted=False,
    )
