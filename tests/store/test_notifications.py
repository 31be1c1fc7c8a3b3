"""Who is owed a notification gets one, in the commit of what it tells, and never because of another one."""

from __future__ import annotations

import email
from collections.abc import Iterable
from dataclasses import replace
from email import policy
from typing import Any

import pytest

from postmeter.config import Delivery, Server, Settings
from postmeter.message.bounce import classify
from postmeter.message.envelope import Envelope, Recipient
from postmeter.message.statement import Statement
from postmeter.store import notifications, orders, queue
from postmeter.store.accept import Acceptance, Submission
from postmeter.store.engine import Store
from postmeter.store.late import Late, News
from postmeter.store.notifications import MOST_PER_HOUR, MOST_RETURNED, Accepting, Notifier, Settling
from postmeter.store.orders import CarryingOut
from postmeter.store.own_mail import OPERATOR
from postmeter.store.queue import Leased
from postmeter.store.queue_filter import Filter
from postmeter.store.settle import LeaseLost
from postmeter.store.statistics import totals
from postmeter.store.suppressions import MANUAL, suppress
from postmeter.store.tables import BOUNCED, DEFERRED, DELIVERED, EXPIRED, SUPPRESSED, Content, Event, Message
from support.postage import (
    CONTENT,
    accept,
    add_worker,
    at_once,
    audit,
    funded,
    later,
    lease,
    outcome,
    recipients,
    rows,
    submission,
)
from support.tenants import NOW

NEVER = "550 5.1.1 No such user"
SENDER = "bounce@shop.example"


@pytest.fixture
def worker(store: Store) -> int:
    """A worker, and an account with a block of 1,000."""
    funded(store)
    return add_worker(store)


def asking(*notify: str, content: bytes = CONTENT, reverse_path: str = SENDER, **envelope: Any) -> Submission:
    """A message with a recipient for each NOTIFY."""
    paths = tuple(Recipient(f"r{n}@example.net", one) for n, one in enumerate(notify))
    return replace(submission(blocks=[content]), envelope=Envelope(reverse_path, paths, **envelope))


def leased(store: Store, worker: int, *messages: Submission) -> list[Leased]:
    accept(store, *messages)
    return lease(store, worker)


def settled(
    store: Store, worker: int, leases: Iterable[Leased], state: str, when: str = "always", **more: Any
) -> list[bool]:
    facts = {"stage": "rcpt", **more.pop("facts", {})}
    made = [
        later(made, facts={**made.facts, **facts})
        for one in leases
        for recipient in one.recipients
        for made in [outcome(one, recipient, worker, state, **{"reply": NEVER, **more})]
    ]
    with store.write() as session:
        return Settling(Notifier("mail.test", when, 86_400.0))(session, made)


def notified(store: Store) -> list[Any]:
    """The notifications that wait to be sent."""
    with store.read() as session:
        identifiers = [one.message_id for one in recipients(store) if one.account_id == OPERATOR]
        contents = [queue.content(session, OPERATOR, identifier) for identifier in identifiers]
    return [email.message_from_bytes(content, policy=policy.default) for content in contents]


def said(mail: Any) -> list[tuple[str, str, str]]:
    """Recipient, action and status in a notification."""
    groups = mail.get_payload(1).get_payload()[1:]
    return [(group["Final-Recipient"], group["Action"], group["Status"]) for group in groups]


def told(store: Store) -> list[tuple[int | None, dict[str, Any]]]:
    return [(event.recipient, event.facts) for event in rows(store, Event) if event.kind == "notification_sent"]


def test_what_must_not_leave_in_clear_does_not_come_back_in_clear(store: Store, worker: int) -> None:
    strict = replace(asking("", ret="FULL"), tls_required=True)
    settled(store, worker, leased(store, worker, strict), BOUNCED)
    assert [(row.account_id, row.tls_required) for row in rows(store, Message)] == [(1, True), (OPERATOR, True)]


@pytest.mark.parametrize("state", [BOUNCED, EXPIRED])
def test_who_sent_what_has_failed_gets_a_mail_about_it(store: Store, worker: int, state: str) -> None:
    [one] = leased(store, worker, asking(""))
    assert settled(store, worker, [one], state) == [True]
    [mail] = notified(store)
    assert said(mail) == [("rfc822; r0@example.net", "failed", "5.1.1")]
    assert (mail["To"], mail["Subject"]) == (SENDER, "Your mail could not be delivered")
    assert mail.get_payload(2)["Subject"] is None
    assert mail.get_payload(2).get_payload().strip() == "Subject: hello"
    [of_mail] = [row for row in recipients(store) if row.account_id == OPERATOR]
    assert (of_mail.forward_path, of_mail.notify, of_mail.charge, of_mail.priority) == (SENDER, "NEVER", "free", 2)
    assert told(store) == [(0, {"notification": of_mail.message_id, "to": SENDER, "actions": ["failed"]})]
    assert of_mail.message_id == mail["Message-ID"][1:27]
    with store.read() as session:
        assert totals(session, 1).bounced == totals(session, 1).arrived == 1
    assert [row.message_id for row in rows(store, Content)] == [of_mail.message_id]
    audit(store)


@pytest.mark.parametrize(
    ("when", "notify", "state", "dsn", "mails"),
    [
        ("always", "", BOUNCED, False, 1),
        ("always", "FAILURE", BOUNCED, False, 1),
        ("always", "SUCCESS,FAILURE", EXPIRED, False, 1),
        ("always", "NEVER", BOUNCED, False, 0),
        ("always", "SUCCESS,DELAY", BOUNCED, False, 0),
        ("always", "", DELIVERED, False, 0),
        ("always", "FAILURE", DELIVERED, False, 0),
        ("always", "SUCCESS", DELIVERED, False, 1),
        ("always", "SUCCESS", DELIVERED, True, 0),
        ("always", "SUCCESS", DEFERRED, False, 0),
        ("requested", "", BOUNCED, False, 0),
        ("requested", "FAILURE", BOUNCED, False, 1),
        ("requested", "SUCCESS", DELIVERED, False, 1),
        ("never", "SUCCESS,FAILURE", BOUNCED, False, 0),
    ],
)
def test_the_sender_and_the_setting_say_when(
    store: Store, worker: int, when: str, notify: str, state: str, dsn: bool, mails: int
) -> None:
    settled(store, worker, leased(store, worker, asking(notify)), state, when, facts={"dsn": dsn})
    assert len(notified(store)) == len(told(store)) == mails


def test_nothing_is_written_about_mail_of_nobody_or_about_a_notification(store: Store, worker: int) -> None:
    settled(store, worker, leased(store, worker, asking("", reverse_path="")), BOUNCED)
    assert notified(store) == []
    settled(store, worker, leased(store, worker, asking("", reverse_path="a@[192.0.2.1]")), BOUNCED)
    assert notified(store) == []
    settled(store, worker, leased(store, worker, asking("")), BOUNCED)
    [about_it] = lease(store, worker)
    settled(store, worker, [about_it], BOUNCED)
    assert len([row for row in recipients(store) if row.account_id == OPERATOR]) == 1


def test_recipients_that_end_together_are_told_in_one_notification(store: Store, worker: int) -> None:
    both = leased(store, worker, asking("", "NEVER", "FAILURE", envid="QQ+2B1"), asking("FAILURE"))
    settled(store, worker, both, BOUNCED)
    first, second = sorted(notified(store), key=lambda mail: -len(said(mail)))
    assert [path for path, _, _ in said(first)] == ["rfc822; r0@example.net", "rfc822; r2@example.net"]
    assert first.get_payload(1).get_payload(0)["Original-Envelope-Id"] == "QQ+1"
    assert len(said(second)) == 1
    assert [(n, facts.get("recipients")) for n, facts in told(store)] == [(None, [0, 2]), (0, None)]


def test_a_success_that_the_next_server_does_not_tell_is_told_as_passed_on(store: Store, worker: int) -> None:
    [one] = leased(store, worker, asking("SUCCESS", ret="FULL"))
    settled(store, worker, [one], DELIVERED, reply="250 2.6.0 Ok", facts={"dsn": False, "remote": "mx.example.net"})
    [mail] = notified(store)
    assert said(mail) == [("rfc822; r0@example.net", "relayed", "2.6.0")]
    assert mail.get_payload(1).get_payload(1)["Remote-MTA"] == "dns; mx.example.net"
    assert mail.get_payload(2).get_content_type() == "text/rfc822-headers"  # RFC 3461, 4.3: nothing has failed


def test_what_no_server_has_said_is_not_put_into_its_mouth(store: Store, worker: int) -> None:
    settled(store, worker, leased(store, worker, asking("")), BOUNCED, facts={"stage": "route"})
    [fields] = notified(store)[0].get_payload(1).get_payload()[1:]
    assert (fields["Remote-MTA"], fields["Diagnostic-Code"]) == (None, f"x-postmeter; {NEVER}")


def test_that_the_time_is_over_is_our_word(store: Store, worker: int) -> None:
    settled(store, worker, leased(store, worker, asking("")), EXPIRED, reply="554 5.4.7 Delivery time expired")
    [fields] = notified(store)[0].get_payload(1).get_payload()[1:]
    assert (fields["Remote-MTA"], fields["Status"]) == (None, "5.4.7")


@pytest.mark.parametrize(
    ("ret", "size", "kind"),
    [
        ("FULL", 100, "message/rfc822"),
        ("FULL", MOST_RETURNED, "text/rfc822-headers"),
        ("HDRS", 100, "text/rfc822-headers"),
        ("", 100, "text/rfc822-headers"),
    ],
)
def test_the_mail_itself_comes_back_if_that_was_asked_for(
    store: Store, worker: int, ret: str, size: int, kind: str
) -> None:
    content = CONTENT + b"x" * size + b"\r\n"
    settled(store, worker, leased(store, worker, asking("", content=content, ret=ret)), BOUNCED)
    returned = notified(store)[0].get_payload(2)
    assert returned.get_content_type() == kind
    assert ("x" * size in str(returned)) == (kind == "message/rfc822")


def test_who_lost_the_lease_tells_nobody(store: Store, worker: int) -> None:
    both = leased(store, worker, asking(""), asking(""))
    settled(store, worker, both[:1], BOUNCED)
    assert settled(store, worker, both[:1], BOUNCED) == [False]
    with pytest.raises(LeaseLost):
        settled(store, worker, both, BOUNCED)
    assert len(notified(store)) == len(told(store)) == 1


def test_a_list_of_wrong_addresses_does_not_come_back_as_one_mail_for_each(store: Store, worker: int) -> None:
    accept(store, *(asking("") for _ in range(MOST_PER_HOUR + 20)), policy="always")
    change = Settling(Notifier("mail.test", "always", 86_400.0))
    made = [outcome(one, one.recipients[0], worker, BOUNCED, reply=NEVER) for one in lease(store, worker)]
    for n in range(0, len(made), 100):
        with store.write() as session:
            assert all(change(session, made[n : n + 100]))
    assert len(told(store)) == MOST_PER_HOUR
    [next_hour] = [one for one in leased(store, worker, asking("")) if one.message.account_id != OPERATOR]
    with store.write() as session:
        change(session, [outcome(next_hour, next_hour.recipients[0], worker, BOUNCED, NOW + 3600, reply=NEVER)])
    assert len(told(store)) == MOST_PER_HOUR + 1


def test_a_defect_of_a_notification_does_not_keep_the_outcome(
    store: Store, worker: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_arguments: Any, **_more: Any) -> bytes:
        raise TypeError("a defect")

    monkeypatch.setattr(notifications, "compose", broken)
    assert settled(store, worker, leased(store, worker, asking("")), BOUNCED) == [True]
    assert notified(store) == []
    assert "no notification of" in caplog.text


def test_it_is_as_the_settings_say() -> None:
    settings = Settings(Server(hostname="mail.test"), delivery=Delivery(lifetime_days=2, notifications="never"))
    notifier = Notifier.of(settings)
    assert notifier.lifetime == 2 * 86_400
    message = queue.QueuedMessage("id", 1, 2, "shop.example", Envelope(SENDER, ()), NOW, 100)
    assert not notifier.owes(message, Recipient("a@b.example", "FAILURE"), "failed")


def test_notifications_and_the_fate_of_earlier_ones_do_not_lock_each_other_out(postgres_url: str) -> None:
    """All is charged already: only the counters hold them up."""
    store = Store.open(postgres_url)
    funded(store)
    worker = add_worker(store)
    settled(store, worker, leased(store, worker, *(asking("") for _ in range(40))), BOUNCED)
    settled(store, worker, leased(store, worker, *(asking("") for _ in range(120))), DEFERRED)
    fates = lease(store, worker)
    own = [one for one in fates if one.message.account_id == OPERATOR]
    customers = [one for one in fates if one.message.account_id != OPERATOR]
    pairs = list(zip(own, customers[80:], strict=True))

    def work(n: int) -> None:
        for k in range(40):
            if n:
                settled(store, worker, pairs[k], DELIVERED)
            else:
                settled(store, worker, customers[2 * k : 2 * k + 2], BOUNCED)

    at_once(work, 2)
    assert {one.state for one in recipients(store) if one.account_id != OPERATOR} == {DELIVERED, BOUNCED}
    audit(store)
    store.close()


def test_what_an_operator_bounces_is_told_with_the_reason(store: Store, worker: int) -> None:
    accept(store, asking("", "NEVER"))
    chosen, carry_out = Filter.of(["all"]), CarryingOut(Notifier("relay.test", "always", 86_400.0))
    with store.read() as session:
        counted = orders.matching(session, "bounce", chosen, NOW, object="The sender was hacked")
    with store.write() as session:
        number = orders.place(session, "bounce", chosen, 2, counted.upto, NOW, "operator", "The sender was hacked")
    while True:
        with store.read() as session:
            batch = orders.next_batch(session, NOW, number)
        if batch is None:
            break
        with store.write() as session:
            assert carry_out(session, [(batch, NOW)]) == [True]
    [mail] = notified(store)
    assert said(mail) == [("rfc822; r0@example.net", "failed", "5.7.0")]
    assert "The sender was hacked" in mail.get_payload(0).get_content()
    assert mail.get_payload(2).get_payload().strip() == "Subject: hello"
    audit(store)


def test_a_bounce_that_came_to_us_later_is_told_though_the_mail_is_gone(store: Store, worker: int) -> None:
    [one] = leased(store, worker, asking("", ret="FULL"))
    settled(store, worker, [one], DELIVERED, reply="250 ok")
    assert rows(store, Content) == []
    late = Late(classify, Notifier("relay.test", "always", 86_400.0))
    gone = Statement("failed", final="r0@example.net", code=550, status="5.1.1", diagnostic="550 5.1.1 User unknown")
    for _ in range(2):
        with store.write() as session:
            late(session, [News(one.message.id, 0, NOW + 60, (gone,))])
    [mail] = notified(store)
    assert said(mail) == [("rfc822; r0@example.net", "failed", "5.1.1")]
    assert mail.get_payload(2).get_payload().strip() == f"Message-ID: {mail['In-Reply-To']}"
    audit(store)


def stored(store: Store, asked: Submission, gone: Iterable[str], when: str = "always") -> Any:
    """Committed after those addresses were suppressed."""
    with store.write() as session:
        for address in gone:
            suppress(session, 1, address, MANUAL, NOW)
        change = Accepting(Acceptance(keep_suppressed=True), Notifier("mail.test", when, 86_400.0))
        return change(session, [replace(asked, suppressions=True)])[0]


@pytest.mark.parametrize(
    ("when", "notify", "mails"),
    [("always", "", 1), ("requested", "", 0), ("requested", "FAILURE", 1), ("always", "NEVER", 0), ("never", "", 0)],
)
def test_of_a_suppressed_address_a_sender_hears_the_same_at_once_and_later(
    store: Store, worker: int, when: str, notify: str, mails: int
) -> None:
    leases = leased(store, worker, asking(notify))
    settled(store, worker, leases, SUPPRESSED, when, reply="550 5.7.1 suppressed", transmitted=False)
    stored(store, asking(notify), ["r0@example.net"], when)
    found = [(said(mail), mail.get_payload(2).get_payload().strip()) for mail in notified(store)]
    assert found == [([("rfc822; r0@example.net", "failed", "5.7.1")], "Subject: hello")] * (2 * mails)
    audit(store)


def test_one_letter_tells_of_all_suppressed_addresses_and_the_others_are_sent_to(store: Store, worker: int) -> None:
    assert stored(store, asking("", "", ""), ["r0@example.net", "r2@example.net"]).paid == [1]
    [mail] = notified(store)
    assert [name for name, *_ in said(mail)] == ["rfc822; r0@example.net", "rfc822; r2@example.net"]
    assert [facts["recipients"] for _, facts in told(store)] == [[0, 2]]
    audit(store)
