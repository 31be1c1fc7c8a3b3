"""Who is next: what is due is leased in turn, urgent before bulk, each account alike, and within one each provider."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol, Self

from sqlalchemy import Integer, bindparam, select, text, tuple_
from sqlalchemy.orm import Session

from postmeter.store import queue
from postmeter.store.queue import Leased
from postmeter.store.statement import Statement
from postmeter.store.tables import WAITING, Recipient

PRIORITIES = range(3)  # urgent, normal, bulk
BELOW = 8  # of so many that are leased, one is kept for lower priorities
STEPS = 300  # lanes at most that one pick looks at
SERVED = 16  # and that it takes from
UNNAMED = ("", "other")  # providers that are many


class Load(NamedTuple):
    """What a message takes up in the memory of a worker: recipients of an account at one receiver, and octets.

    The receiver is the provider of the first recipient or, where that is nobody's name, the domain.
    """

    account_id: int
    receiver: str
    recipients: int
    octets: int

    @classmethod
    def of(cls, leased: Leased) -> Self:
        """That of some leased recipients."""
        message, first = leased.message, leased.recipients[0]
        receiver = first.path.domain if first.provider in UNNAMED else first.provider
        return cls(message.account_id, receiver, len(leased.recipients), message.size)


class Room(Protocol):
    """How much a worker may take."""

    def fits(self, load: Load) -> bool:
        """Whether there is room for this as well."""

    def enter(self, load: Load) -> None:
        """It is taken."""


@dataclass(frozen=True, slots=True)
class Wish:
    """A worker's wish for recipients that are due at ``now``, at most ``limit``, and what there is ``room`` for."""

    worker: int
    now: float
    limit: int
    room: Room


@dataclass(frozen=True, slots=True)
class Pick:
    """What was leased. ``left``: more is due; ``more``: so much that another pick at once is worth its commit."""

    leases: tuple[Leased, ...]
    left: bool
    more: bool


class Lane(NamedTuple):
    """Recipients of one priority, account and provider wait in a lane of their own, the longest due in front.

    ``provider`` None: behind all of the account.
    """

    account_id: int
    provider: str | None


_START = Lane(-1, None)
_BACKLOG = Statement(
    select(Recipient.n)
    .where(text(WAITING), Recipient.next_attempt_at <= bindparam("now"))
    .order_by(Recipient.next_attempt_at)
    .limit(1)
    .offset(bindparam("limit", type_=Integer()))
)
_PLACE = (Recipient.priority, Recipient.account_id, Recipient.provider, Recipient.next_attempt_at)
_WHOSE: tuple[Any, ...] = (bindparam("priority"), bindparam("account"), bindparam("provider"))
_LANE = queue.first_of(  # so said that no other index will do, whatever PostgreSQL knows or does not know of the table
    [tuple_(*_PLACE) > tuple_(*_WHOSE, 0.0), tuple_(*_PLACE) <= tuple_(*_WHOSE, bindparam("now"))], _PLACE
)
_QUEUE = f"FROM recipient r WHERE {WAITING} AND r.priority = :priority AND r.account_id"
_NEXT = f"{_QUEUE} > lane.account_id ORDER BY r.account_id, r.provider LIMIT 1"
_LANES = Statement(  # from lane to lane along ix_recipient_turn, whatever the number of those who wait in them
    text(
        f"""
        WITH RECURSIVE lane(account_id, provider, step) AS (
            SELECT CAST(:account AS BIGINT), CAST(:provider AS TEXT), 0
            UNION ALL
            SELECT
                CASE WHEN provider IS NULL THEN (SELECT r.account_id {_NEXT}) ELSE account_id END,
                CASE
                    WHEN provider IS NULL THEN (SELECT r.provider {_NEXT})
                    ELSE (SELECT min(r.provider) {_QUEUE} = lane.account_id AND r.provider > lane.provider)
                END,
                step + 1
            FROM lane WHERE account_id IS NOT NULL AND step < :steps
        )
        SELECT
            account_id,
            provider,
            (SELECT min(r.next_attempt_at) {_QUEUE} = lane.account_id AND r.provider = lane.provider) <= :now
        FROM lane WHERE step > 0 ORDER BY step
        """  # noqa: S608 - own
    )
)


class Picking:
    """The change that leases due recipients to workers; of those of one process, since it knows whose turn it is."""

    def __init__(self) -> None:
        self._reached: dict[tuple[int, int], Lane] = {}  # by worker and priority: the last lane that had its turn
        self._seen: dict[int, set[int]] = {}  # by worker: priorities of which all lanes were looked at

    def __call__(self, session: Session, wishes: Sequence[Wish]) -> list[Pick]:
        """Take for each wish what is due: all of it or, when that is more than the limit, from each lane in turn."""
        return [self._pick(session, wish) for wish in wishes]

    def confirm(self, session: Session, wishes: Sequence[Wish]) -> list[Pick | None]:
        """After a commit whose answer was lost: what was taken for each wish; None: nothing."""
        found = [queue.picked(session, wish.worker, wish.now) for wish in wishes]
        return [
            Pick(queue.marked(session, leases, wish.now), left=True, more=True) if leases else None
            for leases, wish in zip(found, wishes, strict=True)
        ]

    def _pick(self, session: Session, wish: Wish) -> Pick:
        if _BACKLOG.fetch(session, {"now": wish.now, "limit": wish.limit}):
            pick = self._in_turn(session, wish)
        else:
            due = queue.due(session, wish.now, wish.limit)
            leases = tuple(_fitting(due, wish.room))
            pick = Pick(leases, left=len(leases) < len(due), more=False)
        queue.take(session, wish.worker, wish.now, pick.leases)
        return replace(pick, leases=queue.marked(session, pick.leases, wish.now))

    def _in_turn(self, session: Session, wish: Wish) -> Pick:
        leases: list[Leased] = []
        seen = self._seen.setdefault(wish.worker, set())
        for priority in PRIORITIES:
            left = max(0, wish.limit - _recipients(leases))
            most = left if priority == PRIORITIES[-1] else left - left // BELOW
            lanes = self._lanes(session, wish, priority)
            leases += _served(session, wish, priority, lanes, most)
            if self._reached[wish.worker, priority] == _START:
                seen.add(priority)
        going_on = len(seen) < len(PRIORITIES)
        if not going_on:
            seen.clear()
        return Pick(tuple(leases), left=True, more=going_on or 2 * _recipients(leases) >= wish.limit)

    def _lanes(self, session: Session, wish: Wish, priority: int) -> list[Lane]:
        """The next lanes with somebody who is due and may be taken; where they end the turn begins anew."""
        begin = self._reached.get((wish.worker, priority), _START)
        place = {"account": begin.account_id, "provider": begin.provider}
        rows = _LANES.fetch(session, {**place, "priority": priority, "now": wish.now, "steps": STEPS})
        account, provider, _ = rows[-1]
        lanes = [Lane(account, provider) for account, provider, due in rows if due]
        lanes = [lane for lane in lanes if wish.room.fits(Load(lane.account_id, lane.provider or "", 1, 0))]
        reached = _START if account is None else Lane(account, provider)
        self._reached[wish.worker, priority] = lanes[SERVED - 1] if len(lanes) > SERVED else reached
        return lanes[:SERVED]


def _served(session: Session, wish: Wish, priority: int, lanes: list[Lane], most: int) -> list[Leased]:
    """About as many as ``most`` from the lanes: of each account the same, of each of its lanes, and at least one."""
    of_account = Tally(lane.account_id for lane in lanes)
    leases: list[Leased] = []
    for account, provider in lanes:
        share = max(1, most // (len(of_account) * of_account[account]))
        whose = {"priority": priority, "account": account, "provider": provider}
        leases += _fitting(queue.grouped(_LANE.fetch(session, {**whose, "now": wish.now, "limit": share})), wish.room)
    return leases


def _fitting(leases: Iterable[Leased], room: Room) -> list[Leased]:
    taken = []
    for leased in leases:
        load = Load.of(leased)
        if room.fits(load):
            room.enter(load)
            taken.append(leased)
    return taken


def _recipients(leases: Iterable[Leased]) -> int:
    return sum(len(leased.recipients) for leased in leases)
