"""One plugin that is told events: in runs, at least once, ordered per message, whatever it fails with."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy.orm import Session

from postmeter.breaker import FAILURES, doubled
from postmeter.containment import contained, said
from postmeter.event import Event, as_event
from postmeter.hookspecs import Job
from postmeter.jobs import Jobs
from postmeter.store import cursors, events, parked, replays
from postmeter.store.engine import Store
from postmeter.store.events import Fact, Position
from postmeter.store.parked import Waiting
from postmeter.store.replays import Wish

log = logging.getLogger(__name__)

BATCH = 200  # events of a run
RETRIED = 20  # of a run, events that were set aside
TRIES = 8  # then an event becomes a dead letter
BACK_OFF, LONGEST_BACK_OFF = 2.0, 300.0  # seconds after a failure, twice as long after each further one
FAR = 1000  # events that a plugin does not listen to, until its cursor is moved past them


@dataclass(frozen=True, slots=True)
class Functions:
    """What a plugin has: functions for kinds of events, each with its hook's name, and what else it implements."""

    tell: dict[str, tuple[str, Callable[[Event], object]]]
    choosing: bool = False  # is told only of the connections that it follows
    flush: Callable[[], object] | None = None
    jobs: Callable[[], Sequence[Job] | None] | None = None


@dataclass(frozen=True, slots=True)
class Doing:
    """What of a plugin's is being called, and since when."""

    what: str
    since: float


@dataclass(frozen=True, slots=True)
class Agenda:
    """What is to be told in a run: what had been ``waiting``, and the ``facts``, which are new or ``wish``ed for.

    ``lanes`` are those in which something waits, ``end`` is where the plugin stands after all facts (None: there may
    be more), ``single`` says that there is one fact at most, ``failing`` that the plugin has failed with everything.
    """

    stands: Position
    wish: Wish | None
    waiting: list[Waiting]
    facts: list[Fact]
    lanes: set[str]
    end: Position | None
    single: bool
    failing: bool


@dataclass(slots=True)
class Run:
    """What came of telling it: ``row`` failures in a row, the last one with ``error``."""

    row: int
    error: str = ""
    reached: Position | None = None
    taken: list[int] = field(default_factory=list)
    failed: list[tuple[Waiting, str]] = field(default_factory=list)
    behind: list[Waiting] = field(default_factory=list)


class Listener:
    """Tells one plugin what it has not been told yet, and does its jobs; everything here blocks, in its thread."""

    def __init__(self, name: str, functions: Functions, store: Store, clock: Callable[[], float]) -> None:
        self.name = name
        self.kinds = list(functions.tell)
        self.doing: Doing | None = None
        self._functions = functions
        self._follower = name if functions.choosing else None
        self._jobs = Jobs(functions.jobs, self._call)
        self._store = store
        self._clock = clock
        self._singly = 0  # so many events are told one at a time, to find the one that keeps ``flush`` from working

    def work(self, on_duty: Callable[[], bool]) -> None:
        """Do what is due and tell what there is; returns when nothing is left, or somebody else has the duty."""
        try:
            more = True
            while more and on_duty():
                self._jobs.do(self._clock)
                more = bool(self.kinds) and self._tell_some()
        except Exception as error:
            log.error("plugin %s could not be told its events now", self.name, exc_info=error)

    def _tell_some(self) -> bool:
        """Tell a run of events; whether there may be more to be told at once."""
        with self._store.read() as session:
            stands = cursors.position(session, self.name)
            if stands is None or stands.retry_at > self._clock():
                return False
            agenda = self._agenda(session, stands)
        if not (agenda.facts or agenda.waiting or agenda.wish):
            if agenda.end and agenda.end.event_id - stands.event_id >= FAR:
                self._commit(agenda, Run(0, reached=agenda.end))
            return False
        return self._commit(agenda, self._tell(agenda))

    def _agenda(self, session: Session, stands: Position) -> Agenda:
        failing, single = stands.failures >= FAILURES, self._singly > 0
        limit = 1 if single else FAILURES if failing else BATCH
        wish = replays.oldest(session, self.name)
        if wish:
            facts = replays.after(session, wish, limit, events.wanted(self.kinds, self._follower))
        else:
            facts = events.after(session, stands, limit, self.kinds, self._follower)
        end = None if len(facts) == limit else wish.end if wish else events.newest(session)
        waiting = parked.due(session, self.name, self._clock(), min(limit, RETRIED))
        if failing and facts:
            waiting = []  # while it fails with everything, no try of theirs is wasted
        elif single and waiting:
            facts, end = [], None
        lanes = parked.lanes(session, self.name, facts)
        return Agenda(stands, wish, waiting, facts, lanes, end, single or len(facts) == 1, failing)

    # Telling

    def _tell(self, agenda: Agenda) -> Run:
        run = Run(0 if agenda.failing else agenda.stands.failures)
        self._tell_waiting(agenda, run)
        self._tell_facts(agenda, run)
        if agenda.facts and run.taken and not agenda.single and (error := self._flush()):
            self._singly = len(agenda.facts)
            return Run(FAILURES, error)
        return run

    def _tell_waiting(self, agenda: Agenda, run: Run) -> None:
        for waiting in agenda.waiting:
            if run.row >= FAILURES:
                return
            if not self._tell_one(run, waiting, agenda, single=True) and agenda.failing:  # else it says nothing new
                run.row += 1

    def _tell_facts(self, agenda: Agenda, run: Run) -> None:
        for fact in agenda.facts:
            if run.row >= FAILURES:
                return
            run.reached = Position(fact.tx, fact.id)
            if fact.lane in agenda.lanes:
                run.behind.append(Waiting(fact, 0))
            elif not self._tell_one(run, Waiting(fact, 0), agenda, agenda.single):
                agenda.lanes.add(fact.lane)
                run.row += 1
        if run.row < FAILURES:
            run.reached = agenda.end or run.reached

    def _tell_one(self, run: Run, waiting: Waiting, agenda: Agenda, single: bool) -> bool:
        """Whether the plugin has taken the event; while it fails with everything, no event is to blame."""
        hook, function = self._functions.tell[waiting.fact.kind]
        event = as_event(waiting.fact)
        _, error = self._call(hook, lambda: function(event))
        if single and not error and (error := self._flush()):
            run.row = FAILURES
        if error:
            run.error = error
            run.failed.append((replace(waiting, failures=waiting.failures + (not agenda.failing)), error))
        else:
            run.row = 0
            run.taken.append(waiting.fact.id)
        return not error

    def _flush(self) -> str:
        return self._call("flush", self._functions.flush)[1] if self._functions.flush else ""

    def _call(self, what: str, function: Callable[[], Any]) -> tuple[Any, str]:
        """What it gives, and what it said when it failed (which is logged), else nothing."""
        self.doing = Doing(what, self._clock())
        try:
            return contained(function), ""
        except Exception as error:
            log.error("%s failed in plugin %s", what, self.name, exc_info=error)
            return None, said(error)
        finally:
            self.doing = None

    # What came of it

    def _commit(self, agenda: Agenda, run: Run) -> bool:
        """Write it down, all at once; whether the plugin may be told more now."""
        now, stands = self._clock(), agenda.stands
        failures = min(run.row, FAILURES)
        if agenda.failing and not run.taken:
            failures = stands.failures + bool(run.error)
        broken = failures >= FAILURES
        pause = doubled(BACK_OFF, failures - FAILURES, LONGEST_BACK_OFF) if broken and run.error else 0.0
        moved = run.reached if run.reached and not agenda.wish else stands
        then = replace(moved, failures=failures, retry_at=now + pause if pause else 0.0)
        with self._store.write() as session:
            if not cursors.advance(session, self.name, stands, then):
                return False
            self._write(session, agenda, run, now)
        if agenda.single:
            self._singly = max(0, self._singly - len(run.taken) - len(run.failed) - len(run.behind))
        self._say(run, agenda.failing, broken)
        return not pause and bool(agenda.wish or agenda.waiting or agenda.end is None)

    def _write(self, session: Session, agenda: Agenda, run: Run, now: float) -> None:
        if run.error:
            cursors.failed(session, self.name, run.error, now)
        if agenda.wish and run.reached:
            replays.move(session, agenda.wish, None if run.reached == agenda.wish.end else run.reached)
        if agenda.wish or agenda.waiting:  # else what was taken is new
            parked.release(session, self.name, run.taken)
            parked.forget_dead(session, self.name, run.taken)
        parked.park(session, self.name, run.behind)
        for waiting, error in run.failed:
            if waiting.failures >= TRIES:
                parked.bury(session, self.name, waiting.fact.id, error, now)
            else:
                retry_at = now + doubled(BACK_OFF, waiting.failures - 1, LONGEST_BACK_OFF)
                parked.postpone(session, self.name, waiting, retry_at)

    def _say(self, run: Run, was_broken: bool, broken: bool) -> None:
        for waiting, _ in run.failed:
            if waiting.failures >= TRIES:
                log.error("plugin %s could not take event %d in %d tries", self.name, waiting.fact.id, TRIES)
        if broken and not was_broken:
            log.error("plugin %s is told few events, after pauses: it fails: %s", self.name, run.error)
        elif was_broken and not broken:
            log.warning("plugin %s is told its events again", self.name)
