"""Late bounces, complaints and other news: they change what they are about once, and the books stay in order."""

from __future__ import annotations

import random
from collections import Counter as Tally
from email.message import EmailMessage
from typing import Any

import pytest
from sqlalchemy import func, select

from postmeter.message.bounce import classify
from postmeter.message.feedback import Feedback
from postmeter.message.statement import Statement
from postmeter.store import own_mail, suppressions
from postmeter.store.engine import Store
from postmeter.store.late import Late, News
from postmeter.store.rollup import RollUp
from postmeter.store.tables import BOUNCED, DEFERRED, DELIVERED, Counter, Event, Recipient
from support.postage import accept, add_worker, at_once, audit, funded, kinds, lease, recipients, rows, settle_all
from support.postage import submission as message
from support.tenants import NOW

LATER = NOW + 3_600
DAY = 86_400.0
GONE = Statement("failed", final="r0@example.net", code=550, status="5.1.1", diagnostic="550 5.1.1 User unknown")
HELD_UP = Statement("delayed", final="r0@example.net", status="4.4.1", diagnostic="connection refused")
late = Late(classify)


def complaint(*recipients: str, kind: str = "abuse") -> Feedback:
    return Feedback(kind, "192.0.2.1", "Thu, 26 Nov 2026 08:00:00 GMT", "Loop/1", (), (), recipients)


@pytest.fixture
def worker(store: Store) -> int:
    """A worker, and an account with a block of 1,000."""
    funded(store)
    return add_worker(store)


def sent(store: Store, worker: int, recipients: int = 1, state: str = DELIVERED, **more: Any) -> str:
    """The id of a message that has left."""
    made = message(recipients)
    accept(store, made)
    settle_all(store, lease(store, worker), worker, state, provider="example.net", **more)
    return made.id


def heard(store: Store, *news: News) -> list[int]:
    with store.write() as session:
        return late(session, news)


def figures(store: Store) -> dict[str, int]:
    """The sums of all counters."""
    with store.read() as session:
        names = ("arrived", "delivered", "bounced", "complained")
        sums = session.execute(select(*(func.sum(getattr(Counter, name)) for name in names))).one()
        return dict(zip(names, map(int, sums), strict=True))


def test_a_late_bounce_makes_bounced_what_was_delivered(store: Store, worker: int) -> None:
    identifier = sent(store, worker)
    assert heard(store, News(identifier, 0, LATER, (GONE,))) == [1]
    one = recipients(store)[0]
    assert (one.state, one.failure, one.reply, one.charge) == (
        BOUNCED, "hard.recipient", "550 5.1.1 User unknown", "charged"
    )  # fmt: skip
    assert figures(store) == {"arrived": 1, "delivered": 0, "bounced": 1, "complained": 0}
    event = next(event for event in rows(store, Event) if event.kind == BOUNCED)
    assert event.facts["late"] is True
    assert event.facts["class"] == "hard.recipient"
    audit(store)


def test_the_address_of_a_late_hard_bounce_is_suppressed(store: Store, worker: int) -> None:
    identifier = sent(store, worker)
    heard(store, News(identifier, 0, LATER, (GONE,)))
    with store.read() as session:
        found = suppressions.find(session, 1, "r0@example.net", LATER)
    assert found is not None
    assert (found.reason, found.message_id) == ("bounce", identifier)


@pytest.mark.parametrize("times", [1, 2])
def test_a_report_counts_once(store: Store, worker: int, times: int) -> None:
    identifier = sent(store, worker)
    news = News(identifier, 0, LATER, (GONE,))
    assert heard(store, *[news] * times) + heard(store, news) == [1] + [0] * times
    assert kinds(store).count(BOUNCED) == 1
    audit(store)


def test_two_workers_hear_it_at_once(store: Store, worker: int) -> None:
    identifier = sent(store, worker)
    at_once(lambda _: heard(store, News(identifier, 0, LATER, (GONE,))), 2)
    assert kinds(store).count(BOUNCED) == 1
    audit(store)


def test_addresses_only_choose_among_the_recipients_of_the_message(store: Store, worker: int) -> None:
    identifier = sent(store, worker, recipients=3)
    other = sent(store, worker)
    said = (
        Statement("failed", original="R1@EXAMPLE.net", final="elsewhere@example.org"),
        Statement("failed", final="stranger@example.org"),
        Statement("delivered", final="r2@example.net"),
    )
    assert heard(store, News(identifier, None, LATER, said)) == [1]
    states = {(one.message_id, one.n): one.state for one in recipients(store)}
    assert [n for (of, n), state in states.items() if state == BOUNCED and of == identifier] == [1]
    assert states[other, 0] == DELIVERED
    audit(store)


def test_a_return_path_of_one_recipient_is_about_that_one_whoever_is_named(store: Store, worker: int) -> None:
    identifier = sent(store, worker, recipients=2)
    forwarded = Statement("failed", final="private@freemail.example", code=550, status="5.1.1")
    assert heard(store, News(identifier, 1, LATER, (forwarded,))) == [1]
    assert [one.state for one in recipients(store)] == [DELIVERED, BOUNCED]


def test_of_several_statements_about_one_recipient_the_worst_counts(store: Store, worker: int) -> None:
    identifier = sent(store, worker)
    members = (Statement("delivered", final="a@x.example"), HELD_UP, Statement("failed", final="b@x.example"))
    assert heard(store, News(identifier, 0, LATER, members)) == [1]
    assert "delay_reported" not in kinds(store)


def test_a_single_recipient_needs_no_name(store: Store, worker: int) -> None:
    identifier = sent(store, worker)
    assert heard(store, News(identifier, None, LATER, (Statement("failed"),))) == [1]
    assert recipients(store)[0].reply == "The receiving side reported a failure and gave no reason"


def test_a_delay_is_only_told_and_once(store: Store, worker: int) -> None:
    identifier = sent(store, worker)
    assert heard(store, *[News(identifier, 0, LATER, (HELD_UP,))] * 2) == [0, 0]
    assert recipients(store)[0].state == DELIVERED
    assert kinds(store).count("delay_reported") == 1
    audit(store)


def test_what_still_waits_is_left_to_the_queue(store: Store, worker: int) -> None:
    identifier = sent(store, worker, state=DEFERRED, again=NOW + 300, in_doubt=True)
    assert heard(store, News(identifier, 0, LATER, (GONE,))) == [0]
    assert recipients(store)[0].state == DEFERRED
    assert kinds(store).count("failure_reported") == 1
    audit(store)


def test_of_a_message_that_nobody_knows_nothing_is_recorded(store: Store, worker: int) -> None:
    assert heard(store, News("0" * 26, None, LATER, (GONE,))) == [0]


def test_a_complaint_is_counted_once_and_suppresses_for_good(store: Store, worker: int) -> None:
    identifier = sent(store, worker)
    news = News(identifier, 0, LATER, feedback=complaint())
    assert heard(store, news, news) == [1, 0]
    one = recipients(store)[0]
    assert (one.state, one.complained_at) == (DELIVERED, LATER)
    assert figures(store)["complained"] == 1
    event = next(event for event in rows(store, Event) if event.kind == "complained")
    assert event.facts["feedback_type"] == "abuse"
    with store.read() as session:
        found = suppressions.find(session, 1, "r0@example.net", LATER + 1e9)
    assert found is not None
    assert found.reason == "complaint"
    audit(store)


def test_the_reporters_word_chooses_who_of_several_has_complained(store: Store, worker: int) -> None:
    identifier = sent(store, worker, recipients=2)
    heard(store, News(identifier, None, LATER, feedback=complaint("r1@example.net")))
    assert [one.complained_at for one in recipients(store)] == [None, LATER]


def test_a_complaint_of_nobody_knows_whom_is_counted_for_the_message(store: Store, worker: int) -> None:
    identifier = sent(store, worker, recipients=2)
    news = News(identifier, None, LATER, feedback=complaint())
    assert heard(store, news, news) == [1, 0]
    assert figures(store)["complained"] == 1
    with store.read() as session:
        assert suppressions.suppressions_of(session, 1, LATER) == []


@pytest.mark.parametrize("days", [0.1, 9, 40])
def test_no_part_of_the_past_falls_below_nothing(store: Store, worker: int, days: float) -> None:
    """Quarters of an hour have become hours or days by then, and the sums of each stay as they are."""
    identifier = sent(store, worker)
    rolled = RollUp()
    with store.write() as session:
        rolled(session, NOW + days * DAY)
    heard(store, News(identifier, 0, NOW + days * DAY, (GONE,)))
    with store.write() as session:
        rolled(session, NOW + days * DAY)
    with store.read() as session:
        found = session.scalars(select(Counter)).all()
    assert all(one.delivered >= 0 for one in found)
    assert sum(one.delivered for one in found) == 0
    audit(store)


def test_hostile_texts_are_kept_as_every_database_takes_them(store: Store, worker: int) -> None:
    identifier = sent(store, worker)
    said = Statement("failed", final="r0@example.net\0", diagnostic="550 \0 \udcff" + "x" * 9_000, remote="a\0b")
    assert heard(store, News(identifier, 0, LATER, (said,))) == [1]
    assert recipients(store)[0].reply.startswith(r"550 \x00 \udcffxxx")
    assert len(recipients(store)[0].reply) < 2_100


def test_what_is_under_way_must_be_told_again(store: Store, worker: int) -> None:
    """A server may write its bounce before our commit of its 250; heard too early it would be lost for ever."""
    accept(store, made := message(2))
    leases = lease(store, worker)
    news = News(made.id, 0, LATER, (GONE,))
    assert heard(store, news) == [None]
    with store.read() as session:
        assert set(session.scalars(select(Recipient.lease_owner))) == {worker}
    assert "failure_reported" not in kinds(store)
    settle_all(store, leases, worker, DELIVERED)
    assert heard(store, news) == [1]
    assert [one.state for one in recipients(store)] == [BOUNCED, DELIVERED]
    audit(store)


def test_who_complains_about_the_relays_own_mail_is_not_suppressed_for_all(store: Store, worker: int) -> None:
    with store.write() as session:
        identifier = own_mail.send(session, EmailMessage(), "joe@example.org", "mail.test", NOW)
    settle_all(store, lease(store, worker), worker, DELIVERED)
    assert heard(store, News(identifier, None, LATER, feedback=complaint("joe@example.org"))) == [1]
    with store.read() as session:
        assert suppressions.find(session, 1, "joe@example.org", LATER) is None


def test_news_in_any_order_do_not_deadlock(store: Store, worker: int) -> None:
    """Everybody writes the books of two accounts, and suppresses the same addresses."""
    funded(store, account=2)
    told = [(accept(store, made := message(3, account=a)), made.id)[1] for _ in range(6) for a in (1, 2)]
    settle_all(store, lease(store, worker), worker, DELIVERED)
    gone = [Statement("failed", final=f"r{n}@example.net", status="5.1.1", diagnostic="gone") for n in range(3)]

    def work(n: int) -> None:
        choose = random.Random(n)
        news = [News(identifier, None, LATER, tuple(choose.sample(gone, 3))) for identifier in told]
        choose.shuffle(news)
        for part in (news[:6], news[6:]):
            heard(store, *part)

    at_once(work, 4)
    assert figures(store)["bounced"] == kinds(store).count(BOUNCED) == 36
    audit(store)


def test_addresses_are_compared_once_each(store: Store, worker: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """While they are, nobody else can write."""
    identifier, compared = sent(store, worker, recipients=100), Tally[str]()
    monkeypatch.setattr(suppressions, "comparable", lambda address: compared.update([address]) or address)
    strangers = tuple(Statement("failed", original=f"a@x{n}.example") for n in range(100))
    assert heard(store, News(identifier, None, LATER, strangers)) == [0]
    assert compared.total() == 200
