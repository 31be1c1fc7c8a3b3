"""One destination: the sessions with its mail servers, the mails that wait for one, and how many sessions it bears."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Protocol

from postmeter.delivery.attempt import Delivery, Facts, Talk
from postmeter.delivery.dead import Dead
from postmeter.delivery.fair_queue import FairQueue, Turn
from postmeter.delivery.job import Job
from postmeter.delivery.opening import NoSession, Opening, Surroundings
from postmeter.delivery.route import Route
from postmeter.delivery.sender import SESSION_LIFE, Sender
from postmeter.smtp.mail import Outcome, Stage
from postmeter.smtp.reply import Reply
from postmeter.smtp.sending import CONNECTION_LOST, Closed, Sent

MOST_AGE = SESSION_LIFE / 2  # an older session takes no mail, so that each has time enough
SLOW = 10.0  # seconds; what takes longer does not count among the sessions of the process


@dataclass(frozen=True, slots=True)
class Limits:
    """Sessions at the beginning and at most, mails in one session, seconds a session is kept open without mail."""

    first_sessions: int = 2
    most_sessions: int = 10
    mails_per_session: int = 100
    idle: float = 30.0


class Room(Protocol):
    """How many sessions a destination may have open, and how fast its mail may leave, next to all the others."""

    def enter(self, destination: Destination) -> None:
        """There is a new one."""

    def leave(self, destination: Destination) -> None:
        """It has nothing to send and no session."""

    def take(self, destination: Destination, turn: Turn) -> bool:
        """Whether another session may be opened for a mail; if not, ``Destination.grow`` is called when one may."""

    def give_back(self, destination: Destination) -> None:
        """A session has ended, or none could be opened."""

    @property
    def crowded(self) -> bool:
        """Others wait for room: no session is kept open without mail."""

    def goes(self, destination: Destination) -> bool:
        """Whether a mail may leave, which it does then; if not, ``Destination.grow`` is called when one may."""

    def over(self) -> bool:
        """Whether a session must end instead of taking another mail."""

    def pause(self, waiting: FairQueue[Job], turn: Turn) -> float:
        """Seconds after which a mail should come again, since too many wait already; 0: it may wait as well."""

    def learn(self, replies: Sequence[tuple[Reply, Stage]], step: int, host: str) -> None:
        """What a server has said against a mail; ``step``: it has taken one (1) or complains (-1) of too much."""


class Destination:
    """Sends mails over as few sessions as it takes, each account's in its turn.

    The number of sessions grows by one with every success, and halves when the servers complain.
    """

    def __init__(
        self, surroundings: Surroundings, key: Hashable, route: Route, limits: Limits, room: Room, dead: Dead
    ) -> None:
        self.key = key
        self.route = route  # the latest; its hosts may change while the key stays
        self._surroundings = surroundings
        self._dead = dead
        self._limits = limits
        self._room = room
        self._allowed = limits.first_sessions
        self._waiting: FairQueue[Job] = FairQueue()
        self._idle: list[Sender] = []
        self._busy: dict[Sender, Job] = {}
        self._openings: dict[Opening, float] = {}  # since when
        self._stopped = False

    @property
    def empty(self) -> bool:
        """Nothing waits and nothing is open."""
        return not (self._waiting or self._idle or self._busy or self._openings)

    def slow(self, now: float) -> int:
        """How many sessions have been busy with opening, or with one mail, for longer than usual."""
        begun = (*self._openings.values(), *(job.given for job in self._busy.values()))
        return sum(at < now - SLOW for at in begun)

    def submit(self, job: Job) -> None:
        """Send this mail now, or when its turn comes; put it off when that is too far away."""
        if pause := self._room.pause(self._waiting, job.turn):
            self._put_off(job, pause)
        else:
            self._waiting.push(job.turn, job)
            self.grow(job.turn)

    def grow(self, turn: Turn | None = None) -> None:
        """Use idle sessions, and open as many as the waiting mails ask for and the limits allow.

        ``turn``: of the one that has just come.
        """
        now = self._now()
        self._idle = [sender for sender in self._idle if sender.ready]  # others take leave: they had no mail for long
        while self._waiting and self._idle and len(self._busy) < self._allowed and self._room.goes(self):
            self._give(self._idle.pop(), self._waiting.pop(), now)
        while len(self._waiting) > len(self._openings) and len(self._openings) + len(self._busy) < self._allowed:
            if not self._room.take(self, turn or self._waiting.turn):
                return
            opening = Opening(self._surroundings, self.route, self._opened, self._not_opened)
            self._openings[opening] = now
            opening.start()

    def put_off(self, seconds: float) -> None:
        """What waits shall come again later: nothing is sent now."""
        for job in self._waiting.drain():
            self._put_off(job, seconds)
        self._leave_if_empty()

    def put_off_account(self, account_id: int, seconds: float) -> None:
        """The same for what waits of one account."""
        for job in self._waiting.drain_of(account_id):
            self._put_off(job, seconds)
        self._leave_if_empty()

    def drop_idle(self) -> bool:
        """Close a session without mail; whether there was one."""
        while self._idle:
            if (sender := self._idle.pop(0)).ready:
                sender.quit()
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
        self._leave_if_empty()

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
        now = self._now()
        talk = Talk(job.began, now, sender.mails, opening, sent.exchange)
        self._adapt(sent.outcomes, sender.host.name)
        self._go_on(sender, now)
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
        self._give_back()

    def _opened(self, opening: Opening, sender: Sender) -> None:
        del self._openings[opening]
        self._dead.remove(self.key)
        sender.owner = self
        sender.idle = self._limits.idle
        self._go_on(sender, self._now())

    def _not_opened(self, opening: Opening, failure: NoSession) -> None:
        del self._openings[opening]
        self._allowed = max(1, self._allowed // 2)
        if not self._stopped:
            self._room.learn([(failure.reply, failure.stage)], -_complains(failure.reply), failure.facts.name)
        if not (self._openings or self._busy or self._idle):
            if not (self.route.static or self._stopped):
                self._dead.add(self.key, failure)
            self._fail_waiting(failure)
        self._give_back()

    def _go_on(self, sender: Sender, now: float) -> None:
        """Give the session its next mail, let it wait for one, or let it go."""
        if not sender.ready:
            return  # it is closing: session_closed follows
        worn = self._worn(sender, now)
        if self._waiting and not worn and len(self._busy) < self._allowed and self._room.goes(self):
            self._give(sender, self._waiting.pop(), now)
        elif worn or self._room.crowded:
            sender.quit()
        else:
            self._idle.append(sender)

    def _worn(self, sender: Sender, now: float) -> bool:
        mails = sender.mails
        if mails >= self._limits.mails_per_session or mails >= sender.most_mails:
            return True
        return now - sender.opened > MOST_AGE or self._room.over()

    def _give(self, sender: Sender, job: Job, now: float) -> None:
        self._busy[sender] = job
        job.given = now
        try:
            sender.send(job.mail)
        except ValueError:
            del self._busy[sender]
            job.done.errback()
            self._go_on(sender, now)

    def _adapt(self, outcomes: tuple[Outcome, ...], host: str) -> None:
        refused = [one for one in outcomes if not one.delivered]
        step = 1 if len(refused) < len(outcomes) else -any(_complains(one.reply) for one in refused)
        if step > 0:
            self._allowed = min(self._allowed + 1, self._limits.most_sessions)
        elif step < 0:
            self._allowed = max(1, self._allowed // 2)
        self._room.learn([*dict.fromkeys((one.reply, one.stage) for one in refused)] if refused else (), step, host)

    def _put_off(self, job: Job, seconds: float) -> None:
        self._dead.remove(self.key)  # if it was to find out whether somebody is there, the next one does
        job.put_off(seconds, Facts.of(self.route.hosts[0]), self._now())

    def _now(self) -> float:
        now: float = self._surroundings.reactor.seconds()
        return now

    def _give_back(self) -> None:
        self._leave_if_empty()
        self._room.give_back(self)

    def _leave_if_empty(self) -> None:
        if self.empty:
            self._room.leave(self)

    def _fail_waiting(self, failure: NoSession) -> None:
        for job in self._waiting.drain():
            job.fail(failure, self._now())


def _complains(reply: Reply) -> bool:
    """The server has had enough for now."""
    return reply.code == 421 or reply.status.startswith("4.7.")


def _was_over(outcomes: tuple[Outcome, ...]) -> bool:
    """The session ended without an answer to MAIL."""
    first = outcomes[0]
    return first.stage == "mail" and (first.reply is CONNECTION_LOST or first.reply.code == 421)
