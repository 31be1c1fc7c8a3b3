"""Writes what waits: a thread for each shop, so that a slow one delays no other, and one note after the other."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.orm import Session

from postmeter import Core, fetch
from postmeter_stores import queue
from postmeter_stores.api import STRANGE, Order, Shop
from postmeter_stores.kinds import KINDS
from postmeter_stores.note import printable
from postmeter_stores.queue import Waiting
from postmeter_stores.reference import NUMBER, order_of
from postmeter_stores.settings import Settings
from postmeter_stores.tables import MISSING, REJECTED, WRITTEN, ShopRow
from postmeter_stores.texts import paused_texts
from postmeter_stores.web import Client, Fetch, Later, Missing, Rejected, ShopError, Unusable

log = logging.getLogger(__name__)

PATIENCE = 1.0  # seconds that the job waits for its threads; who takes longer goes on alone
LEASE = 10  # times the time limit of a request: no note takes more than eight of them
AGAIN = (60.0, 600.0, 3_600.0)  # seconds until an order is looked for again; it may be younger than its mail
FIRST_PAUSE, LONGEST_PAUSE = 30.0, 86_400.0  # seconds, doubled with each failure in a row
REFUSALS = 3  # log-ins that are refused until the shop may be paused
TIDY = 600.0  # seconds
MAX_SAID = 500  # characters
HOUR, DAY = 3_600.0, 86_400.0
WELL: dict[str, Any] = {
    "failures": 0,
    "refused_since": None,
    "retry_at": 0.0,
    "said": "",
}  # a shop that answers as it should


@dataclass(frozen=True)
class Outcome:
    """What an attempt has come to: ``error`` None: the note is in the order ``number``."""

    waiting: Waiting
    number: str
    error: ShopError | None


@dataclass(eq=False)
class Desk:
    """A shop that is opened, with what it was opened by; it keeps its token."""

    opened_by: tuple[str, str, bytes]
    shop: Shop


@dataclass
class Writer:
    """Drains the queue; ``fetch`` may be replaced in tests."""

    core: Core
    own: Settings
    fetch: Fetch = fetch
    _desks: dict[int, Desk] = field(default_factory=dict)
    _threads: dict[int, threading.Thread] = field(default_factory=dict)
    _tidy_at: float = 0.0

    def run(self, now: float) -> None:
        """Write what is due; shops that take long are left to their threads."""
        self._tidy(now)
        self._threads = {key: thread for key, thread in self._threads.items() if thread.is_alive()}
        with self.core.read() as session:
            ready = queue.ready(session, now, self.own.threads)
        for key in [key for key in ready if key not in self._threads][: self.own.threads - len(self._threads)]:
            self._threads[key] = threading.Thread(target=self._work, args=(key,), name=f"shop {key}", daemon=True)
            self._threads[key].start()
        self.join(PATIENCE)

    def join(self, seconds: float) -> None:
        """Wait for the threads, but not longer than that."""
        end = time.monotonic() + seconds
        for thread in self._threads.values():
            thread.join(max(0.0, end - time.monotonic()))

    def _tidy(self, now: float) -> None:
        if now < self._tidy_at:
            return
        created, ended = now - self.own.give_up_days * DAY, now - self.own.keep_days * DAY
        with self.core.read() as session:
            if not queue.anything_old(session, created, ended):
                self._tidy_at = now + TIDY
                return
        with self.core.write() as session:
            queue.give_up(session, now, created)
            queue.forget(session, ended)

    # In the thread of a shop

    def _work(self, connection_id: int) -> None:
        try:
            while self._write_some(connection_id):
                pass
        except Exception as error:
            log.error("the shop of connection %d could not be written to now", connection_id, exc_info=error)

    def _write_some(self, connection_id: int) -> bool:
        """Write the next notes, each with a commit of its own; whether there may be more to be written at once."""
        now = self.core.clock()
        with self.core.write() as session:
            row = queue.take(session, connection_id, now, now + LEASE * self.own.timeout)
            waiting = queue.due(session, connection_id, now) if row else []
        if row is None:
            return False
        shop = self._shop(row)
        for one in waiting:
            outcome = attempt(shop, one)
            troubled = isinstance(outcome.error, (Unusable, Later))
            self._record(row, outcome, troubled or one is waiting[-1])
            if troubled:
                return False
            row.failures, row.refused_since = 0, None
        if not waiting:
            self._release(connection_id)
        return len(waiting) == queue.BATCH

    def _shop(self, row: ShopRow) -> Shop:
        """The opened shop; a new one when it was connected anew."""
        opened_by = (row.kind, row.url, row.credentials)
        desk = self._desks.get(row.connection_id)
        if desk is None or desk.opened_by != opened_by:
            desk = self._desks[row.connection_id] = Desk(opened_by, open_shop(self.core, self.own, row, self.fetch))
        return desk.shop

    def _record(self, row: ShopRow, outcome: Outcome, last: bool) -> None:
        """Commit what an attempt has come to, for the note and for its shop; after the last one the shop is free."""
        now = self.core.clock()
        leased_until = 0.0 if last else now + LEASE * self.own.timeout
        with self.core.write() as session:
            queue.change_note(session, outcome.waiting.id, **_note_values(outcome, now))
            values: dict[str, Any] = {"leased_until": leased_until}
            if queue.is_same(session, row):  # else the shop was connected anew: this says nothing about it
                values |= self._shop_values(session, row, outcome.error, now)
            queue.change_shop(session, row.connection_id, **values)

    def _shop_values(self, session: Session, row: ShopRow, error: ShopError | None, now: float) -> dict[str, Any]:
        """How the shop is asked from now on; when it has refused the log-in for long, not any more."""
        if not isinstance(error, (Unusable, Later)):
            return WELL
        failures = row.failures + 1
        since = (row.refused_since or now) if isinstance(error, Unusable) else None
        values = {"failures": failures, "refused_since": since, "retry_at": now + _pause(failures, error)}
        if since is not None and failures >= REFUSALS and now - since >= self.own.pause_hours * HOUR:
            self._tell(session, row, _said(error))
            return {**values, "said": _said(error), "paused": _said(error)}
        return {**values, "said": _said(error)}

    def _tell(self, session: Session, row: ShopRow, reason: str) -> None:
        names = [one.name for one in self.core.connections(session, row.account_id) if one.id == row.connection_id]
        log.warning("the shop of connection %d is paused: %s", row.connection_id, reason)
        texts = paused_texts(names[0] if names else str(row.connection_id), KINDS[row.kind].title, row.url, reason)
        self.core.notice(session, row.account_id, texts)

    def _release(self, connection_id: int) -> None:
        with self.core.write() as session:
            queue.change_shop(session, connection_id, leased_until=0.0)


def open_shop(core: Core, own: Settings, row: ShopRow, fetch: Callable[..., Any] = fetch) -> Shop:
    """The shop of a connection, ready to be asked; PostmeterError when its credentials cannot be unsealed."""
    client = Client(fetch, row.url, own, core.clock)
    return KINDS[row.kind].open(client, json.loads(core.unseal(row.credentials)))


def attempt(shop: Shop, waiting: Waiting) -> Outcome:
    """Look the order up, and write the note into it."""
    number = waiting.number
    try:
        order = _order(shop, waiting)
        number = order.number if NUMBER.fullmatch(order.number) else ""
        shop.write(order, waiting.note)
    except ShopError as error:
        return Outcome(waiting, number, error)
    except STRANGE as error:
        log.warning("a shop's answer is not understood: %r", error)
        return Outcome(waiting, number, Later(f"the shop's answer is not understood: {error!r}"))
    return Outcome(waiting, number, None)


def _order(shop: Shop, waiting: Waiting) -> Order:
    """The order that the message names; else the newest of the recipient, the same in every attempt."""
    number = order_of(waiting.reference) or waiting.number
    order = shop.find(number) if number else shop.newest(waiting.note.recipient)
    if order is None:
        raise Missing(f"there is no order {number}" if number else "there is no order of this recipient")
    return order


def _note_values(outcome: Outcome, now: float) -> dict[str, Any]:
    """How the note goes on; whatever the trouble is, the others come first next time."""
    error, attempts = outcome.error, outcome.waiting.attempts + 1
    values: dict[str, Any] = {"number": outcome.number, "said": _said(error), "attempts": attempts}
    if error is None:
        return {**values, "state": WRITTEN, "ended_at": now}
    if isinstance(error, (Unusable, Later)):
        return {**values, "next_at": now + _pause(attempts, error)}
    if attempts > len(AGAIN):
        return {**values, "state": REJECTED if isinstance(error, Rejected) else MISSING, "ended_at": now}
    return {**values, "next_at": now + AGAIN[attempts - 1]}


def _said(error: ShopError | None) -> str:
    """What is kept of an error; parts of it are a shop's words."""
    return printable(str(error or ""), MAX_SAID)


def _pause(failures: int, error: ShopError) -> float:
    """Seconds until the next try: twice as long each time, and not less than the shop has asked for."""
    asked = error.wait if isinstance(error, Later) else 0.0
    return max(asked, min(FIRST_PAUSE * 2.0 ** min(failures - 1, 20), LONGEST_PAUSE))
