"""What is told of a message and of the queue."""

from __future__ import annotations

from typing import Any

from postmeter.store import events
from postmeter.store.engine import Store
from postmeter.store.tables import DEFERRED, DELIVERED, HELD, LEASED, QUEUED
from postmeter.store.timeline import message_facts, queue_facts
from support.stored import add_message
from support.tenants import NOW

ID = "01ARZ3NDEKTSV4RRFFQ69G5FAV"


def event(kind: str, recipient: int | None, at: float, facts: dict[str, Any]) -> dict[str, Any]:
    return events.about_recipient(7, ID, recipient, kind, at, facts)


def test_a_message_is_told_with_its_recipients_and_its_timeline(store: Store) -> None:
    with store.write() as session:
        add_message(session, ID, 7, [(DELIVERED, "250 ok"), (DEFERRED, "451 later")])
        events.record(
            session,
            [
                event("deferred", 1, NOW + 6, {"reply": "451 later"}),
                event("accepted", None, NOW, {"size": 1234}),
                event("delivered", 0, NOW + 5, {}),
            ],
        )
        events.record(session, [events.about_account(7, "quota_low", NOW, {"left": 1})])
    with store.read() as session:
        facts = message_facts(session, ID)
    assert facts is not None
    assert (facts.subject, facts.size, facts.sha256, facts.account_id) == ("Your order", 1234, "00" * 32, 7)
    assert [(e.kind, e.recipient, e.at) for e in facts.events] == [
        ("accepted", None, NOW),
        ("delivered", 0, NOW + 5),
        ("deferred", 1, NOW + 6),
    ]
    first, second = facts.recipients
    assert (first.state, first.final_at, first.next_attempt_at) == (DELIVERED, NOW + 5, None)
    assert (second.state, second.final_at, second.next_attempt_at) == (DEFERRED, None, NOW + 99)


def test_an_account_does_not_see_the_messages_of_another(store: Store) -> None:
    with store.write() as session:
        add_message(session, ID, 7, [(QUEUED, "")])
        assert message_facts(session, ID, 7) is not None
        assert message_facts(session, ID, 8) is None
        assert queue_facts(session, 8).total == 0


def test_there_is_nothing_to_tell_of_an_unknown_message(store: Store) -> None:
    with store.read() as session:
        assert message_facts(session, "01ARZ3NDEKTSV4RRFFQ69G5FAX") is None


def test_the_queue_is_what_is_not_final_and_why_it_waits(store: Store) -> None:
    with store.write() as session:
        add_message(
            session,
            ID,
            7,
            [(DEFERRED, "451 later"), (DELIVERED, "250 ok"), (DEFERRED, "451 later"), (LEASED, ""), (HELD, "")],
        )
        add_message(session, ID[:-1] + "X", 8, [(QUEUED, "")])
        facts = queue_facts(session)
    assert facts.total == 5
    assert facts.states == {QUEUED: 1, LEASED: 1, DEFERRED: 2, HELD: 1}
    assert (facts.reasons[0].recipients, facts.reasons[0].reply) == (2, "451 later")
    assert [(w.message_id == ID, w.n) for w in facts.waiting] == [
        (True, 4),
        (True, 3),
        (True, 2),
        (True, 0),
        (False, 0),
    ]


def test_the_list_is_cut_and_the_numbers_are_not(store: Store) -> None:
    with store.write() as session:
        add_message(session, ID, 7, [(QUEUED, ""), (QUEUED, ""), (DEFERRED, "451 later")])
        facts = queue_facts(session, 7, limit=1)
    assert (facts.total, len(facts.waiting), len(facts.reasons)) == (3, 1, 1)
