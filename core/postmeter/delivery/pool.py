"""The pool of sessions with mail servers: what is to be sent goes in, what became of it comes out."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from OpenSSL import SSL
from twisted.internet.defer import Deferred

from postmeter.delivery.attempt import Delivery, Facts
from postmeter.delivery.client_tls import TlsSessions
from postmeter.delivery.destination import Destination, Job, Limits
from postmeter.delivery.fair_queue import Turn
from postmeter.delivery.opening import BrokenTls, NoSession, NoteTls, Surroundings, note_nothing
from postmeter.delivery.route import Route
from postmeter.delivery.tls_policy import TlsPolicy
from postmeter.smtp.mail import Mail
from postmeter.smtp.reply import Reply
from postmeter.source import Source

MX_LIMITS = Limits()
STATIC_LIMITS = Limits(first_sessions=20, most_sessions=50, mails_per_session=1_000)
MOST_SESSIONS = 500  # of one process with all destinations
NOBODY = Turn(0)
STOPPING = Reply(451, "4.3.2", "This relay is shutting down; the mail stays in its queue")


def default_limits(route: Route) -> Limits:
    """Careful with strangers, faster with the operator's own next hops."""
    return STATIC_LIMITS if route.static else MX_LIMITS


class Pool:
    """Sends mails over shared sessions; a destination is a route's key with its TLS policy and what it leaves from."""

    def __init__(
        self,
        reactor: Any,
        hostname: str,
        *,
        limits: Callable[[Route], Limits] = default_limits,
        most_sessions: int = MOST_SESSIONS,
        context: SSL.Context | None = None,
        broken_tls: BrokenTls | None = None,
        note_tls: NoteTls = note_nothing,
    ) -> None:
        sessions, broken_tls = TlsSessions(reactor.seconds, context), broken_tls or BrokenTls(reactor.seconds)
        self._surroundings = Surroundings(reactor, hostname, sessions, broken_tls, note_tls)
        self._limits = limits
        self._most = most_sessions
        self._sessions = 0  # open or being opened
        self._destinations: dict[tuple[str, TlsPolicy, Source | None], Destination] = {}
        self._without_room: deque[Destination] = deque()
        self._stopped: Deferred[None] | None = None

    def deliver(
        self, route: Route, mail: Mail, turn: Turn = NOBODY, source: Source | None = None
    ) -> Deferred[Delivery]:
        """Send a mail when it is its turn; fires with its delivery, whatever became of it.

        Without a ``source`` the system chooses the address that it leaves from.
        It fails with ValueError when a path or a parameter of the envelope holds a control character.
        """
        now = self._surroundings.reactor.seconds()
        job = Job(mail, now, turn)
        if self._stopped is not None:
            job.fail(NoSession(STOPPING, "connect", Facts.of(route.hosts[0])), now)
            return job.done
        key = (route.key, route.tls, source)
        destination = self._destinations.get(key)
        if destination is None:
            surroundings = replace(self._surroundings, source=source) if source else self._surroundings
            destination = Destination(surroundings, route, self._limits(route), self)
            self._destinations[key] = destination
        destination.route = route
        destination.submit(job)
        return job.done

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

    def take(self, destination: Destination) -> bool:
        """See ``Room``."""
        if self._sessions < self._most:
            self._sessions += 1
            return True
        if destination not in self._without_room:
            self._without_room.append(destination)
            any(other.drop_idle() for other in self._destinations.values())
        return False

    def give_back(self, destination: Destination) -> None:
        """See ``Room``."""
        self._sessions -= 1
        while self._without_room and self._sessions < self._most:
            self._without_room.popleft().grow()
        if destination.empty:
            self._forget(destination)
        self._tell_stopped()

    def _forget(self, destination: Destination) -> None:
        key = (destination.route.key, destination.route.tls, destination.source)
        if self._destinations.get(key) is destination:
            del self._destinations[key]

    def _tell_stopped(self) -> None:
        if self._stopped is not None and not self._sessions and not self._stopped.called:
            self._stopped.callback(None)
