"""What the operator hears of: refusals about the relay itself, not more often than it helps."""

from __future__ import annotations

import logging

import pytest

from postmeter.delivery.concerns import HOUR, Concerns
from postmeter.delivery.outcome import Judge
from postmeter.smtp.mail import Outcome, Stage
from postmeter.smtp.reply import Reply
from support.scheduling import leased

BLOCKED = Reply(554, "", "IP=192.0.2.7 - A problem occurred. (BL)")
MISUNDERSTOOD = Reply(500, "5.5.1", "What?")


def note(
    concerns: Concerns, reply: Reply, stage: Stage = "banner", *, at: float = 0.0, provider: str = "T-Online"
) -> None:
    one = leased()
    facts = {"provider": provider, "remote": "mx.example.org", "local_address": "192.0.2.7"}
    outcome = Outcome(0, reply, stage, delivered=reply.positive)
    concerns.note(Judge(1, 1e6).settlement(one.message, one.recipients[0], outcome, at, 0.5, facts))


def test_a_provider_that_does_not_want_us_is_named_once_an_hour(caplog: pytest.LogCaptureFixture) -> None:
    concerns = Concerns()
    with caplog.at_level(logging.WARNING):
        for at in (0.0, 1.0, HOUR - 1, HOUR):
            note(concerns, BLOCKED, at=at)
        note(concerns, BLOCKED, provider="other")
    said = "T-Online does not want mail from 192.0.2.7: 554 IP=192.0.2.7 - A problem occurred. (BL)"
    assert caplog.messages[:2] == [said, said]
    assert [one.partition(" ")[0] for one in caplog.messages[2:]] == ["mx.example.org"]


def test_a_server_that_does_not_understand_us_is_named_as_well(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        note(Concerns(), MISUNDERSTOOD, "rcpt")
    assert caplog.messages == ["T-Online did not understand this relay (192.0.2.7): 500 5.5.1 What?"]


@pytest.mark.parametrize("reply", [Reply(550, "5.1.1", "User unknown"), Reply(250, "2.0.0", "Ok"), Reply(450, "", "")])
def test_what_is_about_others_is_not_the_operators_concern(reply: Reply, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        note(Concerns(), reply, "rcpt")
    assert caplog.messages == []
