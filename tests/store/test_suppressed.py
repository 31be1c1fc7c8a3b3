"""Suppressed recipients: accepted to be shown and not sent, or found out when a worker picks them; the books agree."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select

from postmeter.config import Demo
from postmeter.delivery.outcome import Judge
from postmeter.store.accept import Acceptance, Accepted, Submission
from postmeter.store.engine import Store
from postmeter.store.picking import Picking
from postmeter.store.queue import Leased
from postmeter.store.quota_tables import Block
from postmeter.store.settle import settle
from postmeter.store.suppressions import BOUNCE, COMPLAINT, EVERY_ACCOUNT, MANUAL, suppress
from postmeter.store.tables import DEFERRED, LEASED, QUEUED, SUPPRESSED, Content, Counter, Event, Message
from support.postage import (
    accept,
    add_worker,
    audit,
    funded,
    kinds,
    lease,
    recipients,
    rows,
    settle_all,
    submission,
    wish,
)
from support.tenants import NOW

BY_COMPLAINT = (
    "550 5.7.1 This address was suppressed on 2027-01-15, because its owner complained about mail; "
    "you in the panel, or the relay's operator, can take it off the list again"
)


@pytest.fixture
def worker(store: Store) -> int:
    """A worker, and an account with a block of 1,000."""
    funded(store)
    return add_worker(store)


def put(store: Store, address: str, account: int = 1, reason: str = COMPLAINT, **more: Any) -> None:
    with store.write() as session:
        suppress(session, account, address, reason, NOW, **more)


def asking(count: int = 3, **more: Any) -> Submission:
    """A message of an account that is known to have suppressions."""
    return replace(submission(count, **more), suppressions=True)


def keep(store: Store, *submissions: Submission, **more: Any) -> list[Any]:
    return accept(store, *submissions, keep_suppressed=True, **more)


def states(store: Store) -> list[str]:
    return [one.state for one in recipients(store)]


def counted(store: Store, name: str) -> int:
    return sum(getattr(row, name) for row in rows(store, Counter))


def events(store: Store, kind: str) -> list[tuple[int | None, dict[str, Any]]]:
    with store.read() as session:
        query = select(Event.recipient, Event.facts).where(Event.kind == kind).order_by(Event.id)
        return [(number, facts) for number, facts in session.execute(query)]


# At the acceptance


def test_a_suppressed_recipient_is_accepted_shown_and_neither_sent_nor_paid(store: Store, worker: int) -> None:
    put(store, "R1@Example.net")
    [block] = rows(store, Block)
    [answer] = keep(store, asking(worker=worker))
    assert answer == Accepted((block.id, block.id), (), {1: BY_COMPLAINT})
    assert (list(answer.paid), answer.at_once) == ([0, 2], 2)
    assert states(store) == [LEASED, SUPPRESSED, LEASED]
    kept = recipients(store)[1]
    assert (kept.reply, kept.final_at, kept.charge, kept.block_id) == (BY_COMPLAINT, NOW, "free", None)
    assert events(store, SUPPRESSED) == [(1, {"reply": BY_COMPLAINT})]
    assert (counted(store, "arrived"), counted(store, "suppressed")) == (3, 1)
    assert [block.reserved for block in rows(store, Block)] == [2]
    audit(store)


def test_when_all_are_suppressed_the_message_is_kept_without_its_content(store: Store, worker: int) -> None:
    put(store, "r0@example.net")
    put(store, "r1@example.net", EVERY_ACCOUNT, MANUAL)
    [answer] = keep(store, asking(2, worker=worker))
    assert (answer.block_ids, list(answer.paid), len(answer.suppressed)) == ((), [], 2)
    assert "only the relay's operator can" in answer.suppressed[1]
    assert (rows(store, Content), len(rows(store, Message))) == ([], 1)
    assert lease(store, worker) == []
    assert [block.left for block in rows(store, Block)] == [1_000]
    audit(store)


def test_they_need_no_quota_and_no_slot_of_the_hourly_limit(store: Store) -> None:
    funded(store, 1, paid_since=None)
    put(store, "r0@example.net")
    [answer] = keep(store, asking(2), demo=Demo(per_hour=1), policy="never")
    assert isinstance(answer, Accepted)
    assert (len(answer.block_ids), answer.waits, list(answer.suppressed)) == (1, (), [0])
    put(store, "r1@example.net")
    refusing = Demo(per_hour=1, on_excess="refuse")
    assert isinstance(keep(store, asking(2), demo=refusing, policy="never")[0], Accepted)
    assert not isinstance(keep(store, asking(3), demo=refusing, policy="never")[0], Accepted)
    audit(store)


def test_after_a_lost_answer_the_same_is_said(store: Store, worker: int) -> None:
    put(store, "r0@example.net")
    one = asking(worker=worker)
    [answer] = keep(store, one)
    with store.read() as session:
        assert Acceptance().confirm(session, [one]) == [answer]


def test_nobody_is_looked_up_where_they_are_refused_or_there_are_none(store: Store, worker: int) -> None:
    put(store, "r0@example.net")
    accept(store, asking(1))
    keep(store, submission(1))
    assert states(store) == [QUEUED, QUEUED]
    audit(store)


# At the pick


def pick(store: Store, worker: int, now: float = NOW) -> list[Leased]:
    with store.write() as session:
        return list(Picking()(session, [wish(worker, now, 100)])[0].leases)


def end(store: Store, leases: list[Leased], worker: int) -> list[bool]:
    """What a scheduler makes of those that are marked."""
    judge = Judge(worker, 86_400.0)
    made = [judge.suppressed(leased.message, one, NOW + 9) for leased in leases for one in leased.recipients]
    with store.write() as session:
        return settle(session, made)


@pytest.mark.parametrize("tried", [False, True])
def test_what_was_suppressed_while_it_waited_ends_at_the_pick(store: Store, worker: int, tried: bool) -> None:
    accept(store, submission(3))
    if tried:
        settle_all(store, lease(store, worker), worker, DEFERRED, again=NOW + 5, provider="Google")
    put(store, "R0@example.NET")
    put(store, "r1@example.net", EVERY_ACCOUNT, MANUAL)
    put(store, "r2@example.net", 2)
    put(store, "r2@example.net", expires_at=NOW + 5)
    [leased] = pick(store, worker, NOW + 5)
    first, second, third = leased.recipients
    assert (first.suppressed, third.suppressed) == (BY_COMPLAINT, "")
    assert "by hand; only the relay's operator can" in second.suppressed
    assert end(store, [replace(leased, recipients=(first, second))], worker) == [True, True]
    assert states(store) == [SUPPRESSED, SUPPRESSED, LEASED]
    assert events(store, SUPPRESSED)[0] == (0, {"reply": BY_COMPLAINT})
    assert [one.charge for one in recipients(store)[:2]] == ["charged" if tried else "released"] * 2
    assert (counted(store, "suppressed"), counted(store, "deferred")) == (2, int(tried))
    settle_all(store, [replace(leased, recipients=(third,))], worker, DEFERRED, again=NOW + 99)
    audit(store)


def test_the_content_goes_with_the_last_one(store: Store, worker: int) -> None:
    accept(store, submission())
    put(store, "r0@example.net", reason=BOUNCE)
    assert end(store, pick(store, worker), worker) == [True]
    assert rows(store, Content) == []
    assert kinds(store)[-1] == SUPPRESSED
    audit(store)


def test_a_pick_whose_answer_was_lost_is_marked_as_well(store: Store, worker: int) -> None:
    accept(store, submission())
    put(store, "r0@example.net")
    lease(store, worker)
    with store.read() as session:
        [found] = Picking().confirm(session, [wish(worker, NOW, 100)])
    assert found is not None
    [leased] = found.leases
    assert leased.recipients[0].suppressed == BY_COMPLAINT


def test_who_lost_the_lease_has_no_say(store: Store, worker: int) -> None:
    accept(store, submission())
    put(store, "r0@example.net")
    picked = pick(store, worker)
    assert end(store, picked, worker + 1) == [False]
    assert states(store) == [LEASED]
