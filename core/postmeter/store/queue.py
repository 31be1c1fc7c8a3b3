"""The queue: workers, the leases by which they own recipients, and what a lease hands over."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, Integer, bindparam, case, delete, insert, literal_column, select, text, update
from sqlalchemy.orm import Session

from postmeter.message.envelope import Envelope
from postmeter.message.envelope import Recipient as ForwardPath
from postmeter.store import provider_sessions, suppressed
from postmeter.store.base import table
from postmeter.store.statement import Statement
from postmeter.store.tables import DEFERRED, LEASED, QUEUED, WAITING, Content, Message, Recipient
from postmeter.store.worker_tables import Duty, Worker

AFTER_DOUBT = 300.0  # seconds of waiting for each attempt in doubt, when the next one's worker was lost as well


@dataclass(frozen=True, slots=True)
class QueuedMessage:
    """What delivery needs of a message; ``envelope`` has the parameters of MAIL, its recipients stay empty.

    ``priority`` 0 is urgent, 1 normal, 2 bulk; ``lifetime`` in seconds (0: as the setting says); with
    ``tls_required`` it must not leave in clear.
    """

    id: str
    account_id: int
    connection_id: int
    domain: str
    envelope: Envelope
    accepted_at: float
    size: int
    reference: str = ""
    priority: int = 1
    lifetime: int = 0
    tls_required: bool = False


@dataclass(frozen=True, slots=True)
class QueuedRecipient:
    """One leased forward path. ``attempts`` counts those that ended; ``charge`` is reserved or charged.

    ``unknown_since``: when its domain was first not found in the DNS, if that was so at the last attempt.
    ``failing_since``: when it first failed for what is borne for a time only, such as a full mailbox.
    ``leaves_at``: since when it may leave, if that was not at once when it was accepted. ``provider``: who receives
    its mail, if an attempt has found that out. ``warn_at``: when its sender is to be told that it is late. ``route``:
    where an operator wants it sent, ``host:port``. ``failure``: the class of the last refusal. ``in_doubt`` counts the
    attempts that may have arrived though nobody knows their end. ``shared``: it was tried in one transaction with
    others. ``suppressed``: why it is not to be sent any more, if its address was suppressed since.
    """

    n: int
    path: ForwardPath
    attempts: int
    block_id: int | None
    charge: str
    unknown_since: float | None = None
    leaves_at: float | None = None
    provider: str = ""
    warn_at: float | None = None
    route: str = ""
    failure: str = ""
    failing_since: float | None = None
    in_doubt: int = 0
    shared: bool = False
    suppressed: str = ""


@dataclass(frozen=True, slots=True)
class Leased:
    """A message and those of its recipients that a worker now owns."""

    message: QueuedMessage
    recipients: tuple[QueuedRecipient, ...]


def register(session: Session, node: str, pid: int, now: float, lease_until: float) -> int:
    """A new owner of leases; its number, which nobody had before."""
    row = {"node": node, "pid": pid, "started_at": now, "lease_until": lease_until}
    return session.execute(insert(Worker).values(row).returning(Worker.id)).scalar_one()


def heartbeat(session: Session, worker: int, lease_until: float) -> bool:
    """Move the end of all leases of this worker on; False when they were taken over already."""
    moved = session.connection().execute(
        update(Worker.__table__).where(Worker.id == worker).values(lease_until=lease_until)  # type: ignore[arg-type]
    )
    return moved.rowcount == 1


def forget(session: Session, worker: int) -> None:
    """End a worker in order: what it still owns was not begun, and waits for anyone."""
    _give_back(session, Recipient.lease_owner == worker)
    session.execute(delete(Worker).where(Worker.id == worker))
    _clear_up(session)


def take_over(session: Session, now: float, node: str | None = None, pid: int | None = None) -> int:
    """Free the recipients of workers whose time is over or, instead, of those known to be gone; how many.

    ``node`` alone: all of that machine (it starts anew); with ``pid``: that process of it.

    Their attempts may have arrived, so each is marked as in doubt; it is tried again, never dropped. The first time at
    once, but later and later if its workers end again and again: that may be its own fault.
    """
    gone = Worker.lease_until < now
    if node is not None:
        gone = (Worker.node == node) if pid is None else (Worker.node == node) & (Worker.pid == pid)
    session.execute(delete(Worker).where(gone))
    _clear_up(session)
    alive = select(Worker.id)
    freed = (Recipient.lease_owner.is_not(None)) & (Recipient.lease_owner.not_in(alive))
    again = now + AFTER_DOUBT * Recipient.in_doubt
    return _give_back(session, freed, in_doubt=Recipient.in_doubt + 1, next_attempt_at=again)


# The same as changes for the writer, of which it commits several together


def heartbeats(session: Session, beats: Sequence[tuple[int, float]]) -> list[bool]:
    """``heartbeat`` of each worker until the time with it."""
    return [heartbeat(session, worker, until) for worker, until in beats]


def forget_all(session: Session, workers: Sequence[int]) -> list[None]:
    """``forget`` each worker."""
    for worker in workers:
        forget(session, worker)
    return [None] * len(workers)


def take_overs(session: Session, times: Sequence[float]) -> list[int]:
    """``take_over`` at each time."""
    return [take_over(session, now) for now in times]


def _clear_up(session: Session) -> None:
    """What a worker did for all is anybody's at once, and what it told of itself is no longer true."""
    session.execute(delete(Duty).where(Duty.owner.not_in(select(Worker.id))))
    provider_sessions.forget_workers(session)


def _give_back(session: Session, which: ColumnElement[bool], **changes: Any) -> int:
    before = case((Recipient.attempts == 0, QUEUED), else_=DEFERRED)
    values = {"state": before, "lease_owner": None, **changes}
    statement = update(Recipient.__table__).where(Recipient.state == LEASED, which)  # type: ignore[arg-type]
    return session.connection().execute(statement.values(values)).rowcount


_MESSAGE = (
    *(Message.id, Message.account_id, Message.connection_id, Message.domain),
    *(Message.reverse_path, Message.body, Message.smtputf8, Message.ret, Message.envid),
    *(Message.accepted_at, Message.size, Message.reference, Message.priority, Message.lifetime),
    Message.tls_required,
)
_RECIPIENT = (
    *(Recipient.forward_path, Recipient.notify, Recipient.orcpt, Recipient.n),
    *(Recipient.attempts, Recipient.block_id, Recipient.charge, Recipient.unknown_since, Recipient.leaves_at),
    *(Recipient.provider, Recipient.warn_at, Recipient.route, Recipient.failure, Recipient.failing_since),
    *(Recipient.in_doubt, Recipient.shared),
)
_with_message = select(*_MESSAGE, *_RECIPIENT).join(
    Message, (Message.id == Recipient.message_id) & (Message.account_id == Recipient.account_id)
)
_PICKED = Statement(
    _with_message.where(
        Recipient.lease_owner == bindparam("owner"),
        Recipient.state == literal_column(f"'{LEASED}'"),
        Recipient.next_attempt_at == bindparam("now"),
    )
)
_TAKE = Statement(
    update(table(Recipient))
    .where(
        Recipient.message_id == bindparam("m"),
        Recipient.account_id == bindparam("a"),
        Recipient.n == bindparam("r"),
    )
    .values(state=LEASED, lease_owner=bindparam("owner"), next_attempt_at=bindparam("now"))  # the pick, for ``picked``
)


def first_of(conditions: Sequence[ColumnElement[bool]], order: Sequence[Any]) -> Statement:
    """Those that wait and meet the conditions, at most ``limit`` in this order; others' picks are passed over."""
    return Statement(
        _with_message.where(text(WAITING), *conditions)
        .order_by(*order)
        .limit(bindparam("limit", type_=Integer()))
        .with_for_update(of=Recipient, skip_locked=True)
    )


_DUE = first_of([Recipient.next_attempt_at <= bindparam("now")], [Recipient.next_attempt_at])


def due(session: Session, now: float, limit: int) -> list[Leased]:
    """At most ``limit`` recipients that are due, longest due first."""
    return grouped(_DUE.fetch(session, {"now": now, "limit": limit}))


def take(session: Session, worker: int, now: float, leases: Sequence[Leased]) -> None:
    """Lease what is due to a worker."""
    mark = {"owner": worker, "now": now}
    keys = [
        {"m": one.message.id, "a": one.message.account_id, "r": r.n, **mark} for one in leases for r in one.recipients
    ]
    if keys:
        _TAKE.run(session, keys)


def lease_due(session: Session, worker: int, now: float, limit: int) -> list[Leased]:
    """Take at most ``limit`` recipients that are due, longest due first, whosever they are."""
    leases = due(session, now, limit)
    take(session, worker, now, leases)
    return leases


def picked(session: Session, worker: int, now: float) -> list[Leased]:
    """What the worker took ``now`` and has not settled."""
    return grouped(_PICKED.fetch(session, {"owner": worker, "now": now}))


def grouped(rows: Iterable[tuple[Any, ...]]) -> list[Leased]:
    """By message, in the order in which the first recipient of each comes."""
    by_message: dict[str, list[tuple[Any, ...]]] = {}
    for row in rows:
        by_message.setdefault(row[0], []).append(row)
    return [_leased(group) for group in by_message.values()]


def _leased(rows: Sequence[tuple[Any, ...]]) -> Leased:
    recipients = [_recipient(*row[len(_MESSAGE) :]) for row in rows]
    return Leased(_message(*rows[0][: len(_MESSAGE)]), tuple(sorted(recipients, key=lambda recipient: recipient.n)))


def queued_message(message: Message) -> QueuedMessage:
    """What delivery needs of a row of the messages."""
    envelope = Envelope(message.reverse_path, (), message.body, message.smtputf8, message.ret, message.envid)
    return QueuedMessage(
        message.id,
        message.account_id,
        message.connection_id,
        message.domain,
        envelope,
        message.accepted_at,
        message.size,
        message.reference,
        message.priority,
        message.lifetime,
        message.tls_required,
    )


def _message(identifier: str, account: int, connection: int, domain: str, *rest: Any) -> QueuedMessage:
    reverse_path, body, smtputf8, ret, envid, *more = rest
    envelope = Envelope(reverse_path, (), body, bool(smtputf8), ret, envid)
    more[-1] = bool(more[-1])  # SQLite has numbers for truth values
    return QueuedMessage(identifier, account, connection, domain, envelope, *more)


def _recipient(path: str, notify: str, orcpt: str, n: int, *rest: Any) -> QueuedRecipient:
    more = [*rest]
    more[-1] = bool(more[-1])  # SQLite has numbers for truth values
    return QueuedRecipient(n, ForwardPath(path, notify, orcpt), *more)


def marked(session: Session, leases: Sequence[Leased], now: float) -> tuple[Leased, ...]:
    """What was picked, with a word at each recipient whose address was suppressed since it was accepted."""
    if not leases or not suppressed.any_known(session, now):
        return tuple(leases)
    told = suppressed.refusals(session, {_place(leased, one) for leased in leases for one in leased.recipients}, now)
    return tuple(_marked(leased, told) if told else leased for leased in leases)


def _marked(leased: Leased, told: Mapping[suppressed.Place, str]) -> Leased:
    recipients = (replace(one, suppressed=told.get(_place(leased, one), "")) for one in leased.recipients)
    return replace(leased, recipients=tuple(recipients))


def _place(leased: Leased, one: QueuedRecipient) -> suppressed.Place:
    return leased.message.account_id, one.path.forward_path


def content(session: Session, account_id: int, message_id: str) -> bytes:
    """The content as stored; LookupError when it is gone."""
    query = select(Content.data).where(Content.message_id == message_id, Content.account_id == account_id)
    chunks: Sequence[bytes] = session.scalars(query.order_by(Content.n)).all()
    if not chunks:
        raise LookupError(f"message {message_id} has no content any more")
    return b"".join(chunks) if len(chunks) > 1 else chunks[0]
