"""Sessions that reports about TLS count (RFC 8460): summed by day and domain, until a report was sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from typing import NamedTuple

from sqlalchemy import and_, select, text
from sqlalchemy.orm import Session

from postmeter.message.handling import BULK
from postmeter.store import own_mail
from postmeter.store.rows import delete_some
from postmeter.store.statement import Statement
from postmeter.store.tls_tables import TlsReport, TlsSessionDay

DAY = 86_400
KEPT = 14 * DAY
OVERDUE = 2 * DAY  # seconds behind the end of a day: a report that could not be sent by then is given up
OLDEST = OVERDUE + 3 * DAY  # seconds behind the beginning of a day, at most: what is older is not sent any more
MOST_LINES = 500  # that a report tells of one by one: servers make them, by as many different answers as they like
REFERENCE = "tls-report"  # of the relay's own mail: it is about TLS, so no policy keeps it, and no report counts it
_KEY = ("day", "domain", "policy", "result", "reason", "source", "host", "address")
_ADD = Statement(
    text(
        f"INSERT INTO tls_session_day ({', '.join(_KEY)}, sessions) "  # noqa: S608 - own names
        f"VALUES ({', '.join(':' + name for name in _KEY)}, :sessions) "
        f"ON CONFLICT ({', '.join(_KEY)}) DO UPDATE SET sessions = tls_session_day.sessions + excluded.sessions"
    )
)
_SENT = Statement(
    text(
        "INSERT INTO tls_report (day, domain, sent_at, sent_to) VALUES (:day, :domain, :sent_at, :sent_to) "
        "ON CONFLICT (day, domain) DO NOTHING"
    )
)


class Seen(NamedTuple):
    """What sessions have in common that count as one line: the day (its first second, UTC), the policy domain, the
    policy's type and lines, and, when something failed, how, why, from which address of ours, and with which host.
    """

    day: int
    domain: str
    policy: tuple[str, ...]
    result: str = ""
    reason: str = ""
    source: str = ""
    host: str = ""
    address: str = ""


@dataclass(frozen=True)
class Finished:
    """A report that is done: ``mails`` go out with the commit that says so; ``sent_to`` are its addresses."""

    day: int
    domain: str
    at: float
    sent_to: tuple[str, ...]
    mails: tuple[tuple[str, EmailMessage], ...]  # address and mail
    hostname: str


def add(session: Session, counted: Sequence[Mapping[Seen, int]]) -> list[None]:
    """Add sessions to what is there, in an order that is the same for all who write."""
    sums: dict[Seen, int] = {}
    for part in counted:
        for seen, sessions in part.items():
            sums[seen] = sums.get(seen, 0) + sessions
    rows = [seen._asdict() | {"policy": "\n".join(seen.policy), "sessions": sums[seen]} for seen in sorted(sums)]
    _ADD.run(session, rows)
    return [None] * len(counted)


def open_reports(session: Session, now: float, limit: int) -> list[tuple[int, str]]:
    """Days that are over, with domains that have not had their report about them; the oldest first."""
    today = int(now) // DAY * DAY
    ended = TlsSessionDay.day.between(today - OLDEST + DAY, today - DAY)
    done = and_(TlsReport.day == TlsSessionDay.day, TlsReport.domain == TlsSessionDay.domain)
    query = (
        select(TlsSessionDay.day, TlsSessionDay.domain)
        .outerjoin(TlsReport, done)
        .where(ended, TlsReport.day.is_(None))
        .distinct()
        .order_by(TlsSessionDay.day, TlsSessionDay.domain)
        .limit(limit)
    )
    return [(day, domain) for day, domain in session.execute(query)]


def sessions_of(session: Session, day: int, domain: str) -> dict[Seen, int]:
    """What was counted, by line; behind the first ``MOST_LINES`` they are summed by policy and result."""
    columns = [getattr(TlsSessionDay, name) for name in (*_KEY, "sessions")]
    query = select(*columns).where(TlsSessionDay.day == day, TlsSessionDay.domain == domain)
    found: dict[Seen, int] = {}
    for *key, sessions in session.execute(query.order_by(TlsSessionDay.sessions.desc())).yield_per(MOST_LINES):
        seen = Seen(*key)._replace(policy=tuple(key[2].split("\n")))
        if len(found) >= MOST_LINES:
            seen = Seen(*seen[:4])
        found[seen] = found.get(seen, 0) + sessions
    return found


def finish(session: Session, reports: Sequence[Finished]) -> list[bool]:
    """Note that they are done and put their mails into the queue, unless another worker has; whether that was so."""
    return [_finish(session, report) for report in reports]


def _finish(session: Session, report: Finished) -> bool:
    row = {"day": report.day, "domain": report.domain, "sent_at": report.at, "sent_to": " ".join(report.sent_to)}
    if _SENT.run(session, [row]) != 1:
        return False
    for to, mail in report.mails:
        own_mail.send(session, mail, to, report.hostname, report.at, REFERENCE, BULK)
    return True


def forget(session: Session, now: float) -> int:
    """Delete some of what is older than two weeks; how many rows."""
    return sum(delete_some(session, one, one.day < now - KEPT) for one in (TlsSessionDay, TlsReport))
