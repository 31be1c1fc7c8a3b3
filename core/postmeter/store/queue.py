"""The queue: workers, the leases by which they own recipients, and what a lease hands over."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Integer, bindparam, case, delete, insert, select, update
from sqlalchemy.orm import Session

from postmeter.message.envelope import Envelope
from postmeter.message.envelope import Recipient as ForwardPath
from postmeter.store.tables import DEFERRED, LEASED, QUEUED, Content, Message, Recipient
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
    ``leaves_at``: since when it may leave, if that was not at once when it was accepted. ``provider``: who receives
    its mail, if an attempt has found that out. ``warn_at``: when its sender is to be told that it is late. ``route``:
    where an operator wants it sent, ``host:port``. ``failure``: the class of the last refusal.
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
    _free_duties(session)


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
    _free_duties(session)
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


def _free_duties(session: Session) -> None:
    """What a worker did for all is anybody's at once."""
    session.execute(delete(Duty).where(Duty.owner.not_in(select(Worker.id))))


def _give_back(session: Session, which: ColumnElement[bool], **changes: Any) -> int:
    before = case((Recipient.attempts == 0, QUEUED), else_=DEFERRED)
    values = {"state": before, "lease_owner": None, **changes}
    statement = update(Recipient.__table__).where(Recipient.state == LEASED, which)  # type: ignore[arg-type]
    return session.connection().execute(statement.values(values)).rowcount


_TAKE = (
    update(Recipient.__table__)  # type: ignore[arg-type]
    .where(
        Recipient.message_id == bindparam("m"),
        Recipient.account_id == bindparam("a"),
        Recipient.n == bindparam("r"),
    )
    .values(state=LEASED, lease_owner=bindparam("owner"), next_attempt_at=bindparam("now"))  # the pick, for ``confirm``
)


# The states are written into the statement: SQLite uses a partial index only for a condition that it can read.
_waiting = Recipient.state.in_(bindparam("waiting", (QUEUED, DEFERRED), expanding=True, literal_execute=True))
_with_message = select(Recipient, Message).join(
    Message, (Message.id == Recipient.message_id) & (Message.account_id == Recipient.account_id)
)
_DUE = (
    _with_message.where(_waiting, Recipient.next_attempt_at <= bindparam("now"))
    .order_by(Recipient.next_attempt_at)
    .limit(bindparam("limit", type_=Integer()))
    .with_for_update(of=Recipient, skip_locked=True)
)
_PICKED = _with_message.where(
    Recipient.lease_owner == bindparam("owner"),
    Recipient.state == LEASED,
    Recipient.next_attempt_at == bindparam("now"),
)


@dataclass(frozen=True, slots=True)
class Wish:
    """A worker's wish for recipients that are due at ``now``, at most ``limit``."""

    worker: int
    now: float
    limit: int


class Picking:
    """The change that leases due recipients to workers."""

    def __call__(self, session: Session, wishes: Sequence[Wish]) -> list[list[Leased]]:
        """Take what is due for each wish."""
        return [lease_due(session, wish.worker, wish.now, wish.limit) for wish in wishes]

    def confirm(self, session: Session, wishes: Sequence[Wish]) -> list[list[Leased] | None]:
        """After a commit whose answer was lost: what was taken for each wish; None: nothing."""
        return [
            _grouped(session.execute(_PICKED, {"owner": wish.worker, "now": wish.now}).all()) or None for wish in wishes
        ]


def lease_due(session: Session, worker: int, now: float, limit: int) -> list[Leased]:
    """Take at most ``limit`` recipients that are due, longest due first; other workers' picks are passed over."""
    rows = session.execute(_DUE, {"now": now, "limit": limit}).all()
    if rows:
        keys = [{"m": r.message_id, "a": r.account_id, "r": r.n, "owner": worker, "now": now} for r, _ in rows]
        session.connection().execute(_TAKE, keys)
    return _grouped(rows)


def _grouped(rows: Iterable[Any]) -> list[Leased]:
    """By message, in the order in which the first recipient of each comes."""
    by_message: dict[str, list[Any]] = {}
    for row in rows:
        by_message.setdefault(row[1].id, []).append(row)
    return [_leased(sorted(group, key=lambda row: int(row[0].n))) for group in by_message.values()]


def _leased(rows: Iterable[Any]) -> Leased:
    pairs = [(recipient, message) for recipient, message in rows]
    return Leased(queued_message(pairs[0][1]), tuple(_recipient(r) for r, _ in pairs))


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


def _recipient(row: Recipient) -> QueuedRecipient:
    path = ForwardPath(row.forward_path, row.notify, row.orcpt)
    return QueuedRecipient(
        row.n,
        path,
        row.attempts,
        row.block_id,
        row.charge,
        row.unknown_since,
        row.leaves_at,
        row.provider,
        row.warn_at,
        row.route,
        row.failure,
    )


def content(session: Session, account_id: int, message_id: str) -> bytes:
    """The content as stored; LookupError when it is gone."""
    query = select(Content.data).where(Content.message_id == message_id, Content.account_id == account_id)
    chunks: Sequence[bytes] = session.scalars(query.order_by(Content.n)).all()
    if not chunks:
        raise LookupError(f"message {message_id} has no content any more")
    return b"".join(chunks) if len(chunks) > 1 else chunks[0]
