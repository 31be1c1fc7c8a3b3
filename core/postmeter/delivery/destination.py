"""One destination: the sessions with its mail servers, the mails that wait for one, and how many sessions it bears."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from postmeter.delivery.attempt import Delivery, Facts, Talk, left_over
from postmeter.delivery.complaint import Said, complains, too_much
from postmeter.delivery.dead import Dead
from postmeter.delivery.fair_queue import FairQueue, Turn
from postmeter.delivery.job import Job
from postmeter.delivery.opening import NoSession, Opening, Surroundings
from postmeter.delivery.route import Route
from postmeter.delivery.sender import SESSION_LIFE, Sender
from postmeter.smtp.mail import Outcome
from postmeter.smtp.sending import CONNECTION_LOST, Closed, Sent

MOST_AGE = SESSION_LIFE / 2  # an older session takes no mail, so that each has time enough
MOST_SAID = 5  # different replies of one transaction that are heard
AWAY = 300.0  # seconds within which the mails come again, one after the other, that have waited too long here
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

    def learn(self, said: Sequence[Said], step: int) -> None:
        """What servers have said against a mail or session; ``step``: one was taken (1), or they complain (-1)."""


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

    @property
    def allowed(self) -> int:
        """Sessions at present, by how the servers have taken the mail."""
        return self._allowed

    def begin_again(self) -> None:
        """As many sessions as at the beginning."""
        self._allowed = self._limits.first_sessions
        self.grow()

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
            if (job := self._next(now)) is not None:
                self._give(self._idle.pop(), job, now)
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

    def look(self) -> None:
        """Give back what has waited too long, but for some, so that no session is without a mail meanwhile.

        While it is found out whether there is anybody who takes mail, all wait for that.
        """
        now, stay = self._now(), iter(range(self._allowed))
        finding_out = self._openings and not self._busy

        def late(job: Job) -> bool:
            if finding_out:
                return now - job.began > SESSION_LIFE
            return now > job.until or (job.waits_too_long(now) and next(stay, None) is None)

        gone = self._waiting.take_out(late)
        for place, job in enumerate(gone, 1):
            self._put_off(job, AWAY * place / len(gone))
        self._leave_if_empty()

    def put_off_account(self, account_id: int, seconds: float) -> None:
        """What waits of one account shall come again later."""
        for job in self._waiting.take_out(lambda job: job.turn.account_id == account_id):
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
            self._hear_of_the_end(sent.outcomes, sender.host.name)
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
        if opening.said:  # by hosts before this one
            self._learn(opening.said, -self._complaint(opening.said))
        sender.owner = self
        sender.idle = self._limits.idle
        self._go_on(sender, self._now())

    def _not_opened(self, opening: Opening, failure: NoSession) -> None:
        del self._openings[opening]
        self._halve()
        if not self._stopped:
            self._room.learn(opening.said, -self._complaint(opening.said))
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
        goes = self._waiting and not worn and len(self._busy) < self._allowed and self._room.goes(self)
        if goes and (job := self._next(now)) is not None:
            self._give(sender, job, now)
        elif worn or self._room.crowded:
            sender.quit()
        else:
            self._idle.append(sender)

    def _worn(self, sender: Sender, now: float) -> bool:
        mails = sender.mails
        if mails >= self._limits.mails_per_session or mails >= sender.most_mails:
            return True
        return bool(mails and now - sender.opened > MOST_AGE) or self._room.over()

    def _next(self, now: float) -> Job | None:
        """The mail whose turn it is; those whose time is over by now go back."""
        while self._waiting:
            if now <= (job := self._waiting.pop()).until:
                return job
            self._put_off(job, AWAY)
        return None

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
        """A complaint counts for more than any success next to it; a server that takes few at a time has none."""
        refused = [one for one in outcomes if not one.delivered]
        if not refused:
            self._learn((), 1)
            return
        too_many = set(left_over(outcomes))
        complaint = self._complaint(_said([one for one in refused if one not in too_many], host))
        self._learn(_said(refused, host), -1 if complaint else int(len(refused) < len(outcomes)))

    def _hear_of_the_end(self, outcomes: Sequence[Outcome], host: str) -> None:
        """The server has ended a session when it was to take a mail: it may have said why."""
        if outcomes[0].reply is not CONNECTION_LOST:
            said = _said(outcomes[:1], host)
            self._learn(said, -too_much(said[0], self._surroundings.classify))

    def _complaint(self, said: Iterable[Said]) -> bool:
        return any(complains(one, self._surroundings.classify) for one in said)

    def _learn(self, said: Sequence[Said], step: int) -> None:
        if step > 0:
            self._allowed = min(self._allowed + 1, self._limits.most_sessions)
        elif step < 0:
            self._halve()
        self._room.learn(said, step)

    def _halve(self) -> None:
        self._allowed = max(1, self._allowed // 2)

    def _put_off(self, job: Job, seconds: float) -> None:
        if not self._openings:  # if it was to find out whether somebody is there, the next one does
            self._dead.remove(self.key)
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


def _said(refused: Sequence[Outcome], host: str) -> list[Said]:
    """Once, what was said of many; the first few of what differs, since each takes its time to understand."""
    different = dict.fromkeys((one.reply, one.stage) for one in refused)
    return [Said(reply, stage, host) for reply, stage in islice(different, MOST_SAID)]


def _was_over(outcomes: tuple[Outcome, ...]) -> bool:
    """The session ended without an answer to MAIL."""
    first = outcomes[0]
    return first.stage == "mail" and (first.reply is CONNECTION_LOST or first.reply.code == 421)
