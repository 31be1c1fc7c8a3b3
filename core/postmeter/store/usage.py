"""What became of an account's mail and which blocks it booked, month by month (UTC)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Label, case, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from postmeter.store.quota_tables import Block
from postmeter.store.tables import Counter

_DEMO = "demo"


@dataclass(frozen=True)
class Month:
    """A month from ``begin`` (seconds since the epoch): recipients, and the mails of paid blocks that began in it."""

    begin: float
    arrived: int
    delivered: int
    bounced: int
    booked: int


def months(session: Session, account_id: int, now: float, number: int) -> list[Month]:
    """The last months until now, the latest first, without those before the first in which anything happened."""
    begins = _begins(now, number)
    mail, blocks = _mail(session, account_id, begins), _blocks(session, account_id, begins)
    found = [Month(begin, *mail.get(n, [0, 0, 0]), *blocks.get(n, [0])) for n, begin in enumerate(begins)]
    used = [n for n, month in enumerate(found) if month.arrived or month.booked]
    return found[used[0] :][::-1] if used else []


def _mail(session: Session, account_id: int, begins: list[float]) -> dict[int, list[int]]:
    of, since = _month_of(Counter.bucket, begins), Counter.bucket >= int(begins[0])
    sums = (func.sum(one) for one in (Counter.arrived, Counter.delivered, Counter.bounced))
    rows = session.execute(select(of, *sums).where(Counter.account_id == account_id, since).group_by("month"))
    return {number: [int(one) for one in counted] for number, *counted in rows}


def _blocks(session: Session, account_id: int, begins: list[float]) -> dict[int, list[int]]:
    of, since = _month_of(Block.booked_at, begins), Block.booked_at >= begins[0]
    query = select(of, func.sum(Block.size)).where(Block.account_id == account_id, Block.kind != _DEMO, since)
    return {number: [int(size)] for number, size in session.execute(query.group_by("month"))}


def _month_of(at: InstrumentedAttribute[int] | InstrumentedAttribute[float], begins: list[float]) -> Label[int]:
    """The place in ``begins`` of the month that a moment is in."""
    return case(*((at < end, n) for n, end in enumerate(begins[1:])), else_=len(begins) - 1).label("month")


def _begins(now: float, number: int) -> list[float]:
    """When the last months began, the oldest first."""
    month = datetime.fromtimestamp(now, UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    begins = [month]
    while len(begins) < number:
        begins.append((begins[-1] - timedelta(days=1)).replace(day=1))
    return [begin.timestamp() for begin in reversed(begins)]
