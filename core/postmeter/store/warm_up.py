"""How warm our addresses are at each receiving provider: how much a day they may be sent from there by now."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from ipaddress import ip_address

from sqlalchemy import and_, case, delete, func, select
from sqlalchemy.orm import Session

from postmeter.errors import UsageError
from postmeter.store.base import table
from postmeter.store.operator_tables import SourceDay, SourceWarm
from postmeter.store.sources import DAY, day_of

FIRST, DOUBLING = 50, 8  # mails of the first day, and days until growth gets slower
WARM = 30  # days of use
REMEMBERED = 90 * DAY  # what an address did before that, providers have forgotten


@dataclass(frozen=True, slots=True)
class Level:
    """An address at a provider: its earlier ``days`` of use that went well, and its attempts ``today``.

    ``paused``: the last day of use did not go well. ``declared``: an operator says that it is warm.
    """

    days: int = 0
    today: int = 0
    paused: bool = False
    declared: bool = False

    @property
    def warm(self) -> bool:
        """Whether it is known so well that there is no cap."""
        return self.declared or self.days >= WARM

    @property
    def cap(self) -> int | None:
        """Attempts at the provider today; None: any number."""
        return None if self.warm else ramp(self.days + 1)


@dataclass(frozen=True)
class Warmth:
    """The levels of some addresses on a ``day`` (its first second), by address and provider."""

    day: int
    levels: Mapping[tuple[str, str], Level]
    declared: frozenset[str]

    def of(self, address: str, provider: str) -> Level:
        """The level of an address at a provider, which may not know it yet."""
        return self.levels.get((address, provider)) or Level(declared=address in self.declared)

    def at(self, address: str) -> dict[str, Level]:
        """The levels of an address at those providers that it was used for, by their names."""
        return {to: self.levels[where, to] for where, to in sorted(self.levels) if where == address}


def ramp(day: int) -> int:
    """Attempts at one provider on the ``day``-th day: 50, twice as many each day, from 6,400 half more.

    There is no standard; published schedules of senders are slower and faster.
    """
    doubled = min(day, DOUBLING)
    return int(FIRST * 2 ** (doubled - 1) * 1.5 ** (day - doubled))


_DAY = table(SourceDay).c
# More than 1 % refused for good, or more than 2 % held up: such a day is no step of the ramp.
_WELL = and_(_DAY.refused * 100 <= _DAY.attempts, _DAY.limited * 50 <= _DAY.attempts)


def warmth(session: Session, addresses: Collection[str], now: float) -> Warmth:
    """How warm these addresses are, and what left from them today, as all workers have reported it."""
    today = day_of(now)
    before = _DAY.day < today
    well = and_(before, _WELL)
    days = func.sum(case((well, 1), else_=0))
    used = func.sum(case((before, 0), else_=_DAY.attempts))
    last, last_well = (func.max(case((which, _DAY.day), else_=0)) for which in (before, well))
    rows = session.execute(
        select(_DAY.address, _DAY.provider, days, used, last > last_well)
        .where(_DAY.address.in_(sorted(addresses)), _DAY.day >= today - REMEMBERED)
        .group_by(_DAY.address, _DAY.provider)
    )
    known = declared(session)
    levels = {
        (address, provider): Level(int(grown), int(attempts), bool(paused), address in known)
        for address, provider, grown, attempts, paused in rows
    }
    return Warmth(today, levels, known)


def refreshed(session: Session, known: Warmth, addresses: Collection[str], now: float) -> Warmth:
    """``warmth`` again: of the same day only what has left meanwhile is read."""
    if known.day != day_of(now):
        return warmth(session, addresses, now)
    rows = session.execute(
        select(_DAY.address, _DAY.provider, _DAY.attempts).where(
            _DAY.address.in_(sorted(addresses)), _DAY.day == known.day
        )
    )
    used = {(address, provider): int(attempts) for address, provider, attempts in rows}
    warm = declared(session)
    levels = {
        key: replace(known.of(*key), today=used.get(key, 0), declared=key[0] in warm) for key in {*known.levels, *used}
    }
    return Warmth(known.day, levels, warm)


def declared(session: Session) -> frozenset[str]:
    """The addresses that are warm on an operator's word."""
    return frozenset(session.scalars(select(SourceWarm.address)))


def declare(session: Session, address: str, now: float, by: str) -> str:
    """Take an address as warm, since it was in use elsewhere; how it is written. UsageError when it is none."""
    written = _written(address)
    session.merge(SourceWarm(address=written, since=now, by=by))
    session.flush()
    return written


def take_back(session: Session, address: str) -> str:
    """Go by what the address has done here again; UsageError when nobody has said anything else."""
    written = _written(address)
    gone = delete(table(SourceWarm)).where(SourceWarm.address == written)
    if session.connection().execute(gone).rowcount == 0:
        raise UsageError(f"nobody has declared {written} warm")
    return written


def _written(address: str) -> str:
    try:
        return str(ip_address(address.strip()))
    except ValueError:
        raise UsageError(f"{address!r} is no address such as 203.0.113.5 or 2001:db8::5") from None
