"""The caps of connections: what each has submitted in this clock hour, day and month, counted by the statistics."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import case, func, literal_column, select
from sqlalchemy.orm import Session

from postmeter.quota.cap import Period, periods
from postmeter.smtp.replies import cap_reached, over_cap
from postmeter.smtp.reply import Reply
from postmeter.store.quota import iso
from postmeter.store.tables import Connection, Counter

# account, connection, when its message came
Use = tuple[int, int, float]


@dataclass(slots=True)
class Gauge:
    """One cap: recipients that the period may have, and has."""

    period: Period
    most: int
    used: int


class Meters:
    """The gauges of all connections with caps in one commit, which holds the locks of their accounts.

    So nobody else raises the counters that they begin with.
    """

    def __init__(self, session: Session, uses: Iterable[Use]) -> None:
        self._gauges: dict[tuple[int, float], list[Gauge]] = {}
        for account_id, connection_id, at in uses:
            spans = periods(at)
            if (key := (connection_id, spans[0].begin)) not in self._gauges:
                self._gauges[key] = _read(session, account_id, connection_id, spans)

    def refusal(self, use: Use, recipients: int) -> Reply | None:
        """Why a message is not taken: the first cap that it would exceed."""
        _, connection_id, at = use
        for gauge in self._gauges[connection_id, periods(at)[0].begin]:
            if recipients > gauge.most:
                return over_cap(gauge.most, gauge.period.name)
            if gauge.used + recipients > gauge.most:
                return cap_reached(gauge.most, gauge.period.name, iso(gauge.period.end))
        return None

    def add(self, use: Use, recipients: int) -> None:
        """A message is taken."""
        _, connection_id, at = use
        for (connection, _), gauges in self._gauges.items():
            for gauge in gauges:
                if connection == connection_id and gauge.period.begin <= at < gauge.period.end:
                    gauge.used += recipients


def _read(session: Session, account_id: int, connection_id: int, spans: tuple[Period, ...]) -> list[Gauge]:
    used = [
        func.coalesce(func.sum(case((Counter.bucket.between(span.begin, span.end - 1), Counter.arrived), else_=0)), 0)
        for span in spans
    ]
    counted = session.execute(
        select(*used).where(
            Counter.account_id == account_id,
            Counter.connection_id == connection_id,
            Counter.bucket >= int(spans[-1].begin),
            Counter.provider == literal_column("''"),  # written out: so the index is one that may be used
        )
    ).one()
    caps = session.execute(
        select(Connection.per_hour, Connection.per_day, Connection.per_month).where(Connection.id == connection_id)
    ).one()
    return [Gauge(span, most, int(n)) for span, most, n in zip(spans, caps, counted, strict=True) if most]
