"""The operator's side of a worker: orders on the queue, what is not to be sent at present, reports on our addresses."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from sqlalchemy.orm import Session
from twisted.internet.defer import Deferred

from postmeter.committing import Submit, commit
from postmeter.delivery.reply_rule import Rule
from postmeter.delivery.warm_up import limits
from postmeter.smtp.reply import Reply
from postmeter.store import heard, orders, pauses, providers, sources
from postmeter.store.connections import MAX_REASON
from postmeter.store.heard import Heard
from postmeter.store.pauses import Stopped
from postmeter.store.providers import BY_RULE, Suspension, stricter
from postmeter.store.settle import Settlement
from postmeter.store.sources import DAY, Figures, Key
from postmeter.store.tables import DEFERRED, DELIVERED

log = logging.getLogger(__name__)

REPORT_EVERY = 30.0  # seconds between two reports on our addresses: as much a killed worker takes with it

LEARNED = 2.0  # seconds until every worker knows what may be sent again: before, it puts off what an order makes due
SAME = 60.0  # seconds in which a reply rule fires once, however many sessions hear the same

Read = Callable[[Callable[[Session], Any]], Deferred[Any]]
Reported = Callable[[Mapping[Key, Figures]], None]


class Suspensions:
    """The providers that are sent nothing or little at present."""

    def __init__(self, known: Iterable[Suspension] = ()) -> None:
        self._uncommitted: dict[str, Suspension] = {}  # by reply rules
        self._committed: dict[str, Suspension] = {}  # since the last look into the store began, which may miss them
        self.learn(known)

    def look(self) -> None:
        """The store is looked into from now on."""
        self._committed.clear()

    def learn(self, known: Iterable[Suspension]) -> None:
        """From now on it is these, which the look has found."""
        self._known = {one.provider: one for one in known} | self._committed | self._uncommitted

    def changed_by(self, one: Suspension) -> Suspension | None:
        """What would hold if a reply rule fired; None: what holds already, or the same rule has just fired."""
        held = self.restriction(one.provider, one.since)
        made = one if held is None else stricter(held, one)
        if made == held or (held is not None and held.rule == one.rule and one.since < held.since + SAME):
            return None
        return made

    def begin(self, made: Suspension) -> None:
        """A reply rule has fired: it holds here at once."""
        self._known[made.provider] = self._uncommitted[made.provider] = made

    def fired(self, made: Suspension) -> None:
        """A reply rule has fired in the store; what is being committed meanwhile will have both words."""
        self._committed[made.provider] = made
        if made.provider not in self._uncommitted:
            self._known[made.provider] = made

    def committed(self, provider: str, now_known: Suspension | None) -> None:
        """The store has it now (None: not), and maybe somebody else's word."""
        self._uncommitted.pop(provider, None)
        if now_known is not None:
            self._known[provider] = self._committed[provider] = now_known

    def restriction(self, provider: str, now: float) -> Suspension | None:
        """What is in force about the provider."""
        found = self._known.get(provider)
        return found if found is not None and now < found.end() else None

    def of(self, provider: str, now: float) -> Suspension | None:
        """The same, if nothing at all is to be sent."""
        found = self.restriction(provider, now)
        return found if found is not None and found.stops else None


class Desk:
    """Of one worker; ``read`` runs a function in a thread, ``submit`` hands a change to the writer.

    What left is reported ``every`` so many seconds; ``reported`` is told what is in the store by that. ``carry_out`` is
    the change that follows orders on the queue. ``stopped`` are the connections of which nothing is sent.
    """

    def __init__(
        self,
        read: Read,
        submit: Submit,
        clock: Callable[[], float],
        known: Iterable[Suspension],
        every: float = REPORT_EVERY,
        reported: Reported | None = None,
        carry_out: orders.CarryingOut = orders.carry_out,
        stopped: Iterable[Stopped] = (),
    ) -> None:
        self._carrying_out = carry_out
        self.stopped = {one.connection_id: one for one in stopped}
        self.stop: Callable[[set[int]], None] = lambda _: None  # told the accounts of those that are new among them
        self.suspensions = Suspensions(known)
        self._read = read
        self._submit = submit
        self._clock = clock
        self._counted: dict[Key, Figures] = {}
        self._reported = clock()
        self._every = every
        self._told_of = reported

    def note(self, settlement: Settlement) -> None:
        """An attempt has ended."""
        facts = settlement.facts
        if address := facts.get("local_address", ""):
            key = Key(address, int(settlement.at) // DAY * DAY, facts.get("provider", ""))
            figures = self._counted.setdefault(key, Figures())
            figures.attempts += 1
            figures.delivered += settlement.state == DELIVERED
            figures.deferred += settlement.state == DEFERRED
            figures.refused += settlement.state not in (DELIVERED, DEFERRED)
            figures.encrypted += bool(facts.get("tls"))
            figures.limited += settlement.state == DEFERRED and limits(settlement.reply)
            figures.last_at = settlement.at

    def apply(self, provider: str, rule: Rule, reply: Reply) -> None:
        """A reply rule is about this: its provider is slowed down or suspended, here at once, elsewhere soon.

        If it takes several replies, they are counted in the store, since each worker hears only some of them.
        """
        now = self._clock()
        reason = " ".join(str(reply).split())[:MAX_REASON]
        until = now + rule.seconds
        one = Suspension(provider, reason, now, until, BY_RULE, rule.connections, rule.per_minute, rule.name)
        if (made := self.suspensions.changed_by(one)) is None:
            return
        if rule.times > 1:
            self._submit(heard.hear, Heard(one, rule.times), partial(self._counted_in_store, rule, one))
            return
        self.suspensions.begin(made)
        _tell(rule, one)
        self._submit(providers.restrict, one, partial(self._applied, provider))

    def _counted_in_store(self, rule: Rule, one: Suspension, fired: Suspension | Exception | None) -> None:
        if isinstance(fired, Exception):
            log.error("what %s has said could not be counted", one.provider, exc_info=fired)
        elif fired is not None:
            self.suspensions.fired(fired)
            _tell(rule, one)

    def _applied(self, provider: str, result: Suspension | Exception) -> None:
        if isinstance(result, Exception):
            log.error("what a reply rule says about %s could not be noted", provider, exc_info=result)
            self.suspensions.committed(provider, None)
        else:
            self.suspensions.committed(provider, result)

    def restriction(self, names: tuple[str, ...]) -> Suspension | None:
        """What is in force about the first of these that has something."""
        now = self._clock()
        return next((found for name in names if (found := self.suspensions.restriction(name, now))), None)

    def report(self) -> None:
        """Hand over what was counted since the last time; it is counted again if it cannot be committed."""
        counted, self._counted = self._counted, {}
        self._reported = self._clock()
        if counted:
            self._submit(sources.add, counted, partial(self._told, counted))

    def _told(self, counted: Mapping[Key, Figures], result: Exception | None) -> None:
        if isinstance(result, Exception):
            for key, figures in counted.items():
                self._counted[key] = self._counted.get(key, Figures()) + figures
        elif self._told_of is not None:
            self._told_of(counted)

    async def follow(self) -> None:
        """What is done every second: until no order is open, or another worker is at it."""
        going_on = True
        while going_on:  # a long order must not keep us from the rest
            now = self._clock()
            if now - self._reported >= self._every:
                self.report()
            self.suspensions.look()
            self.suspensions.learn(await self._read(partial(providers.suspensions, now=now)))
            self._learn_stopped(await self._read(pauses.stopped))
            batch = await self._read(partial(orders.next_batch, now=now, before=now - LEARNED))
            going_on = batch is not None and await self._carry_out(batch, now)

    def _learn_stopped(self, found: Iterable[Stopped]) -> None:
        known, self.stopped = self.stopped, {one.connection_id: one for one in found}
        if new := {one.account_id for one in self.stopped.values() if one.connection_id not in known}:
            self.stop(new)

    async def _carry_out(self, batch: orders.Batch, now: float) -> bool:
        try:
            return bool(await commit(self._submit, self._carrying_out, (batch, now)))
        except Exception as error:
            log.error("an order on the queue could not be carried out", exc_info=error)
            return False


def _tell(rule: Rule, one: Suspension) -> None:
    level = logging.ERROR if rule.alarm else logging.WARNING
    what = "suspended" if one.stops else "slowed down"
    log.log(level, "%s is %s for %d s by rule %r: %s", one.provider, what, rule.seconds, rule.name, one.reason)
