"""Verbs on all that a filter matches: counted first, then carried out some recipients at a time, by whoever comes by.

What to do next is looked for in a read transaction, so that nobody who writes waits for a search through the queue.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

from sqlalchemy import ColumnElement, func, or_, select, tuple_, update
from sqlalchemy.orm import Session

from postmeter.errors import UsageError
from postmeter.store.base import table
from postmeter.store.notifications import Notifier
from postmeter.store.operator_tables import QueueOrder
from postmeter.store.queue_filter import PARTS, Filter
from postmeter.store.tables import LEASED, Message, Recipient
from postmeter.store.timeline import WaitingRecipient, waiting_recipient
from postmeter.store.verbs import VERBS, Key, Verb, act

BATCH = 250  # recipients in one transaction: whoever waits for it waits a moment
FAR = 60.0  # seconds by which no two machines' clocks differ

Place = tuple[float, str, int]  # in the queue: when it is due, message, number
_BEFORE_ALL: Place = (-1.0, "", -1)
_place = (Recipient.next_attempt_at, Recipient.message_id, Recipient.n)
_BEHIND = (Message.id == Recipient.message_id) & (Message.account_id == Recipient.account_id)


@dataclass(frozen=True)
class Matching:
    """What a verb would concern: ``count`` recipients of messages up to ``upto``, the ``first`` of them.

    ``left_out`` are those that match, but are in the hands of a worker. ``unknown`` may match or not: the filter names
    a provider, and nobody knows theirs before the first attempt.
    """

    count: int
    left_out: int
    upto: str
    first: tuple[WaitingRecipient, ...]
    unknown: int


@dataclass(frozen=True)
class OrderFacts:
    """A verb on its way through the queue; ``finished_at`` None: it is not through. Times since the epoch.

    ``object`` is what the verb was given besides: the reason of a bounce, where to reroute to.
    """

    id: int
    verb: str
    object: str
    filter: str
    matched: int
    done: int
    left_out: int
    placed_at: float
    placed_by: str
    finished_at: float | None

    @property
    def changed(self) -> int:
        """Of those that were counted: how many had changed before it was their turn."""
        return max(0, self.matched - self.done) if self.finished_at is not None else 0


@dataclass(frozen=True)
class Batch:
    """The next recipients of an order, found behind the place ``begin``; the last of all when ``end`` is None."""

    order: int
    keys: tuple[Key, ...]
    begin: Place
    end: Place | None
    left_out: int


def matching(session: Session, verb: str, chosen: Filter, now: float, limit: int = 20, object: str = "") -> Matching:
    """Count what a verb would concern at present, and show the first ones; ``object`` empty: it is not known yet."""
    chosen.check(session)
    upto = session.scalar(select(func.max(Message.id))) or ""
    rest = _rest(chosen, upto)
    parts = _verb(verb).parts(now, object)
    total = sum(_count(session, [*part, *rest]) for part in parts)
    query = select(Recipient, Message.accepted_at).join(Message, _BEHIND)
    found = [row for part in parts for row in session.execute(query.where(*part, *rest).order_by(*_place).limit(limit))]
    first = tuple(waiting_recipient(row, accepted_at) for row, accepted_at in found[:limit])
    unknown = 0
    if chosen.has("provider"):
        others = [Recipient.provider == "", *_rest(chosen.without("provider"), upto)]
        unknown = sum(_count(session, [*part, *others]) for part in parts)
    return Matching(total, _count(session, [PARTS[LEASED,], *rest]), upto, first, unknown)


def place(
    session: Session, verb: str, chosen: Filter, matched: int, upto: str, now: float, by: str, object: str = ""
) -> int:
    """Order what was counted to be done; the order's number. Workers do it, or ``next_batch`` and ``carry_out``.

    UsageError when the verb needs an object that this is not.
    """
    object = clean_object(verb, object)
    chosen.check(session)
    due, message, n = _BEFORE_ALL
    order = QueueOrder(
        verb=verb,
        object=object,
        filter=str(chosen),
        upto=upto,
        matched=matched,
        placed_at=now,
        placed_by=by,
        last_due=due,
        last_message=message,
        last_n=n,
    )
    session.add(order)
    session.flush()
    return order.id


def clean_object(verb: str, text: str) -> str:
    """What a verb is given besides, as it is kept; UsageError when it cannot be that."""
    wanted = _verb(verb)
    return wanted.clean(text) if wanted.object else ""


def orders(session: Session, limit: int = 10) -> list[OrderFacts]:
    """The latest orders, newest first."""
    return [_facts(row) for row in session.scalars(select(QueueOrder).order_by(QueueOrder.id.desc()).limit(limit))]


def order_facts(session: Session, number: int) -> OrderFacts:
    """How far an order is; UsageError when there is none of that number."""
    row = session.get(QueueOrder, number)
    if row is None:
        raise UsageError(f"there is no order {number}")
    return _facts(row)


def next_batch(session: Session, now: float, order: int | None = None, before: float = inf) -> Batch | None:
    """What is to be done next for an order (None: for the oldest one placed ``before``); None when it is through.

    Only reads. An order that seems to be placed far from now does not wait for that time: a clock was set back.
    """
    ripe = or_(QueueOrder.placed_at <= before, QueueOrder.placed_at > now + FAR)
    open_ = (QueueOrder.finished_at.is_(None), ripe)
    query = select(QueueOrder).where(*open_).order_by(QueueOrder.id).limit(1)
    row = session.scalar(query if order is None else query.where(QueueOrder.id == order))
    return None if row is None else _search(session, row, now)


class CarryingOut:
    """The change that does what ``next_batch`` has found; the ``notifier`` writes to the senders of what is bounced."""

    def __init__(self, notifier: Notifier | None = None) -> None:
        self._notifier = notifier

    def __call__(self, session: Session, batches: Sequence[tuple[Batch, float]]) -> list[bool]:
        """Do it, at the time of each; False: somebody else has done it already."""
        return [_carry_out(session, batch, now, self._notifier) for batch, now in batches]


carry_out = CarryingOut()  # and write to nobody


def _search(session: Session, order: QueueOrder, now: float) -> Batch:
    begin: Place = (order.last_due, order.last_message, order.last_n)
    rest = _rest(Filter.parse(order.filter), order.upto)
    behind = [Recipient.next_attempt_at >= begin[0], tuple_(*_place) > tuple_(*begin)]
    query = select(*_place, Recipient.account_id).order_by(*_place).limit(BATCH)
    parts = VERBS[order.verb].parts(now, order.object)
    rows = [row for part in parts for row in session.execute(query.where(*part, *rest, *behind))]
    found = sorted(rows, key=lambda row: (row.next_attempt_at, row.message_id, row.n))[:BATCH]
    keys = tuple(Key(row.message_id, row.account_id, row.n) for row in found)
    if len(found) == BATCH:
        last = found[-1]
        return Batch(order.id, keys, begin, (last.next_attempt_at, last.message_id, last.n), 0)
    return Batch(order.id, keys, begin, None, _count(session, [PARTS[LEASED,], *rest]))


def _carry_out(session: Session, batch: Batch, now: float, notifier: Notifier | None) -> bool:
    due, message, n = batch.begin
    here = (QueueOrder.last_due == due, QueueOrder.last_message == message, QueueOrder.last_n == n)
    query = select(QueueOrder).where(QueueOrder.id == batch.order, QueueOrder.finished_at.is_(None), *here)
    order = session.scalar(query.with_for_update().execution_options(populate_existing=True))
    if order is None:
        return False
    rest = Filter.parse(order.filter).clauses()
    facts = (now, order.placed_by, rest, order.object, notifier)
    done = act(session, order.verb, batch.keys, *facts) if batch.keys else 0
    due, message, n = batch.end or batch.begin
    session.connection().execute(
        update(table(QueueOrder))
        .where(QueueOrder.id == batch.order)
        .values(
            done=QueueOrder.done + done,
            left_out=batch.left_out,
            last_due=due,
            last_message=message,
            last_n=n,
            finished_at=None if batch.end else now,
        )
    )
    return True


def _verb(name: str) -> Verb:
    if name not in VERBS:
        raise UsageError(f"there is no verb {name!r}; there are: {', '.join(VERBS)}")
    return VERBS[name]


def _rest(chosen: Filter, upto: str) -> list[ColumnElement[bool]]:
    return [*chosen.clauses(), Recipient.message_id <= upto]


def _count(session: Session, conditions: Sequence[ColumnElement[bool]]) -> int:
    return session.scalar(select(func.count()).select_from(Recipient).where(*conditions)) or 0


def _facts(row: QueueOrder) -> OrderFacts:
    return OrderFacts(
        row.id,
        row.verb,
        row.object,
        row.filter,
        row.matched,
        row.done,
        row.left_out,
        row.placed_at,
        row.placed_by,
        row.finished_at,
    )
