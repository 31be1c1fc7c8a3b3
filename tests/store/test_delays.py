"""Who waits too long is told of: at each mark once, whoever looks, and while nobody holds the recipient."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy.event import listen

from postmeter.message.editing import date_time
from postmeter.message.envelope import Envelope, Recipient
from postmeter.store import orders, queue
from postmeter.store.delays import BATCH, Delays
from postmeter.store.engine import Store
from postmeter.store.lateness import MARKS, TOLD, first_mark, next_mark
from postmeter.store.notifications import Notifier
from postmeter.store.own_mail import OPERATOR
from postmeter.store.queue_filter import Filter
from postmeter.store.settle import settle
from postmeter.store.tables import CANCELLED, DEFERRED, DELIVERED, QUEUED, Event
from support.postage import (
    accept,
    add_worker,
    at_once,
    audit,
    explained,
    funded,
    later,
    lease,
    outcome,
    recipients,
    rows,
    settle_all,
    submission,
)
from support.tenants import NOW

MINUTE, HOUR = 60.0, 3600.0


@pytest.fixture
def worker(store: Store) -> int:
    """A worker, and an account with a block of 1,000."""
    funded(store)
    return add_worker(store)


def deferred(store: Store, worker: int, count: int = 1, at: float = NOW) -> None:
    """Recipients that were tried once, ``at``."""
    accept(store, submission(count))
    settle_all(store, lease(store, worker, at), worker, DEFERRED, at=at, again=at + 5 * HOUR, reply="451 4.7.1 later")


def tell(store: Store, now: float) -> int:
    with store.write() as session:
        [number] = Delays(Notifier("mail.test", "always", 86_400.0))(session, [now])
    return number


def told(store: Store) -> list[tuple[int | None, float, dict[str, Any]]]:
    return [(event.recipient, event.at, event.facts) for event in rows(store, Event) if event.kind == "delayed"]


def marks(store: Store) -> list[float | None]:
    return [row.warn_at for row in recipients(store)]


def test_a_recipient_that_waits_is_told_of_after_a_quarter_of_an_hour_and_after_four_hours(
    store: Store, worker: int
) -> None:
    deferred(store, worker)
    assert (tell(store, NOW + 899), told(store)) == (0, [])
    assert [tell(store, NOW + 905), tell(store, NOW + 915)] == [1, 0]
    facts = {"after": 905, "reply": "451 4.7.1 later", "attempts": 1, "next_attempt_at": NOW + 5 * HOUR}
    assert told(store) == [(0, NOW + 905, facts)]
    assert [tell(store, NOW + 4 * HOUR - 1), tell(store, NOW + 4 * HOUR), tell(store, NOW + 5 * HOUR)] == [0, 1, 0]
    assert [facts["after"] for _, _, facts in told(store)] == [905, 4 * HOUR]
    assert marks(store) == [TOLD]
    audit(store)


def test_who_looks_late_tells_of_both_marks_at_once(store: Store, worker: int) -> None:
    deferred(store, worker)
    assert [tell(store, NOW + 5 * HOUR), tell(store, NOW + 5 * HOUR)] == [1, 0]


def test_a_first_attempt_that_comes_late_is_told_of_at_once(store: Store, worker: int) -> None:
    deferred(store, worker, at=NOW + 20 * MINUTE)
    assert [tell(store, NOW + 20 * MINUTE), tell(store, NOW + 4 * HOUR)] == [1, 1]


def test_a_first_attempt_behind_both_marks_is_told_of_at_once_and_once(store: Store, worker: int) -> None:
    """The relay was down."""
    accept(store, replace(submission(), envelope=Envelope("a@shop.example", (Recipient("r@example.net", "DELAY"),))))
    [one] = lease(store, worker, NOW + 5 * HOUR)
    settle_all(store, [one], worker, DEFERRED, at=NOW + 5 * HOUR, again=NOW + 5 * HOUR + 60, reply="451 4.7.1 later")
    assert tell(store, NOW + 5 * HOUR) == 1
    settle_all(store, lease(store, worker, NOW + 5 * HOUR + 60), worker, DEFERRED, at=NOW + 5 * HOUR + 60)
    assert tell(store, NOW + 5 * HOUR + 120) == 0
    assert [(number, at) for number, at, _ in told(store)] == [(0, NOW + 5 * HOUR)]
    assert [row.account_id for row in recipients(store)].count(OPERATOR) == 1


def test_time_that_stands_still_begins_no_mark_anew(store: Store, worker: int) -> None:
    deferred(store, worker, at=NOW + 5 * HOUR)
    tell(store, NOW + 5 * HOUR)
    do(store, "hold", NOW + 5 * HOUR)
    do(store, "release", NOW + 6 * HOUR)
    assert (marks(store), tell(store, NOW + 11 * HOUR)) == ([TOLD], 0)


@pytest.mark.parametrize("state", [DELIVERED, "bounced", "expired"])
def test_what_has_ended_is_not_late_any_more(store: Store, worker: int, state: str) -> None:
    deferred(store, worker)
    settle_all(store, lease(store, worker, NOW + 6 * HOUR), worker, state, at=NOW + 600)
    assert (marks(store), tell(store, NOW + 900)) == ([None], 0)


def test_a_mark_stays_from_attempt_to_attempt_and_waits_for_one_that_is_under_way(store: Store, worker: int) -> None:
    deferred(store, worker)
    [under_way] = lease(store, worker, NOW + 6 * HOUR)
    assert under_way.recipients[0].warn_at == NOW + 900
    assert tell(store, NOW + 1000) == 0
    settle_all(store, [under_way], worker, DEFERRED, at=NOW + 1001, again=NOW + 2000)
    assert [tell(store, NOW + 1002), tell(store, NOW + 1003)] == [1, 0]


def test_what_is_put_off_without_an_attempt_is_told_of_as_well_and_not_again_and_again(
    store: Store, worker: int
) -> None:
    accept(store, submission())
    for at in (NOW, NOW + 4 * HOUR, NOW + 5 * HOUR):
        [one] = lease(store, worker, at)
        put_off = later(outcome(one, one.recipients[0], worker, QUEUED, at=at, transmitted=False), attempted=False)
        with store.write() as session:
            assert settle(session, [put_off]) == [True]
        assert tell(store, at + 900) == (0 if at > NOW + 4 * HOUR else 1)
    assert [facts["attempts"] for _, _, facts in told(store)] == [0, 0]


def test_time_stands_still_for_what_is_held(store: Store, worker: int) -> None:
    deferred(store, worker)
    do(store, "hold", NOW + 600)
    assert tell(store, NOW + HOUR) == 0
    do(store, "release", NOW + HOUR)
    assert marks(store) == [NOW + HOUR + 300]
    assert [tell(store, NOW + HOUR + 299), tell(store, NOW + HOUR + 300)] == [0, 1]
    assert told(store)[0][2]["after"] == 900
    do(store, "cancel", NOW + 2 * HOUR)
    assert [row.state for row in recipients(store)] == [CANCELLED]
    assert marks(store) == [None]


def do(store: Store, verb: str, now: float) -> None:
    """Carry a verb out on all that waits."""
    with store.write() as session:
        counted = orders.matching(session, verb, Filter.parse("all"), now)
        orders.place(session, verb, Filter.parse("all"), counted.count, counted.upto, now, "operator")
        while (batch := orders.next_batch(session, now)) is not None:
            orders.carry_out(session, [(batch, now)])


def test_much_that_is_late_is_told_of_in_batches(store: Store, worker: int) -> None:
    for _ in range(6):
        deferred(store, worker, 100)
    assert [tell(store, NOW + 1000) for _ in range(3)] == [BATCH, 600 - BATCH, 0]
    assert len(told(store)) == 600


def test_workers_that_look_at_once_tell_of_each_recipient_once(store: Store, store_url: str, worker: int) -> None:
    for _ in range(4):
        deferred(store, worker, 50)

    def work(_n: int) -> None:
        own = Store.open(store_url)
        try:
            for _ in range(3):
                tell(own, NOW + 1000)
        finally:
            own.close()

    at_once(work, 4)
    assert len(told(store)) == 200
    assert set(marks(store)) == {NOW + 4 * HOUR}


def test_the_sender_who_asked_for_it_is_told_once_and_the_others_are_not(store: Store, worker: int) -> None:
    paths = tuple(Recipient(f"r{n}@example.net", notify) for n, notify in enumerate(("DELAY", "", "NEVER", "FAILURE")))
    asked = replace(submission(), envelope=Envelope("bounce@shop.example", paths), lifetime=7200)
    accept(store, asked)
    settle_all(store, lease(store, worker), worker, DEFERRED, again=NOW + 5 * HOUR, reply="451 4.7.1 later")
    assert [tell(store, NOW + 900), tell(store, NOW + 4 * HOUR)] == [4, 4]
    [notification] = [row for row in recipients(store) if row.account_id == OPERATOR]
    with store.read() as session:
        content = queue.content(session, OPERATOR, notification.message_id).decode()
    assert "Subject: Your mail is late\r\n" in content
    assert "Action: delayed\r\nStatus: 4.7.1\r\n" in content
    assert "r1@example.net" not in content
    assert f"Will-Retry-Until: {date_time(int(NOW) + 7200)}\r\n" in content
    told_of = [event for event in rows(store, Event) if event.kind == "notification_sent"]
    assert [(event.recipient, event.facts["actions"]) for event in told_of] == [(0, ["delayed"])]


def test_what_is_late_is_found_by_its_index(store: Store) -> None:
    plans: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_more: Any) -> None:
        if "warn_at" in statement:
            plans.append(explained(store, statement, parameters))

    listen(store.engine, "before_cursor_execute", note)
    tell(store, NOW)
    assert ["ix_recipient_warn_at" in plan for plan in plans] == [True]


def test_the_marks_follow_each_other() -> None:
    assert first_mark(0) == 900
    assert (next_mark(0, 0), next_mark(0, 900), next_mark(0, MARKS[-1])) == (900, MARKS[-1], TOLD)
