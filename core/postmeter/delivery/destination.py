"""One destination: the sessions with its mail servers, the mails that wait for one, and how many sessions it bears."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from twisted.internet.defer import Deferred

from postmeter.delivery.attempt import Delivery, Talk
from postmeter.delivery.fair_queue import FairQueue, Turn
from postmeter.delivery.opening import NoSession, Opening, Surroundings
from postmeter.delivery.route import Route
from postmeter.delivery.sender import SESSION_LIFE, Sender
from postmeter.smtp.mail import Mail, Outcome
from postmeter.smtp.sending import CONNECTION_LOST, Closed, Sent
from postmeter.source import Source

MOST_AGE = SESSION_LIFE / 2  # an older session takes no mail, so that each has time enough


@dataclass(frozen=True, slots=True)
class Limits:
    """Sessions at the beginning and at most, mails in one session, seconds a session is kept open without mail."""

    first_sessions: int = 2
    most_sessions: int = 10
    mails_per_session: int = 100
    idle: float = 30.0


class Job:
    """A mail in the pool since ``began`` (by the reactor's clock) and who waits for it."""

    __slots__ = ("began", "done", "mail", "turn")

    def __init__(self, mail: Mail, began: float, turn: Turn) -> None:
        self.mail = mail
        self.began = began
        self.turn = turn
        self.done: Deferred[Delivery] = Deferred()

    def fail(self, failure: NoSession, now: float) -> None:
        """No server took it: the same outcome for every recipient."""
        count = len(self.mail.envelope.recipients)
        outcomes = tuple(Outcome(index, failure.reply, failure.stage) for index in range(count))
        self.done.callback(Delivery(outcomes, failure.facts, Talk(self.began, now, opening=failure.lines)))


class Room(Protocol):
    """How many sessions the process has open in all."""

    def take(self, destination: Destination) -> bool:
        """Whether another session may be opened; if not, ``Destination.grow`` is called when one may."""

    def give_back(self, destination: Destination) -> None:
        """A session has ended, or none could be opened."""

    @property
    def crowded(self) -> bool:
        """Others wait for room: no session is kept open without mail."""


class Destination:
    """Sends mails over as few sessions as it takes, each account's in its turn.

    The number of sessions grows by one with every success, and halves when the servers complain.
    """

    def __init__(self, surroundings: Surroundings, route: Route, limits: Limits, room: Room) -> None:
        self.route = route  # the latest; its hosts may change while the key stays
        self._surroundings = surroundings
        self._limits = limits
        self._room = room
        self._allowed = limits.first_sessions
        self._waiting: FairQueue[Job] = FairQueue()
        self._idle: list[Sender] = []
        self._busy: dict[Sender, Job] = {}
        self._openings: set[Opening] = set()
        self._stopped = False

    @property
    def source(self) -> Source | None:
        """What its sessions leave from; None: the system chooses."""
        return self._surroundings.source

    @property
    def empty(self) -> bool:
        """Nothing waits and nothing is open."""
        return not (self._waiting or self._idle or self._busy or self._openings)

    def submit(self, job: Job) -> None:
        """Send this mail now, or when its turn comes."""
        self._waiting.push(job.turn, job)
        self.grow()

    def grow(self) -> None:
        """Use idle sessions, and open as many as the waiting mails ask for and the limits allow."""
        while self._waiting and self._idle and len(self._busy) < self._allowed:
            self._give(self._idle.pop(), self._waiting.pop())
        while len(self._waiting) > len(self._openings) and len(self._openings) + len(self._busy) < self._allowed:
            if not self._room.take(self):
                return
            opening = Opening(self._surroundings, self.route, self._opened, self._not_opened)
            self._openings.add(opening)
            opening.start()

    def drop_idle(self) -> bool:
        """Close a session without mail; whether there was one."""
        if self._idle:
            self._idle.pop(0).quit()
            return True
        return False

    def stop(self, failure: NoSession) -> None:
        """Fail what waits, take leave of idle sessions; what is under way comes to its end."""
        self._stopped = True
        self._fail_waiting(failure)
        for opening in list(self._openings):
            opening.abort()
        while self.drop_idle():
            pass

    def abort(self) -> None:
        """Cut every session."""
        self._stopped = True
        for opening in list(self._openings):
            opening.abort()
        for sender in [*self._busy, *self._idle]:
            sender.abort()

    def session_ready(self, sender: Sender) -> None:
        """Never comes: a session is handed over when it is ready."""

    def mail_sent(self, sender: Sender, sent: Sent) -> None:
        """See ``Owner``: the session gets its next mail first, then the outcomes of this one are told."""
        job = self._busy.pop(sender)
        if sender.mails > 1 and _was_over(sent.outcomes) and not self._stopped:
            self._waiting.push_back(job.turn, job)  # the server had ended the session before this mail: another session
            return
        opening, sender.opening = sender.opening, ()
        talk = Talk(job.began, self._surroundings.reactor.seconds(), sender.mails, opening, sent.exchange)
        self._adapt(sent.outcomes)
        self._go_on(sender)
        if self._waiting:
            self.grow()
        job.done.callback(Delivery(sent.outcomes, sender.facts, talk))

    def session_closed(self, sender: Sender, closed: Closed) -> None:
        """See ``Owner``."""
        if sender in self._idle:
            self._idle.remove(sender)
        self.grow()

    def session_gone(self, sender: Sender) -> None:
        """See ``Owner``."""
        self._room.give_back(self)

    def _opened(self, opening: Opening, sender: Sender) -> None:
        self._openings.remove(opening)
        sender.owner = self
        sender.idle = self._limits.idle
        self._go_on(sender)

    def _not_opened(self, opening: Opening, failure: NoSession) -> None:
        self._openings.remove(opening)
        self._allowed = max(1, self._allowed // 2)
        if not (self._openings or self._busy or self._idle):
            self._fail_waiting(failure)
        self._room.give_back(self)

    def _go_on(self, sender: Sender) -> None:
        """Give the session its next mail, let it wait for one, or let it go."""
        if not sender.ready:
            return  # it is closing: session_closed follows
        worn = sender.mails >= self._limits.mails_per_session or self._age(sender) > MOST_AGE
        if self._waiting and not worn and len(self._busy) < self._allowed:
            self._give(sender, self._waiting.pop())
        elif worn or self._room.crowded:
            sender.quit()
        else:
            self._idle.append(sender)

    def _give(self, sender: Sender, job: Job) -> None:
        self._busy[sender] = job
        try:
            sender.send(job.mail)
        except ValueError:
            del self._busy[sender]
            job.done.errback()
            self._go_on(sender)

    def _adapt(self, outcomes: tuple[Outcome, ...]) -> None:
        if any(outcome.delivered for outcome in outcomes):
            self._allowed = min(self._allowed + 1, self._limits.most_sessions)
        elif any(outcome.reply.code == 421 or outcome.reply.status.startswith("4.7.") for outcome in outcomes):
            self._allowed = max(1, self._allowed // 2)

    def _age(self, sender: Sender) -> float:
        now: float = self._surroundings.reactor.seconds()
        return now - sender.opened

    def _fail_waiting(self, failure: NoSession) -> None:
        for job in self._waiting.drain():
            job.fail(failure, self._surroundings.reactor.seconds())


def _was_over(outcomes: tuple[Outcome, ...]) -> bool:
    """The session ended without an answer to MAIL."""
    first = outcomes[0]
    return first.stage == "mail" and (first.reply is CONNECTION_LOST or first.reply.code == 421)
