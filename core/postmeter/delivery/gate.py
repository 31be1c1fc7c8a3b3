"""The gate to a provider: how many sessions with it are open, how fast mail leaves, what its answers change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

from postmeter.delivery.complaint import Said
from postmeter.delivery.destination import Destination, Room
from postmeter.delivery.fair_queue import FairQueue, Turn
from postmeter.delivery.job import Job
from postmeter.delivery.pace import Pace
from postmeter.delivery.provider import Shape
from postmeter.delivery.reply_rule import Rule, about
from postmeter.delivery.slots import Slots
from postmeter.smtp.reply import Reply
from postmeter.store.provider_sessions import NONE, Sessions
from postmeter.store.providers import Suspension

LOOK = 1.0  # seconds between two looks at what others want and the operator says, while something waits or is open
CONTEND = 0.1  # the same while all places are taken, and not by us
YIELD = 0.3  # seconds in which whoever has given a place to others takes none
TURN = 5.0  # seconds for which sessions go on though others wait for a place
OPENED_AT_ONCE = 10.0  # seconds of the rate of connections that may be opened together
AHEAD = 60.0  # seconds of mail that wait in memory; what comes behind it is put off
LATEST = 3_600.0  # seconds for which it is put off at most


@dataclass(frozen=True)
class Terms:
    """What the gates of a worker have in common; ``workers`` are those of the machine.

    ``restriction`` gives what is in force about the first of these names that has one; ``apply`` is told of each reply
    that a rule is about.
    """

    clock: Any
    slots: Slots
    workers: int
    restriction: Callable[[tuple[str, ...]], Suspension | None]
    apply: Callable[[str, Rule, Reply], None]


class Gate:
    """Stands before ``room``; ``names``: whose restrictions hold for it, those of its own rules by the first of them.

    Of several names the first is a mail server's, and its rules are about what that one says: not about the others of a
    route, which anybody may have put behind it.

    A session holds a slot that no other worker has, and no worker has more than its share of them.
    """

    def __init__(self, terms: Terms, names: tuple[str, ...], key: int, shape: Shape, room: Room, first: int) -> None:
        self._terms = terms
        self.names = names
        self._key = key
        self._shape = shape
        self._room = room
        self._destinations: dict[Destination, None] = {}
        self._waiting: dict[Destination, None] = {}  # for a session, or for their time
        self._slots: list[int] = []
        self._first = first
        self._allowed = first  # grows with success
        self._restriction: Suspension | None = None
        self._pace = self._new_pace(None, 0.0)
        self._opening = Pace(shape.connection_rate / terms.workers, OPENED_AT_ONCE)
        self._short = False  # of sessions: one that has no mail goes
        self._not_before = 0.0  # no session is opened, so that others can
        self._since = 0.0  # this worker has had sessions without giving one to others
        self._booked = 0.0  # when all that was put off will have left
        self._call: Any = None

    @property
    def idle(self) -> bool:
        """Nobody uses it."""
        return not (self._destinations or self._slots)

    def enter(self, destination: Destination) -> None:
        """See ``Room``."""
        self._destinations[destination] = None
        self._room.enter(destination)

    def leave(self, destination: Destination) -> None:
        """See ``Room``."""
        self._destinations.pop(destination, None)
        self._waiting.pop(destination, None)
        self._rest()
        self._room.leave(destination)

    def take(self, destination: Destination, turn: Turn) -> bool:
        """See ``Room``."""
        now = self._look()
        wait = max(self._pace.wait(now), self._opening.wait(now), self._not_before - now)
        if wait > 0 or self._stopped:
            return self._let_wait(destination, wait)
        slot = self._slot()
        if slot is None:
            self._short = True
            self._let_wait(destination, CONTEND if len(self._slots) < self._own_most else LOOK)
            any(other.drop_idle() for other in list(self._destinations) if other is not destination)
            return False
        if not self._room.take(destination, turn):
            self._terms.slots.give_back(slot)
            return False
        self._since = self._since if self._slots else now
        self._slots.append(slot)
        self._opening.take(now)
        self._wake_in(LOOK)
        return True

    def give_back(self, destination: Destination) -> None:
        """See ``Room``."""
        self._slots.sort()
        self._terms.slots.give_back(self._slots.pop())  # the last one may be one too many
        now = self._since = self._terms.clock.seconds()
        if self._terms.slots.wanted(self._key):
            self._not_before = now + YIELD
        if self._waiting:
            self._wake_in(max(0.0, self._not_before - now))
        self._rest()
        self._room.give_back(destination)

    @property
    def crowded(self) -> bool:
        """See ``Room``."""
        return self._short or self._room.crowded

    def goes(self, destination: Destination) -> bool:
        """See ``Room``."""
        now = self._look()
        wait = self._pace.wait(now)
        if wait > 0 or self._stopped:
            return self._let_wait(destination, wait)
        if not self._room.goes(destination):
            return False
        self._pace.take(now)
        return True

    def over(self) -> bool:
        """See ``Room``."""
        return self._surplus() > 0 or self._room.over()

    def pause(self, waiting: FairQueue[Job], turn: Turn) -> float:
        """See ``Room``."""
        most = AHEAD * self._pace.rate
        if len(waiting) <= most or waiting.ahead(turn) <= most:
            return self._room.pause(waiting, turn)
        now: float = self._terms.clock.seconds()
        self._booked = max(self._booked, now + AHEAD) + 1.0 / self._pace.rate
        return min(self._booked - now, LATEST)

    def learn(self, said: Sequence[Said], step: int) -> None:
        """See ``Room``."""
        if step > 0 and self._allowed < self._most:
            self._allowed += 1
            if self._short:
                self._wake_in(0.0)
        elif step < 0:
            self._allowed = max(1, min(self._allowed, self._most) // 2)
        name, *others = self.names
        for one in said:
            rule = about(self._shape.rules, one.reply, one.stage) if not others or one.host == name else None
            if rule is not None:
                self._terms.apply(name, rule, one.reply)
        self._room.learn(said, 0)  # one of many servers with too much says nothing about the others

    def sessions(self) -> Sessions:
        """Those of this worker, and its part of those that there may be; ``NONE``: there is nothing to tell."""
        if self.idle and self._allowed >= self._first:
            return NONE
        part = self.part()
        return Sessions(len(self._slots), min(part, sum(one.allowed for one in self._destinations) or part))

    def part(self) -> float:
        """Of the sessions that there may be at present, so many are this worker's."""
        self._look()
        return 0.0 if self._stopped else min(self._own_most, self._limit / self._terms.workers)

    def begin_again(self) -> None:
        """As many sessions as at the beginning."""
        self._allowed = self._first
        for destination in list(self._destinations):
            destination.begin_again()

    # Limits

    @property
    def _stopped(self) -> bool:
        return self._restriction is not None and self._restriction.stops

    @property
    def _limit(self) -> int:
        """Sessions of all workers."""
        fewer = self._restriction.sessions if self._restriction else None
        return self._shape.connections if fewer is None else min(fewer, self._shape.connections)

    @property
    def _most(self) -> int:
        """The share of this worker."""
        return ceil(self._limit / self._terms.workers)

    @property
    def _own_most(self) -> int:
        """The same at present."""
        return min(self._allowed, self._most)

    def _look(self) -> float:
        """Learn what restricts us by now; the time."""
        now: float = self._terms.clock.seconds()
        found = self._terms.restriction(self.names)
        if found != self._restriction:
            self._restriction, self._booked = found, 0.0
            self._pace = self._new_pace(found, now)
        return now

    def _new_pace(self, restriction: Suspension | None, now: float) -> Pace:
        rate = self._shape.rate
        if restriction is not None and restriction.per_minute is not None:
            slow = min(rate, restriction.per_minute / 60.0) / self._terms.workers
            return Pace(slow, begin=now + 1.0 / slow)  # nobody knows what has left within the last minute
        return Pace(rate / self._terms.workers)

    def _slot(self) -> int | None:
        if len(self._slots) >= self._own_most:
            return None
        slot = self._terms.slots.take(self._key, self._limit)
        if slot is None and not self._slots:
            self._terms.slots.want(self._key)
        else:
            self._terms.slots.be_content(self._key)
        return slot

    def _surplus(self) -> int:
        """Sessions that have to end: more than they may be, or one since it is the turn of a worker that has none."""
        if self._stopped:
            return len(self._slots)
        if self._restriction is not None:
            beyond = sum(slot >= self._key + self._limit for slot in self._slots)
            return max(beyond, len(self._slots) - self._most)
        now = self._terms.clock.seconds()
        return int(now - self._since >= TURN and bool(self._slots) and self._terms.slots.wanted(self._key))

    # Waiting

    def _let_wait(self, destination: Destination, seconds: float) -> bool:
        """Call ``grow`` then, or what is to be done instead when nothing may be sent; False."""
        self._waiting[destination] = None
        self._wake_in(min(seconds, LOOK))
        return False

    def _wake_in(self, seconds: float) -> None:
        if self._call is None:
            self._call = self._terms.clock.callLater(seconds, self._wake)
        elif self._call.getTime() > self._terms.clock.seconds() + seconds:
            self._call.reset(seconds)

    def _wake(self) -> None:
        self._call, self._short = None, False
        self._look()
        waiting, self._waiting = self._waiting, {}
        for destination in waiting:
            if self._stopped:
                destination.put_off(LOOK)
            else:
                destination.grow()
        surplus = self._surplus()
        for destination in list(self._destinations):
            while surplus and destination.drop_idle():
                surplus -= 1
        if self._waiting or self._slots:
            self._wake_in(LOOK)
        else:
            self._rest()

    def _rest(self) -> None:
        """Nothing waits and nothing is open: wake up no more."""
        if not self._waiting and self._call is not None and not self._slots:
            self._call.cancel()
            self._call = None
        if not self._waiting:
            self._terms.slots.be_content(self._key)
