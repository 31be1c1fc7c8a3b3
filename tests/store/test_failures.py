"""What failures lead to, from the reply to the tables: who is suppressed and for how long, and who hears of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from postmeter.delivery.outcome import Judge
from postmeter.message.bounce import Classifier, classify
from postmeter.smtp.mail import Outcome, Stage
from postmeter.smtp.reply import Reply
from postmeter.store import failures, suppressions, tables
from postmeter.store.engine import Store
from postmeter.store.events import Fact, Position, after
from postmeter.store.failures import Failed, suppress_for_failures
from postmeter.store.queue_filter import Filter
from postmeter.store.recipient_tables import DomainRefusal, Strike
from postmeter.store.settle import settle
from postmeter.store.suppressions import BOUNCE, COMPLAINT, EVERY_ACCOUNT, MANUAL, Suppression, suppress
from postmeter.store.tables import BOUNCED, DEFERRED, DELIVERED, EXPIRED
from postmeter.store.waiting import overview
from support.postage import (
    accept,
    add_account,
    add_block,
    add_worker,
    at_once,
    audit,
    later,
    lease,
    outcome,
    recipients,
    rows,
    submission,
)
from support.tenants import NOW

DAY = 86_400.0
JOE = "r0@example.net"
GONE = Reply(550, "5.1.1", "User unknown")
FULL = Reply(552, "5.2.2", "Mailbox full")
UNBELIEVED = Reply(550, "5.7.26", "shop.example is unauthenticated")
MESSAGE = "01M845D52EFTKSJPV36DHCW3RR"


@pytest.fixture
def worker(store: Store) -> int:
    """A worker, and an account with a block that lasts."""
    with store.write() as session:
        add_account(session)
        add_block(session, 1, 1000, NOW + 1e9)
    return add_worker(store, NOW + 1e9)


def tried(
    store: Store,
    worker: int,
    reply: Reply,
    stage: Stage = "rcpt",
    *,
    at: float = NOW,
    since: float = 0.0,
    failing: float | None = None,
    **judge: Any,
) -> tables.Recipient:
    """A message that was accepted ``since`` seconds ago, after an attempt that ended so.

    ``failing``: seconds since the first attempt that ended like that.
    """
    message = submission(at=at - since)
    accept(store, message)
    [leased] = [one for one in lease(store, worker, at) if one.message.id == message.id]
    [recipient] = leased.recipients
    if failing is not None:
        recipient = replace(recipient, failing_since=at - failing)
    judged = Judge(worker, 4 * DAY, **judge).settlement(
        leased.message, recipient, Outcome(0, reply, stage), at, 0.5, {"provider": "Google"}
    )
    with store.write() as session:
        assert settle(session, [judged]) == [True]
    audit(store)
    return recipients(store)[-1]  # type: ignore[no-any-return]


def told(store: Store, *wanted: str) -> list[Fact]:
    with store.read() as session:
        return after(session, Position(-1, 0), 100, wanted)


def suppressed(store: Store, now: float = NOW, account: int = 1) -> list[Suppression]:
    with store.read() as session:
        return suppressions.suppressions_of(session, account, now)


def test_who_does_not_exist_bounces_at_once_and_is_not_tried_for_a_month(store: Store, worker: int) -> None:
    one = tried(store, worker, GONE)
    assert (one.state, one.failure, one.charge, one.attempts) == (BOUNCED, "hard.recipient", "charged", 1)
    [bounced] = told(store, "bounced")
    assert (bounced.facts["class"], bounced.facts["rule"]) == ("hard.recipient", "hard-recipient-for-certain")
    said = "550 5.1.1 User unknown"
    assert suppressed(store) == [Suppression(1, JOE, BOUNCE, said, one.message_id, NOW, NOW + 30 * DAY)]
    [event] = told(store, "address_suppressed")
    assert (event.account_id, event.message_id, event.facts["address"]) == (1, one.message_id, JOE)
    assert suppressed(store, NOW + 30 * DAY) == []


def test_after_that_month_it_is_tried_once_more(store: Store, worker: int) -> None:
    tried(store, worker, GONE)
    again = tried(store, worker, GONE, at=NOW + 31 * DAY)
    assert again.state == BOUNCED
    assert [one.expires_at for one in suppressed(store, NOW + 32 * DAY)] == [NOW + 61 * DAY]
    assert len(told(store, "address_suppressed")) == 2


def test_a_banner_that_refuses_us_is_nobodys_fault(store: Store, worker: int) -> None:
    one = tried(store, worker, Reply(554, "", "IP=192.0.2.7 - A problem occurred. (BL)"), "banner")
    assert (one.state, one.failure, one.charge) == (DEFERRED, "block.ip", "reserved")
    late = tried(store, worker, Reply(554, "", "IP=192.0.2.7 - A problem occurred. (BL)"), "banner", since=4 * DAY)
    assert (late.state, late.failure, late.charge) == (EXPIRED, "block.ip", "released")
    assert suppressed(store) == []


def test_a_full_mailbox_is_tried_for_a_day_and_suppressed_when_that_happens_three_times_in_a_week(
    store: Store, worker: int
) -> None:
    assert tried(store, worker, FULL).state == DEFERRED
    assert tried(store, worker, FULL, since=2 * DAY).state == DEFERRED  # since when it waits says nothing about it
    assert tried(store, worker, Reply(452, "4.2.2", "Over quota")).failure == "full"
    states = []
    for n in range(3):
        assert suppressed(store, NOW + n * DAY) == []
        states.append(tried(store, worker, FULL, at=NOW + n * DAY, since=DAY, failing=DAY).state)
    assert states == [BOUNCED] * 3
    [one] = suppressed(store, NOW + 2 * DAY)
    assert (one.address, one.reason, one.expires_at) == (JOE, BOUNCE, NOW + 9 * DAY)
    assert rows(store, Strike) == []


def test_a_mailbox_that_is_full_now_and_then_is_not_suppressed(store: Store, worker: int) -> None:
    for n in range(6):
        tried(store, worker, FULL, at=NOW + n * 4 * DAY, since=DAY, failing=DAY)
    assert suppressed(store, NOW + 20 * DAY) == []
    with store.write() as session:
        assert failures.forget(session, NOW + 20 * DAY) == 4
    assert [strike.at for strike in rows(store, Strike)] == [NOW + 16 * DAY, NOW + 20 * DAY]


@pytest.mark.parametrize(
    ("reply", "stage", "failure", "state"),
    [
        (Reply(552, "5.3.4", "too large"), "mail", "size", BOUNCED),
        (UNBELIEVED, "content", "policy.auth", BOUNCED),
        (Reply(554, "5.7.1", "Client host blocked using zen.spamhaus.org"), "rcpt", "block.ip", DEFERRED),
        (Reply(550, "5.1.1", "user unknown"), "mail", "block.ip", DEFERRED),
        (Reply(421, "4.7.0", "[TSS04] temporarily deferred"), "mail", "rate", DEFERRED),
        (Reply(450, "4.7.1", "Greylisted"), "rcpt", "greylist", DEFERRED),
        (Reply(554, "5.7.1", "This is spam"), "content", "content", BOUNCED),
        (Reply(550, "5.7.1", "Not allowed"), "rcpt", "policy.refused", BOUNCED),
        (Reply(500, "5.5.1", "What?"), "rcpt", "protocol", BOUNCED),
        (Reply(451, "4.4.2", "Connection lost"), "content", "net", DEFERRED),
        (Reply(550, "", "No"), "rcpt", "unclassified.permanent", BOUNCED),
        (Reply(450, "4.1.1", "user unknown"), "rcpt", "server", DEFERRED),
    ],
)
def test_only_a_recipients_own_fault_suppresses_it(
    store: Store, worker: int, reply: Reply, stage: Stage, failure: str, state: str
) -> None:
    one = tried(store, worker, reply, stage)
    assert (one.failure, one.state) == (failure, state)
    assert suppressed(store) == []


def test_a_domain_that_takes_no_mail_is_suppressed_for_a_week(store: Store, worker: int) -> None:
    tried(store, worker, Reply(556, "5.1.10", "null MX"), "route")
    assert [one.expires_at for one in suppressed(store)] == [NOW + 7 * DAY]


@pytest.mark.parametrize("reason", [MANUAL, COMPLAINT])
@pytest.mark.parametrize("until", [None, NOW + DAY, NOW + 90 * DAY])
def test_what_a_person_or_a_complaint_has_suppressed_stays_as_it_is(
    store: Store, worker: int, reason: str, until: float | None
) -> None:
    with store.write() as session:
        made = suppress(session, 1, JOE, reason, NOW - 1, expires_at=until)
    tried(store, worker, GONE)
    assert suppressed(store) == [made]
    assert len(told(store, "address_suppressed")) == 1


def test_several_mails_to_nobody_in_one_commit_suppress_it_once(store: Store, worker: int) -> None:
    accept(store, *(submission() for _ in range(3)))
    judge, outcome = Judge(worker, DAY), Outcome(0, GONE, "rcpt")
    made = [judge.settlement(one.message, one.recipients[0], outcome, NOW, 0.5, {}) for one in lease(store, worker)]
    with store.write() as session:
        assert settle(session, made) == [True] * 3
    assert len(suppressed(store)) == len(told(store, "address_suppressed")) == 1
    audit(store)


def test_the_setting_decides_for_how_long_and_whether_at_all(store: Store, worker: int) -> None:
    tried(store, worker, GONE, classify=Classifier(longest=0.0).classify)
    assert suppressed(store) == []
    tried(store, worker, GONE, classify=Classifier(longest=DAY).classify)
    assert [one.expires_at for one in suppressed(store)] == [NOW + DAY]


def test_the_relays_own_mail_and_what_is_no_address_suppress_nobody(store: Store) -> None:
    with store.write() as session:
        gone = classify("rcpt", 550, "5.1.1", "")
        for account, address, suppressed_now in (
            (EVERY_ACCOUNT, JOE, 0),
            (1, "postmaster", 0),
            (1, "Joe@EXAMPLE.net", 1),
            (1, "joe@example.net", 0),
        ):
            failed = Failed(account, address, gone, "550 no", MESSAGE, NOW)
            assert suppress_for_failures(session, [failed]) == suppressed_now
    assert [one.address for one in suppressed(store)] == ["joe@example.net"]


def test_a_report_that_comes_later_counts_as_a_reply_does(store: Store) -> None:
    with store.write() as session:
        later_on = classify("report", 0, "5.1.1", "mailbox closed")
        failed = Failed(1, JOE, later_on, "5.1.1 mailbox closed", MESSAGE, NOW)
        assert suppress_for_failures(session, [failed]) == 1


def test_the_class_of_the_last_refusal_stays_until_the_mail_is_delivered(store: Store, worker: int) -> None:
    classes = [tried(store, worker, FULL).failure]
    for state, attempted in ((DEFERRED, False), (DELIVERED, True)):
        [leased] = lease(store, worker, NOW + DAY)
        made = outcome(leased, leased.recipients[0], worker, state, NOW + DAY)
        with store.write() as session:
            settle(session, [later(made, attempted=attempted)])
        classes.append(recipients(store)[0].failure)
    assert classes == ["full", "full", ""]


def test_the_queue_is_filtered_by_class(store: Store, worker: int) -> None:
    for reply in (FULL, Reply(450, "4.7.1", "Greylisted"), GONE):
        tried(store, worker, reply)
    with store.read() as session:
        found = {name: overview(session, Filter.parse(f"class:{name}")).total for name in ("full", "hard.recipient")}
    assert found == {"full": 1, "hard.recipient": 0}


# Domains that are not believed


def test_the_owner_hears_once_a_day_of_each_provider_that_does_not_believe_a_domain(store: Store, worker: int) -> None:
    one = tried(store, worker, UNBELIEVED, "content")
    assert (one.state, one.failure) == (BOUNCED, "policy.auth")
    tried(store, worker, Reply(421, "4.7.26", "unauthenticated"), "content", at=NOW + 60)
    tried(store, worker, UNBELIEVED, "content", at=NOW + DAY)
    first, second = told(store, "domain_refused")
    assert (first.account_id, first.message_id, first.at, second.at) == (1, None, NOW, NOW + DAY)
    assert first.facts == {
        "domain": "shop.example",
        "provider": "Google",
        "reply": "550 5.7.26 shop.example is unauthenticated",
        "message": one.message_id,
    }
    assert suppressed(store) == []
    with store.write() as session:
        assert failures.forget(session, NOW + 2 * DAY) == 1
    assert len(rows(store, DomainRefusal)) == 1


def test_nobody_is_told_of_the_operators_own_domain(store: Store) -> None:
    with store.write() as session:
        refusal = failures.Refusal(EVERY_ACCOUNT, "relay.example", "Google", "550 5.7.26 no", MESSAGE, NOW)
        assert failures.tell_of_refusals(session, [refusal]) == 0


def test_workers_that_settle_the_same_addresses_at_once_wait_for_each_other_in_order(store: Store) -> None:
    def work(n: int) -> None:
        addresses = [f"r{i}@example.net" for i in range(50)]
        with store.write() as session:
            settle_failed(session, addresses if n % 2 else addresses[::-1], f"{n:026d}")

    at_once(work, 4)
    assert len(suppressed(store, NOW + 2)) == 50
    assert len(told(store, "address_suppressed")) == 50
    assert len(told(store, "domain_refused")) == 6


def settle_failed(session: Any, addresses: list[str], message: str) -> None:
    gone = classify("rcpt", 550, "5.1.1", "")
    failures.tell_of_refusals(session, [failures.Refusal(1, one, "", "550", message, NOW) for one in addresses[:3]])
    suppress_for_failures(session, [Failed(1, one, gone, "550", message, NOW) for one in addresses])
