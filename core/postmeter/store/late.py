"""What comes back after a delivery: late bounces, complaints, and news of mail that others still hold.

A late bounce makes bounced what was delivered; its unit stays charged. What still waits here is left to the queue, and
only noted. All of it may be said again: it counts once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, select, update
from sqlalchemy.orm import Session

from postmeter.message.bounce import REPORT, Classification
from postmeter.message.envelope import Recipient as ForwardPath
from postmeter.message.feedback import Feedback
from postmeter.message.statement import DELAYED, FAILED, Statement
from postmeter.store import events, suppressions
from postmeter.store.base import table
from postmeter.store.counters import Change, count
from postmeter.store.failures import suppress_for_failure
from postmeter.store.notifications import Failed, Notifier
from postmeter.store.rollup import counted_at
from postmeter.store.settle import storable
from postmeter.store.statement import Statement as Sql
from postmeter.store.suppressions import COMPLAINT, Suppression
from postmeter.store.tables import BOUNCED, DELIVERED, FINAL, Event, Message, Recipient

DELAY_REPORTED, FAILURE_REPORTED, COMPLAINED = "delay_reported", "failure_reported", "complained"
UNEXPLAINED = "The receiving side reported a failure and gave no reason"

_THIS = (
    Recipient.message_id == bindparam("m"),
    Recipient.account_id == bindparam("a"),
    Recipient.n == bindparam("r"),
)
_BOUNCE = Sql(
    update(table(Recipient))
    .where(*_THIS, Recipient.state == DELIVERED)
    .values(state=BOUNCED, final_at=bindparam("now"), reply=bindparam("text"), failure=bindparam("class"))
)
_COMPLAIN = Sql(
    update(table(Recipient)).where(*_THIS, Recipient.complained_at.is_(None)).values(complained_at=bindparam("now"))
)
_COLUMNS = (
    *(Recipient.message_id, Recipient.account_id, Recipient.n, Recipient.connection_id, Recipient.forward_path),
    *(Recipient.state, Recipient.provider, Recipient.final_at, Recipient.notify, Recipient.orcpt, Message.domain),
)
_OF = (Message.id == Recipient.message_id) & (Message.account_id == Recipient.account_id)


@dataclass(frozen=True, slots=True)
class News:
    """What a report says about a message, or about its ``recipient`` of that number alone; ``at`` it came."""

    message_id: str
    recipient: int | None
    at: float
    statements: tuple[Statement, ...] = ()
    feedback: Feedback | None = None


@dataclass(frozen=True, slots=True)
class Late:
    """The change that records news; ``classify`` says what a reply means (stage, code, status, text).

    The ``notifier`` writes to senders of late bounces: these came to us, not to them.
    """

    classify: Callable[[str, int, str, str], Classification]
    notifier: Notifier | None = None

    def __call__(self, session: Session, news: Sequence[News]) -> list[int]:
        """For each: how many recipients are bounced by it, or have complained."""
        return [self._record(session, one) for one in news]

    def _record(self, session: Session, news: News) -> int:
        query = select(*_COLUMNS).join(Message, _OF).where(Message.id == news.message_id).order_by(*_COLUMNS[:3])
        rows = session.execute(query).all()
        if news.feedback:
            return _complaint(session, news, news.feedback, rows)
        told = list(_told(rows, news))
        for kind, action in ((DELAY_REPORTED, DELAYED), (FAILURE_REPORTED, FAILED)):
            for row, said in told:
                if said.action == action and (kind == DELAY_REPORTED or row.state not in FINAL):
                    _note(session, row, kind, said, news.at)
        failed = [(row, said) for row, said in told if said.action == FAILED]
        bounced = [_failed(row, said) for row, said in failed if self._bounce(session, row, said, news.at)]
        if self.notifier and bounced:
            self.notifier.send(session, self.notifier.about(session, bounced, news.at), news.at)
        return len(bounced)

    def _bounce(self, session: Session, row: Any, said: Statement, now: float) -> bool:
        reply = storable(said.diagnostic or UNEXPLAINED)
        found = self.classify(REPORT, said.code, said.status, reply)
        if not _BOUNCE.run(session, [{**_key(row), "now": now, "text": reply, "class": found.name}]):
            return False
        facts = {"late": True, "reply": reply, "class": found.name, "rule": found.rule}
        _tell(session, row, BOUNCED, now, {**facts, "stage": REPORT, "provider": row.provider, **_remote(said)})
        # Both in the time of the delivery, where the recipient was counted: so no part of the past is below 0.
        at = counted_at(row.final_at or now, now)
        count(session, [_change(row, at, DELIVERED, -1), _change(row, at, BOUNCED, 1)])
        suppress_for_failure(session, row.account_id, row.forward_path, found, reply, row.message_id, now)
        return True


def _failed(row: Any, said: Statement) -> Failed:
    path = ForwardPath(row.forward_path, row.notify, row.orcpt)
    return Failed(row.message_id, row.n, path, storable(said.diagnostic or UNEXPLAINED), storable(said.remote))


def _told(rows: Sequence[Any], news: News) -> Iterator[tuple[Any, Statement]]:
    """Whom each statement is about; of several about one recipient only the worst counts."""
    worst: dict[int, tuple[Any, Statement]] = {}
    for said in sorted(news.statements, key=lambda said: (said.action != FAILED, said.action != DELAYED)):
        for row in _named(rows, news.recipient, (said.original, said.final)):
            worst.setdefault(row.n, (row, said))
    yield from worst.values()


def _named(rows: Sequence[Any], number: int | None, addresses: Iterable[str]) -> list[Any]:
    """Which recipients are meant: addresses only choose among those of the message."""
    if number is not None:
        return [row for row in rows if row.n == number]
    wanted = {suppressions.comparable(address) for address in addresses if address}
    named = [row for row in rows if suppressions.comparable(row.forward_path) in wanted]
    return named or ([*rows] if len(rows) == 1 else [])


def _complaint(session: Session, news: News, said: Feedback, rows: Sequence[Any]) -> int:
    """Whoever of the recipients has complained; when nobody can tell who it was, the message has a complaint."""
    facts = {
        "feedback_type": said.type,
        "source_ip": storable(said.source_ip),
        "arrived": storable(said.arrival_date),
        "agent": storable(said.agent),
    }
    named = _named(rows, news.recipient, said.recipients)
    fresh = [row for row in named if _COMPLAIN.run(session, [{**_key(row), "now": news.at}])]
    for row in fresh:
        _tell(session, row, COMPLAINED, news.at, facts)
    if rows and not named and not _told_of(session, rows[0].message_id, None, COMPLAINED):
        about = events.about_recipient(rows[0].account_id, rows[0].message_id, None, COMPLAINED, news.at, facts)
        events.record(session, [about])
        fresh = [rows[0]]
    count(session, [_change(row, news.at, COMPLAINED, 1) for row in fresh])
    suppressions.suppress_all(session, [_suppression(row, said, news.at) for row in fresh if row in named])
    return len(fresh)


def _suppression(row: Any, said: Feedback, now: float) -> Suppression:
    address = suppressions.comparable(row.forward_path)
    return Suppression(row.account_id, address, COMPLAINT, said.type, row.message_id, now, None)


def _note(session: Session, row: Any, kind: str, said: Statement, now: float) -> None:
    """Tell of it, once for each recipient."""
    if not _told_of(session, row.message_id, row.n, kind):
        facts = {"reply": storable(said.diagnostic), "status": said.status, **_remote(said)}
        _tell(session, row, kind, now, facts)


def _told_of(session: Session, message_id: str, number: int | None, kind: str) -> bool:
    this = (Event.message_id == message_id, Event.recipient == number, Event.kind == kind)
    return session.scalar(select(Event.id).where(*this).limit(1)) is not None


def _remote(said: Statement) -> dict[str, str]:
    return {"remote": storable(said.remote)} if said.remote else {}


def _tell(session: Session, row: Any, kind: str, now: float, facts: dict[str, Any]) -> None:
    events.record(session, [events.about_recipient(row.account_id, row.message_id, row.n, kind, now, facts)])


def _key(row: Any) -> dict[str, Any]:
    return {"m": row.message_id, "a": row.account_id, "r": row.n}


def _change(row: Any, at: float, name: str, by: int) -> Change:
    return Change(row.account_id, row.connection_id, at, name, by, row.domain, row.provider)
