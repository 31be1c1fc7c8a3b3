"""The caps of connections: what each has submitted in this clock hour, day and month, counted by the statistics."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from postmeter.quota.cap import Period, periods
from postmeter.smtp.replies import cap_reached, over_cap
from postmeter.smtp.reply import Reply
from postmeter.store.quota import iso
from postmeter.store.statement import Statement
from postmeter.store.tables import Connection

_SUMS = ", ".join(
    f"COALESCE(SUM(CASE WHEN bucket >= :begin{n} AND bucket < :end{n} THEN arrived END), 0)" for n in range(3)
)
_USED = {  # SQLite would read all rows of the account, of every provider: they are in the table's own order
    sqlite: Statement(
        text(
            f"SELECT {_SUMS} FROM counter {'INDEXED BY ix_counter_arrived ' if sqlite else ''}"  # noqa: S608 - own
            "WHERE account_id = :account AND connection_id = :connection AND provider = '' AND bucket >= :begin2"
        )
    )
    for sqlite in (False, True)
}

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
    begins = {f"begin{n}": int(span.begin) for n, span in enumerate(spans)}
    ends = {f"end{n}": int(span.end) for n, span in enumerate(spans)}
    statement = _USED[session.get_bind().dialect.name == "sqlite"]
    [counted] = statement.fetch(session, {"account": account_id, "connection": connection_id, **begins, **ends})
    caps = session.execute(
        select(Connection.per_hour, Connection.per_day, Connection.per_month).where(Connection.id == connection_id)
    ).one()
    return [Gauge(span, most, int(n)) for span, most, n in zip(spans, caps, counted, strict=True) if most]
