"""Accounts, blocks, submissions and settlements for the store's tests, and an audit of all books."""

from __future__ import annotations

import threading
from collections import Counter as Tally
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import count
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from postmeter.config import Demo, Overdraft
from postmeter.message.envelope import Envelope, Recipient
from postmeter.quota.block import Holding
from postmeter.quota.level import EXHAUSTED, LOW, OVERDRAFT
from postmeter.store import events, ledger, queue, renewal, standing, tables
from postmeter.store.accept import FREE, Acceptance, Submission
from postmeter.store.engine import Store
from postmeter.store.own_mail import OPERATOR
from postmeter.store.picking import Load, Wish
from postmeter.store.queue import Leased, QueuedRecipient
from postmeter.store.quota_tables import Block, Ledger
from postmeter.store.settle import Settlement, settle
from postmeter.store.statement import Row, Statement
from postmeter.store.tables import FINAL, Account, Content, Counter, Event, Message
from support.tenants import NOW

CONTENT = b"Subject: hello\r\n\r\nworld\r\n"
accept_all = Acceptance()
_numbers = count(1)


def add_account(session: Session, identifier: int = 1, **columns: Any) -> None:
    """An account with what matters to payment; there is no hourly limit for it unless ``paid_since`` is None."""
    session.add(Account(id=identifier, name=f"account {identifier}", created_at=NOW, **{"paid_since": NOW, **columns}))
    session.flush()


def add_block(
    session: Session,
    account: int,
    size: int,
    expires_at: float = NOW + 1e6,
    booked_at: float = NOW,
    *,
    renews: bool = False,
) -> int:
    """A block and its entry in the ledger; its number."""
    locked = standing.lock(session, account)
    block = renewal.open_block(session, account, "paid", Holding(0, size, booked_at, expires_at, size, renews))
    ledger.enter(session, [(account, block, "book", size)], NOW)
    standing.rose(session, account, locked, renewal.left_of(session, account))
    return block


def funded(store: Store, size: int = 1000, account: int = 1, **columns: Any) -> int:
    """An account with one block, whose number is given."""
    with store.write() as session:
        add_account(session, account, **columns)
        return add_block(session, account, size)


def add_worker(store: Store, lease_until: float = NOW + 1e6, node: str = "node", pid: int = 1) -> int:
    """A registered worker; its number."""
    with store.write() as session:
        return queue.register(session, node, pid, NOW, lease_until)


def submission(
    recipients: int = 1,
    *,
    account: int = 1,
    worker: int | None = None,
    at: float = NOW,
    blocks: Iterable[bytes] = (CONTENT,),
) -> Submission:
    """A message for recipients r0, r1, …; ``worker`` has them leased at once."""
    number = next(_numbers)
    blocks = tuple(blocks)
    return Submission(
        id=f"{number:026d}",
        account_id=account,
        connection_id=7,
        domain="shop.example",
        envelope=Envelope(
            "bounce@shop.example", tuple(Recipient(f"r{n}@example.net", "NEVER") for n in range(recipients)), "8BITMIME"
        ),
        header_from="shop.example",
        subject="hello",
        message_id=f"<{number}@shop.example>",
        size=sum(map(len, blocks)),
        content=lambda: blocks,
        accepted_at=at,
        worker=worker,
    )


def accept(
    store: Store,
    *submissions: Submission,
    policy: str = "agreement",
    cap: int = 0,
    demo: Demo | None = None,
    keep_suppressed: bool = False,
) -> list[Any]:
    """Commit submissions in one group."""
    with store.write() as session:
        return Acceptance(Overdraft(policy, cap), demo, keep_suppressed=keep_suppressed)(session, submissions)


def lease(store: Store, worker: int, now: float = NOW, limit: int = 1000) -> list[Leased]:
    """Lease what is due."""
    with store.write() as session:
        return queue.lease_due(session, worker, now, limit)


def leased(store: Store, worker: int, count: int = 1) -> Leased:
    """A message that was just accepted for so many recipients, and is a worker's."""
    accept(store, submission(count))
    [one] = lease(store, worker)
    return one


def wish(worker: int, now: float = NOW, limit: int = 1000) -> Wish:
    """The wish of a worker that has room for everything."""
    return Wish(worker, now, limit, Unlimited())


class Unlimited:
    """Room for everything."""

    def fits(self, load: Load) -> bool:
        """See ``Room``."""
        return True

    def enter(self, load: Load) -> None:
        """See ``Room``."""


def outcome(
    leased: Leased,
    recipient: QueuedRecipient,
    worker: int,
    state: str,
    at: float = NOW,
    *,
    transmitted: bool = True,
    in_doubt: bool = False,
    again: float = 0.0,
    reply: str = "250 ok",
    provider: str = "",
) -> Settlement:
    """How an attempt of a leased recipient ended."""
    facts = {"remote": "mx.example.net", **({"provider": provider} if provider else {})}
    return Settlement(leased.message, recipient, worker, state, reply, at, again or at, transmitted, in_doubt, facts)


def settle_all(store: Store, leases: Iterable[Leased], worker: int, state: str, **more: Any) -> list[bool]:
    """Settle all leased recipients alike, in one group."""
    made = [outcome(leased, recipient, worker, state, **more) for leased in leases for recipient in leased.recipients]
    with store.write() as session:
        return settle(session, made)


def rows(store: Store, entity: type[Any]) -> list[Any]:
    """All rows of a table, by key."""
    with store.read() as session:
        return list(session.scalars(select(entity).order_by(*entity.__table__.primary_key.columns)))


def recipients(store: Store) -> list[Any]:
    """All recipients, by message and number."""
    return rows(store, tables.Recipient)


def kinds(store: Store) -> list[str]:
    """The kinds of all events, in the order they were written."""
    with store.read() as session:
        return list(session.scalars(select(Event.kind).order_by(Event.id)))


def told_quota(store: Store) -> list[tuple[str, dict[str, Any]]]:
    """Kind and facts of all notices about the quota."""
    with store.read() as session:
        query = select(Event.kind, Event.facts).where(Event.kind.in_((LOW, EXHAUSTED, OVERDRAFT))).order_by(Event.id)
        return [(kind, facts) for kind, facts in session.execute(query)]


def later(settlement: Settlement, **changes: Any) -> Settlement:
    """A settlement, changed."""
    return replace(settlement, **changes)


def at_once(work: Callable[[int], object], number: int) -> None:
    """Run ``work(n)`` in threads that begin together; the first exception of any is raised here."""
    gate = threading.Barrier(number)
    errors: list[BaseException] = []

    def run(n: int) -> None:
        try:
            gate.wait(20)
            work(n)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(n,)) for n in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    if errors:
        raise errors[0]


def explained(store: Store, statement: str, parameters: Any) -> str:
    """How the database goes about a statement, if the table were large."""
    with closing(store.engine.raw_connection()) as connection, closing(connection.cursor()) as cursor:
        if not store.sqlite:
            cursor.execute("SET enable_seqscan = off")
        cursor.execute(f"EXPLAIN {'QUERY PLAN ' if store.sqlite else ''}{statement}", parameters)
        return str(cursor.fetchall())


def watched(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """The statements of the hot path that run from now on, each with the values of its first row."""
    ran: list[tuple[str, Any]] = []
    prepare = Statement._prepare

    def noted(self: Statement, session: Session, rows: Sequence[Row]) -> Any:
        prepared = prepare(self, session, rows)
        ran.append((prepared[1], prepared[2][0]))
        return prepared

    monkeypatch.setattr(Statement, "_prepare", noted)
    return ran


def audit(store: Store) -> None:
    """AssertionError unless ledger, blocks, accounts, recipients, counters, contents and events tell the same."""
    with store.read() as session:
        everyone = list(session.scalars(select(tables.Recipient)))
        _audit_money(session, [one for one in everyone if one.charge != FREE])
        _audit_counters(session, everyone)
        _audit_events(session, everyone)
        open_messages = {r.message_id for r in everyone if r.final_at is None}
        assert set(session.scalars(select(Content.message_id))) == open_messages
        assert set(session.scalars(select(Message.id))) == {r.message_id for r in everyone}
    for one in everyone:
        assert (one.state in FINAL) == (one.final_at is not None)
        assert (one.state == tables.LEASED) == (one.lease_owner is not None)
        assert (one.charge == FREE) == (one.account_id == OPERATOR or never_reserved(one))
        assert one.charge in (FREE, *(("charged", "released") if one.state in FINAL else ("reserved", "charged")))


def never_reserved(one: Any) -> bool:
    """Whether it was suppressed when it was accepted."""
    return bool(one.state == tables.SUPPRESSED and one.final_at == one.leaves_at and one.attempts == 0)


def _audit_money(session: Session, everyone: list[Any]) -> None:
    """I4: the sums of the ledger are the balances of blocks and accounts, and those the charges of the recipients."""
    units: Tally[tuple[int, int | None, str]] = Tally()
    for entry in session.scalars(select(Ledger)):
        assert entry.units * SIGNS.get(entry.kind, entry.units) > 0, f"an entry {entry.kind} of {entry.units}"
        units[entry.account_id, entry.block_id, entry.kind] += entry.units
    held = Tally((one.account_id, one.block_id, one.charge) for one in everyone)
    for block in session.scalars(select(Block)):
        key = (block.account_id, block.id)
        in_it = {kind: n for (*where, kind), n in units.items() if tuple(where) == key}
        assert block.left == sum(in_it.values()) - in_it.get("charge", 0) >= 0
        assert block.size == in_it.get("book", 0) + in_it.get("renew", 0)
        assert (block.reserved, block.charged) == (held[*key, "reserved"], held[*key, "charged"])
        assert _taken(in_it) == (block.reserved, block.charged)
        assert in_it.get("release", 0) == held[*key, "released"]
        assert block.due_at is not None or block.left == 0
    for account in session.scalars(select(Account)):
        beyond = (account.id, None)
        in_it = {kind: n for (*where, kind), n in units.items() if tuple(where) == beyond}
        assert account.overdraft == -in_it.get("overdraft", 0) == held[*beyond, "reserved"] + held[*beyond, "charged"]
        assert account.invoiced == in_it.get("invoice", 0)
        assert _taken(in_it) == (held[*beyond, "reserved"], held[*beyond, "charged"])
    _audit_units(session, everyone)


# The sign of each kind of entry; those of the overdraft have both.
SIGNS = {"book": 1, "renew": 1, "release": 1, "charge": 1, "invoice": 1, "reserve": -1, "expire": -1}


def _taken(entries: dict[str, int]) -> tuple[int, int]:
    """What the ledger says is reserved and charged."""
    charged = entries.get("charge", 0)
    return -sum(entries.get(kind, 0) for kind in ("reserve", "release", "overdraft", "charge")), charged


def _audit_units(session: Session, everyone: list[Any]) -> None:
    """Each recipient took one unit when it was accepted, and no more."""
    taken = session.scalars(select(Ledger.units).where(Ledger.kind.in_(["reserve", "overdraft"]), Ledger.units < 0))
    assert -sum(taken) == len(everyone)


def _audit_counters(session: Session, everyone: list[Any]) -> None:
    names = ("arrived", "delivered", "bounced", "deferred", "suppressed", "cancelled")
    sums = [func.coalesce(func.sum(getattr(Counter, name)), 0) for name in names]
    states = Tally(one.state for one in everyone)
    tried = sum(one.final_at is None and one.attempts > 0 for one in everyone)
    bounced = states["bounced"] + states["expired"]
    expected = (len(everyone), states["delivered"], bounced, tried, states["suppressed"], states["cancelled"])
    assert tuple(map(int, session.execute(select(*sums)).one())) == expected
    waiting = Tally(one.provider for one in everyone if one.final_at is None and one.attempts > 0)
    gauge = session.execute(select(Counter.provider, func.sum(Counter.deferred)).group_by(Counter.provider))
    assert {provider: int(number) for provider, number in gauge if number} == waiting


def _audit_events(session: Session, everyone: list[Any]) -> None:
    final = [e for e in session.scalars(select(events.Event)) if e.kind in FINAL]
    told = Tally((e.message_id, e.recipient, e.kind) for e in final)
    told -= Tally((e.message_id, e.recipient, tables.DELIVERED) for e in final if e.facts.get("late"))
    assert told == Tally((one.message_id, one.n, one.state) for one in everyone if one.final_at is not None)
