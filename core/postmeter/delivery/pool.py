"""The pool of sessions with mail servers: what is to be sent goes in, what became of it comes out."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from OpenSSL import SSL
from twisted.internet.defer import Deferred

from postmeter.delivery.attempt import Delivery, Facts
from postmeter.delivery.client_tls import TlsSessions
from postmeter.delivery.complaint import Said
from postmeter.delivery.dead import Dead
from postmeter.delivery.destination import Destination, Limits, Room
from postmeter.delivery.fair_queue import ANYBODY, FairQueue, Turn
from postmeter.delivery.job import Job
from postmeter.delivery.opening import BrokenTls, NoSession, NoteTls, Surroundings, note_nothing
from postmeter.delivery.outcome import Classify
from postmeter.delivery.route import Route
from postmeter.delivery.shaping import Shaper
from postmeter.delivery.tls_policy import TlsPolicy
from postmeter.message.bounce import classify
from postmeter.smtp.mail import Mail
from postmeter.smtp.reply import Reply
from postmeter.source import Source

MX_LIMITS = Limits()
STATIC_LIMITS = Limits(first_sessions=20, most_sessions=50, mails_per_session=1_000)
MOST_SESSIONS = 500  # of one process with all destinations; those that only wait for a slow server do not count
MOST_IN_ALL = 5  # times as many, with those
AGAIN = 1.0  # seconds after which what was given back comes again
LOOK = 1.0  # seconds between two counts of the slow ones
LATE_EVERY = 10.0  # seconds between two looks for mails that have waited too long
STOPPING = Reply(451, "4.3.2", "This relay is shutting down; the mail stays in its queue")


def default_limits(route: Route) -> Limits:
    """Careful with strangers, faster with the operator's own next hops."""
    return STATIC_LIMITS if route.static else MX_LIMITS


Asking = tuple[Destination, Turn]  # for a session, and for whose mail: it may ask for several accounts
Key = tuple[str, TlsPolicy, Source | None]


def key(route: Route, source: Source | None) -> Key:
    """What sessions can be shared by: mail servers, TLS policy, and the address of ours that they are from."""
    return route.key, route.tls, source


class Pool:
    """Sends mails over sessions that are shared by what has the same servers, TLS policy and address to leave from.

    ``shaper``: at the pace of those who receive them, unless a route is static.
    ``may_send``: while it says no, none begins. ``classify`` tells which refusals are complaints of too much.
    """

    def __init__(
        self,
        reactor: Any,
        hostname: str,
        *,
        limits: Callable[[Route], Limits] = default_limits,
        shaper: Shaper | None = None,
        most_sessions: int = MOST_SESSIONS,
        context: SSL.Context | None = None,
        broken_tls: BrokenTls | None = None,
        note_tls: NoteTls = note_nothing,
        dead: Dead | None = None,
        may_send: Callable[[], bool] = lambda: True,
        classify: Classify = classify,
    ) -> None:
        sessions, broken_tls = TlsSessions(reactor.seconds, context), broken_tls or BrokenTls(reactor.seconds)
        self._surroundings = Surroundings(reactor, hostname, sessions, broken_tls, note_tls, classify=classify)
        self._limits = limits
        self._shaper = shaper
        self._dead = dead or Dead(reactor)
        self._may_send = may_send
        self._paused: dict[Destination, None] = {}  # until ``resume``
        self._most = most_sessions
        self._sessions = 0  # open or being opened
        self._slow = (-LOOK, 0)  # of them, and when they were counted
        self._destinations: dict[Hashable, Destination] = {}
        self._without_room: FairQueue[Asking] = FairQueue()
        self._asking: set[Asking] = set()  # the same
        self._spare = False  # some session may be open without mail, while others have no room
        self._looking: Any = None
        self._looking_late: Any = None
        self._stopped: Deferred[None] | None = None

    def deliver(
        self,
        route: Route,
        mail: Mail,
        turn: Turn = ANYBODY,
        source: Source | None = None,
        *,
        within: float = math.inf,
    ) -> Deferred[Delivery]:
        """Send a mail when it is its turn; fires with its delivery, whatever became of it.

        Without a ``source`` the system chooses the address that it leaves from. It is put off if it cannot leave
        ``within`` so many seconds, and also if it has to wait for long.
        It fails with ValueError when a path or a parameter of the envelope holds a control character.
        """
        now = self._surroundings.reactor.seconds()
        job = Job(mail, now, turn, now + within)
        if self._stopped is not None:
            job.fail(NoSession(STOPPING, "connect", Facts.of(route.hosts[0])), now)
            return job.done
        where = key(route, source)
        if (failure := self._dead.recall(where)) is not None:
            job.fail_at_once(failure, now)
            return job.done
        destination = self._destinations.get(where) or self._new_destination(route, source)
        destination.route = route
        destination.submit(job)
        return job.done

    def resume(self) -> None:
        """Mails may be sent again."""
        paused, self._paused = self._paused, {}
        for destination in paused:
            destination.grow()

    def put_off(self, accounts: Iterable[int]) -> None:
        """Give back what waits of these accounts: some of it is not to be sent, and the rest comes again at once."""
        for account in accounts:
            for destination in list(self._destinations.values()):
                destination.put_off_account(account, AGAIN)

    def stop(self) -> Deferred[None]:
        """Take no more mails, give back what waits, end what is under way; fires when no session is left."""
        if self._stopped is None:
            self._stopped = Deferred()
            for destination in list(self._destinations.values()):
                destination.stop(NoSession(STOPPING, "connect", Facts.of(destination.route.hosts[0])))
            self._tell_stopped()
        return self._stopped

    def abort(self) -> None:
        """Cut what ``stop`` waits for; a mail that was being sent ends as lost, behind its final dot in doubt."""
        for destination in list(self._destinations.values()):
            destination.abort()

    @property
    def crowded(self) -> bool:
        """See ``Room``."""
        return bool(self._without_room) or self._stopped is not None

    def enter(self, destination: Destination) -> None:
        """See ``Room``."""
        self._destinations[destination.key] = destination
        if self._looking_late is None:
            self._looking_late = self._surroundings.reactor.callLater(LATE_EVERY, self._look_late)

    def leave(self, destination: Destination) -> None:
        """See ``Room``."""
        if self._destinations.get(destination.key) is destination:
            del self._destinations[destination.key]
        if not self._destinations and self._looking_late is not None:
            self._looking_late.cancel()
            self._looking_late = None

    def take(self, destination: Destination, turn: Turn) -> bool:
        """See ``Room``."""
        if not self.goes(destination):
            return False
        if self._has_room():
            self._sessions += 1
            return True
        if (asking := (destination, turn)) not in self._asking:
            self._spare = self._spare or not self._asking
            self._asking.add(asking)
            self._without_room.push(turn, asking)
            self._spare = self._spare and any(other.drop_idle() for other in self._destinations.values())
            self._look_later()
        return False

    def give_back(self, destination: Destination) -> None:
        """See ``Room``."""
        self._sessions -= 1
        self._let_in()
        self._tell_stopped()

    def goes(self, destination: Destination) -> bool:
        """See ``Room``."""
        if self._may_send():
            return True
        self._paused[destination] = None
        return False

    def over(self) -> bool:
        """See ``Room``."""
        return False

    def pause(self, waiting: FairQueue[Job], turn: Turn) -> float:
        """See ``Room``."""
        return 0.0

    def learn(self, said: Sequence[Said], step: int) -> None:
        """See ``Room``: nothing that concerns all."""

    def _new_destination(self, route: Route, source: Source | None) -> Destination:
        room: Room = self
        limits, surroundings = self._limits(route), self._surroundings
        if self._shaper is not None and not route.static:
            room, limits = self._shaper.gate(route, source.name if source else "", self), self._shaper.limits(route)
        if source is not None:
            surroundings = replace(surroundings, source=source)
        destination = Destination(surroundings, key(route, source), route, limits, room, self._dead)
        room.enter(destination)
        return destination

    def _has_room(self) -> bool:
        if self._sessions < self._most:
            return True
        now = self._surroundings.reactor.seconds()
        if now - self._slow[0] >= LOOK:
            self._slow = now, sum(one.slow(now) for one in self._destinations.values())
        return self._sessions - self._slow[1] < self._most and self._sessions < MOST_IN_ALL * self._most

    def _let_in(self) -> None:
        while self._without_room and self._has_room():
            asking = self._without_room.pop()
            self._asking.remove(asking)
            asking[0].grow()
        if not self._without_room and self._looking is not None:
            self._looking.cancel()
            self._looking = None

    def _look_later(self) -> None:
        """Sessions become slow by waiting, which nobody tells."""
        if self._looking is None:
            self._looking = self._surroundings.reactor.callLater(LOOK, self._look)

    def _look(self) -> None:
        self._looking = None
        self._let_in()
        if self._without_room:
            self._look_later()

    def _look_late(self) -> None:
        """What is given back at the end, or while nothing may be sent, is told elsewhere."""
        self._looking_late = self._surroundings.reactor.callLater(LATE_EVERY, self._look_late)
        for destination in list(self._destinations.values()) if self._may_send() else ():
            destination.look()

    def _tell_stopped(self) -> None:
        if self._stopped is not None and not self._sessions and not self._stopped.called:
            self._stopped.callback(None)
