"""What comes back after a delivery: late bounces, complaints, and news of mail that others still hold.

A late bounce makes bounced what was delivered; its unit stays charged. What still waits here is left to the queue, and
only noted; what is under way has no outcome yet that a report could change, so it must be told again. All of it may be
said again: it counts once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
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
from postmeter.store.failures import Failed, suppress_for_failures
from postmeter.store.notifications import Failed as Untold
from postmeter.store.notifications import Notifier
from postmeter.store.rollup import counted_at
from postmeter.store.settle import storable
from postmeter.store.statement import Statement as Sql
from postmeter.store.suppressions import COMPLAINT, EVERY_ACCOUNT, Suppression
from postmeter.store.tables import BOUNCED, DELIVERED, FINAL, LEASED, Event, Message, Recipient

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

    def __call__(self, session: Session, news: Sequence[News]) -> list[int | None]:
        """For each: how many recipients are bounced by it, or have complained.

        None: a recipient is being tried at this moment, so it comes too early and should be told again.
        """
        books, counts = _Books(), dict[int, int | None]()
        for place in sorted(range(len(news)), key=lambda place: news[place].message_id):
            counts[place] = self._record(session, news[place], books)
        books.close(session)
        if self.notifier and books.untold:
            now = max(one.at for one in news)
            self.notifier.send(session, self.notifier.about(session, books.untold, now), now)
        return [counts[place] for place in range(len(news))]

    def _record(self, session: Session, news: News, books: _Books) -> int | None:
        query = select(*_COLUMNS).join(Message, _OF).where(Message.id == news.message_id).order_by(*_COLUMNS[:3])
        rows = session.execute(query).all()
        if news.feedback:
            return _complaint(session, news, news.feedback, rows, books)
        told = _told(rows, news)
        for row, said in told:
            if said.action == DELAYED:
                _note(session, row, DELAY_REPORTED, said, news.at)
            elif said.action == FAILED and row.state not in (*FINAL, LEASED):
                _note(session, row, FAILURE_REPORTED, said, news.at)
        failed = [(row, said) for row, said in told if said.action == FAILED]
        bounced = sum(
            self._bounce(session, row, said, news.at, books) for row, said in failed if row.state == DELIVERED
        )
        return None if any(row.state == LEASED for row, _ in failed) else bounced

    def _bounce(self, session: Session, row: Any, said: Statement, now: float, books: _Books) -> bool:
        reply = storable(said.diagnostic or UNEXPLAINED)
        found = self.classify(REPORT, said.code, said.status, reply)
        if not _BOUNCE.run(session, [{**_key(row), "now": now, "text": reply, "class": found.name}]):
            return False
        facts = {"late": True, "reply": reply, "class": found.name, "rule": found.rule}
        _tell(session, row, BOUNCED, now, {**facts, "stage": REPORT, "provider": row.provider, **_remote(said)})
        # Both in the time of the delivery, where the recipient was counted: so no part of the past is below 0.
        at = counted_at(row.final_at or now, now)
        books.changes += [_change(row, at, DELIVERED, -1), _change(row, at, BOUNCED, 1)]
        books.failed.append(Failed(row.account_id, row.forward_path, found, reply, row.message_id, now))
        path = ForwardPath(row.forward_path, row.notify, row.orcpt)
        books.untold.append(Untold(row.message_id, row.n, path, reply, storable(said.remote)))
        return True


@dataclass(slots=True)
class _Books:
    """What is written behind all recipients, in the order in which settling does it, so that nobody deadlocks."""

    changes: list[Change] = field(default_factory=list)
    failed: list[Failed] = field(default_factory=list)
    untold: list[Untold] = field(default_factory=list)  # of the same, to the senders
    unwanted: list[Suppression] = field(default_factory=list)

    def close(self, session: Session) -> None:
        """Write all of it."""
        count(session, self.changes)
        suppress_for_failures(session, self.failed)
        if self.unwanted:
            ordered = sorted(self.unwanted, key=lambda made: (made.account_id, made.address))
            suppressions.suppress_all(session, ordered)


def _told(rows: Sequence[Any], news: News) -> list[tuple[Any, Statement]]:
    """Whom each statement is about, by their numbers; of several about one recipient only the worst counts."""
    choose = _choice(rows, news.recipient)
    worst: dict[int, tuple[Any, Statement]] = {}
    for said in sorted(news.statements, key=lambda said: (said.action != FAILED, said.action != DELAYED)):
        for row in choose((said.original, said.final)):
            worst.setdefault(row.n, (row, said))
    return [worst[number] for number in sorted(worst)]


def _choice(rows: Sequence[Any], number: int | None) -> Callable[[Iterable[str]], list[Any]]:
    """Which recipients are meant: addresses only choose among those of the message."""
    if number is not None:
        this = [row for row in rows if row.n == number]
        return lambda _: this
    by_address: dict[str, list[Any]] = {}
    for row in rows:
        by_address.setdefault(suppressions.comparable(row.forward_path), []).append(row)
    only = [*rows] if len(rows) == 1 else []

    def choose(addresses: Iterable[str]) -> list[Any]:
        wanted = dict.fromkeys(suppressions.comparable(address) for address in addresses if address)
        return [row for address in wanted for row in by_address.get(address, ())] or only

    return choose


def _complaint(session: Session, news: News, said: Feedback, rows: Sequence[Any], books: _Books) -> int:
    """Whoever of the recipients has complained; when nobody can tell who it was, the message has a complaint."""
    facts = {
        "feedback_type": said.type,
        "source_ip": storable(said.source_ip),
        "arrived": storable(said.arrival_date),
        "agent": storable(said.agent),
    }
    named = sorted(_choice(rows, news.recipient)(said.recipients), key=lambda row: int(row.n))
    fresh = [row for row in named if _COMPLAIN.run(session, [{**_key(row), "now": news.at}])]
    for row in fresh:
        _tell(session, row, COMPLAINED, news.at, facts)
    if rows and not named and not _told_of(session, rows[0].message_id, None, COMPLAINED):
        about = events.about_recipient(rows[0].account_id, rows[0].message_id, None, COMPLAINED, news.at, facts)
        events.record(session, [about])
        fresh = [rows[0]]
    books.changes += [_change(row, news.at, COMPLAINED, 1) for row in fresh]
    # The relay's own mail is account 0's, and what that suppresses nobody can write to any more.
    books.unwanted += [
        _suppression(row, said, news.at) for row in fresh if row in named and row.account_id != EVERY_ACCOUNT
    ]
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
