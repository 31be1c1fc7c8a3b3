"""What each outcome means: the state, the charge, the next attempt."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest

from postmeter.delivery.outcome import EXPIRED_REPLY, Judge
from postmeter.delivery.retry import DAY, GRACE, LAST_CALL
from postmeter.message.envelope import Envelope, Recipient
from postmeter.smtp.mail import Outcome, Stage
from postmeter.smtp.reply import Reply
from postmeter.store.providers import Suspension
from postmeter.store.queue import QueuedMessage, QueuedRecipient
from postmeter.store.settle import Settlement

NOW = 1_000_000.0
MESSAGE = QueuedMessage("id", 1, 2, "shop.example", Envelope("a@shop.example", ()), NOW, 100)
FRESH = QueuedRecipient(0, Recipient("joe@example.org"), 0, 4, "reserved")
LATER, NEVER, FULL = Reply(451, "4.3.0", "later"), Reply(550, "5.1.1", "no such user"), Reply(552, "5.3.4", "too large")
DONE = Reply(250, "2.0.0", "Ok")
FOUR_DAYS = 4 * DAY


def judge(
    reply: Reply,
    stage: Stage,
    *,
    recipient: QueuedRecipient = FRESH,
    now: float = NOW,
    in_doubt: bool = False,
    random: float = 0.5,
) -> Settlement:
    outcome = Outcome(0, reply, stage, delivered=reply.positive, in_doubt=in_doubt)
    return Judge(9, FOUR_DAYS).settlement(MESSAGE, recipient, outcome, now, random, {"remote": "mx"})


@pytest.mark.parametrize(
    ("stage", "after_4xx", "after_5xx"),
    [
        ("sign", ("deferred", "reserved"), ("bounced", "released")),
        ("route", ("deferred", "reserved"), ("bounced", "released")),
        ("connect", ("deferred", "reserved"), ("deferred", "reserved")),
        ("banner", ("deferred", "reserved"), ("deferred", "reserved")),
        ("ehlo", ("deferred", "reserved"), ("deferred", "reserved")),
        ("starttls", ("deferred", "reserved"), ("deferred", "reserved")),
        ("mail", ("deferred", "reserved"), ("deferred", "reserved")),
        ("rcpt", ("deferred", "charged"), ("bounced", "charged")),
        ("data", ("deferred", "charged"), ("bounced", "charged")),
        ("content", ("deferred", "charged"), ("bounced", "charged")),
    ],
)
def test_state_and_charge_by_stage(stage: Stage, after_4xx: tuple[str, str], after_5xx: tuple[str, str]) -> None:
    for reply, expected in ((LATER, after_4xx), (NEVER, after_5xx)):
        settlement = judge(reply, stage)
        assert (settlement.state, settlement.charge) == expected
        assert settlement.final == (settlement.state == "bounced")
        assert settlement.failure is not None
        said = {"class": settlement.failure.name, "rule": settlement.failure.rule}
        assert settlement.facts == {"stage": stage, "remote": "mx", **said}
        assert settlement.reply == str(reply)
        assert (settlement.next_attempt_at > NOW) == (settlement.state == "deferred")


def test_the_table_has_every_stage() -> None:
    marks = test_state_and_charge_by_stage.pytestmark  # type: ignore[attr-defined]
    assert {row[0] for row in marks[0].args[1]} == set(get_args(Stage))


def test_delivered_is_final_and_charged_once() -> None:
    settlement = judge(DONE, "content")
    assert (settlement.state, settlement.charge, settlement.final, settlement.worker) == (
        "delivered",
        "charged",
        True,
        9,
    )
    again = judge(DONE, "content", recipient=replace(FRESH, attempts=3, charge="charged"))
    assert again.charge == "charged"


def test_a_charge_stays_when_a_later_attempt_does_not_get_through() -> None:
    assert judge(LATER, "connect", recipient=replace(FRESH, attempts=1, charge="charged")).charge == "charged"


@pytest.mark.parametrize(
    "reply", [FULL, Reply(550, "5.6.7", "needs SMTPUTF8"), Reply(554, "5.2.3", "too long"), Reply(500, "5.3.4", "big")]
)
def test_a_refusal_of_mail_about_the_message_itself_is_final(reply: Reply) -> None:
    assert judge(reply, "mail").state == "bounced"


def test_a_temporary_refusal_about_the_message_is_not_final() -> None:
    assert judge(Reply(452, "5.3.4", "odd"), "mail").state == "deferred"


def test_the_lifetime_of_what_waited_for_its_slot_begins_with_it() -> None:
    late = replace(FRESH, leaves_at=NOW + DAY)
    assert judge(LATER, "connect", recipient=late, now=NOW + FOUR_DAYS + DAY - 1).state == "deferred"
    assert judge(LATER, "connect", recipient=late, now=NOW + FOUR_DAYS + DAY).state == "expired"


def test_a_recipient_expires_at_the_end_of_its_lifetime_with_the_last_answer() -> None:
    end = NOW + FOUR_DAYS
    last = judge(LATER, "connect", now=end - 1)
    assert (last.state, last.next_attempt_at) == ("deferred", end)
    over = judge(LATER, "connect", now=end)
    assert (over.state, over.charge, over.final) == ("expired", "released", True)
    assert over.reply == EXPIRED_REPLY + str(LATER)
    tried = replace(FRESH, attempts=20, charge="charged")
    assert judge(LATER, "connect", now=end, recipient=tried).charge == "charged"


@pytest.mark.parametrize("reply", [Reply(452, "4.2.2", "mailbox full"), Reply(552, "5.2.2", "mailbox full")])
def test_the_patience_with_a_full_mailbox_begins_when_it_is_first_full(reply: Reply) -> None:
    late = NOW + 2 * DAY  # the relay was down, or the provider suspended
    first = judge(reply, "rcpt", now=late)
    assert (first.state, first.failing_since) == ("deferred", late)
    since = replace(FRESH, attempts=1, charge="charged", failing_since=late)
    last = judge(reply, "rcpt", now=late + DAY - 1, recipient=since)
    assert (last.state, last.next_attempt_at, last.failing_since) == ("deferred", late + DAY, late)
    assert judge(reply, "rcpt", now=late + DAY, recipient=since).state == "bounced"


def test_a_full_mailbox_is_not_waited_for_beyond_the_lifetime() -> None:
    end = NOW + FOUR_DAYS
    full = Reply(452, "4.2.2", "mailbox full")
    first = judge(full, "rcpt", now=end - 60)
    assert (first.state, first.next_attempt_at) == ("deferred", end)
    assert judge(full, "rcpt", now=end).state == "expired"


def test_other_failures_neither_begin_nor_end_a_classes_patience() -> None:
    assert judge(LATER, "rcpt").failing_since is None
    since = replace(FRESH, attempts=1, charge="charged", failing_since=NOW)
    between = judge(LATER, "connect", now=NOW + 2 * DAY, recipient=since)
    assert (between.state, between.failing_since) == ("deferred", NOW)


def test_a_copy_in_doubt_is_tried_again_after_a_quarter_of_an_hour_at_least() -> None:
    settlement = judge(LATER, "content", in_doubt=True, random=0.0)
    assert (settlement.state, settlement.in_doubt) == ("deferred", True)
    assert settlement.next_attempt_at == NOW + 900
    last = judge(LATER, "content", in_doubt=True, now=NOW + FOUR_DAYS - 600)
    assert (last.state, last.in_doubt) == ("expired", True)


def test_greylisting_is_waited_for_the_first_time_only() -> None:
    grey = Reply(450, "4.7.1", "Greylisted")
    assert judge(grey, "rcpt").next_attempt_at == NOW + 330
    assert judge(grey, "rcpt", recipient=replace(FRESH, attempts=2, failure="greylist")).next_attempt_at == NOW + 900


def test_greylisting_is_waited_for_when_the_server_was_out_of_reach_before() -> None:
    down = replace(FRESH, attempts=2, failure="net")
    assert judge(Reply(450, "4.7.1", "Greylisted"), "rcpt", recipient=down).next_attempt_at == NOW + 330


def test_every_attempt_waits_longer() -> None:
    waits = [judge(LATER, "connect", recipient=replace(FRESH, attempts=n)).next_attempt_at - NOW for n in range(8)]
    assert waits == [60, 300, 900, 1800, 3600, 7200, 14400, 14400]


def test_a_message_may_have_a_lifetime_of_its_own() -> None:
    hasty, judged = replace(MESSAGE, lifetime=600), Judge(9, FOUR_DAYS)
    refused = Outcome(0, LATER, "rcpt")
    assert judged.settlement(hasty, FRESH, refused, NOW + 599, 0.5, {}).next_attempt_at == NOW + 600
    assert judged.settlement(hasty, FRESH, refused, NOW + 600, 0.5, {}).state == "expired"
    waits = judged.put_off(hasty, FRESH, Suspension("Google", "blocked", NOW, None, "joe"), NOW, 0.5, provider="Google")
    assert waits is not None
    assert waits.next_attempt_at == NOW + 600
    longest = replace(MESSAGE, lifetime=5 * 86_400)
    assert judged.settlement(longest, FRESH, refused, NOW + FOUR_DAYS, 0.5, {}).state == "deferred"


@pytest.mark.parametrize("lifetime", [600, int(FOUR_DAYS)])
def test_no_attempt_begins_after_a_messages_lifetime_but_the_last_one_has_a_moment(lifetime: int) -> None:
    judged, message = Judge(9, FOUR_DAYS), replace(MESSAGE, lifetime=lifetime)
    assert judged.time_left(message, FRESH, NOW) == lifetime + LAST_CALL
    assert judged.time_left(message, FRESH, NOW + lifetime + LAST_CALL + 1) == -1
    assert judged.time_left(message, replace(FRESH, leaves_at=NOW + DAY), NOW + lifetime + DAY) == LAST_CALL


def test_r28_who_is_late_himself_lets_nobody_expire_untried() -> None:
    later = NOW + FOUR_DAYS + DAY  # the clock was set, or the relay was down
    assert Judge(9, FOUR_DAYS).time_left(MESSAGE, FRESH, NOW) == FOUR_DAYS + GRACE
    assert Judge(9, FOUR_DAYS).time_left(MESSAGE, FRESH, later) == GRACE
    assert judge(DONE, "content", now=later).state == "delivered"
    assert judge(LATER, "rcpt", now=later).state == "expired"
