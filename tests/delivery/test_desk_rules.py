"""What reply rules lead to: at once here, in the store for all workers."""

from __future__ import annotations

from typing import Any

import pytest

from postmeter.delivery.desk import SAME
from postmeter.delivery.reply_rule import Rule
from postmeter.smtp.reply import Reply
from postmeter.store import heard, providers
from postmeter.store.heard import Heard
from postmeter.store.providers import Suspension
from support.office import STOP, Office

SEVERAL = Rule("policy", texts=("policy",), times=5, seconds=3_600.0, per_minute=1)


def fire(office: Office, rule: Rule, provider: str = "Yahoo", said: str = "[TSS04] no") -> None:
    office.desk.apply(provider, rule, Reply(421, "4.7.0", said))


def restricted(office: Office, provider: str = "Yahoo") -> tuple[int | None, int | None, float | None] | None:
    found = office.desk.restriction((provider,))
    return (found.sessions, found.per_minute, found.until) if found else None


def test_what_a_reply_rule_says_holds_at_once_and_is_committed(caplog: pytest.LogCaptureFixture) -> None:
    office = Office()
    one = Suspension("Yahoo", "421 4.7.0 a b", 1_000.0, 8_200.0, "reply rule", None, None, "TSS04")
    office.answer = one
    fire(office, Rule("TSS04", seconds=7_200.0), said="a \n b")
    assert office.submitted == [(providers.restrict, one)]
    assert office.desk.suspensions.of("Yahoo", 1_000.0) == one
    assert office.desk.suspensions.of("Yahoo", 8_200.0) is None
    assert "Yahoo is suspended for 7200 s by rule 'TSS04': 421 4.7.0 a b" in caplog.text


def test_an_alarm_is_an_error_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    office = Office()
    office.answer = None
    fire(office, Rule("banner", seconds=3_600.0, alarm=True))
    assert [record.levelname for record in caplog.records if "suspended" in record.message] == ["ERROR"]


def test_what_many_sessions_hear_at_once_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    office = Office()
    office.answer = None
    rule = Rule("TS02", seconds=1_800.0, per_minute=1)
    for _ in range(3):
        fire(office, rule)
    assert len(office.submitted) == 1
    office.now += SAME
    fire(office, rule)
    assert restricted(office) == (None, 1, 1_060.0 + 1_800.0)


def test_a_slowdown_is_no_suspension() -> None:
    office = Office()
    office.answer = None
    fire(office, Rule("TS02", seconds=1_800.0, per_minute=1))
    assert restricted(office) == (None, 1, 2_800.0)
    assert office.desk.suspensions.of("Yahoo", office.now) is None


def test_a_persons_word_is_not_touched() -> None:
    office = Office()
    office.desk.suspensions.learn([STOP])
    fire(office, Rule("x", seconds=60.0), "Google")
    assert office.submitted == []
    assert office.desk.restriction(("nobody", "Google")) == STOP


def test_what_is_being_committed_is_not_forgotten_meanwhile() -> None:
    office = Office()
    waiting: list[Any] = []
    office.desk._submit = lambda _change, _item, done: waiting.append(done)
    fire(office, Rule("x", seconds=60.0))
    office.desk.suspensions.learn([])
    assert restricted(office) == (None, None, 1_060.0)
    waiting[0](Suspension("Yahoo", "longer", 900.0, 2_000.0, "reply rule", rule="y"))
    assert restricted(office) == (None, None, 2_000.0)
    office.follow()  # a person has lifted it
    assert restricted(office) is None


@pytest.mark.parametrize("rule", [Rule("x", seconds=3_600.0, per_minute=1), SEVERAL])
def test_a_look_that_began_before_the_commit_does_not_undo_it(rule: Rule) -> None:
    office = Office()
    office.answer = Suspension("Yahoo", "421 4.7.0 policy", 1_000.0, 4_600.0, "reply rule", None, 1, rule.name)
    office.meanwhile = lambda: fire(office, rule, said="policy")
    office.follow()
    assert restricted(office) == (None, 1, 4_600.0)
    office.meanwhile = lambda: None
    office.follow()  # a person has lifted it
    assert restricted(office) is None


def test_what_cannot_be_committed_ends_with_the_next_look(caplog: pytest.LogCaptureFixture) -> None:
    office = Office()
    office.answer = RuntimeError("no")
    fire(office, Rule("x", seconds=60.0))
    assert restricted(office) is not None
    office.desk.suspensions.learn([])
    assert restricted(office) is None
    assert "could not be noted" in caplog.text


def test_a_rule_of_several_replies_is_counted_by_the_store_and_holds_when_that_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    office = Office()
    office.answer = None
    fire(office, SEVERAL, said="policy")
    one = Suspension("Yahoo", "421 4.7.0 policy", 1_000.0, 4_600.0, "reply rule", None, 1, "policy")
    assert office.submitted == [(heard.hear, Heard(one, 5))]
    assert (restricted(office), caplog.text) == (None, "")
    office.answer = one
    fire(office, SEVERAL, said="policy")
    assert restricted(office) == (None, 1, 4_600.0)
    assert "Yahoo is slowed down for 3600 s by rule 'policy': 421 4.7.0 policy" in caplog.text
    fire(office, SEVERAL, said="policy")  # by a session that was under way
    assert len(office.submitted) == 2


def test_what_cannot_be_counted_is_told_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    office = Office()
    office.answer = RuntimeError("no")
    fire(office, SEVERAL)
    assert "what Yahoo has said could not be counted" in caplog.text


def test_what_fires_in_the_store_takes_nothing_from_what_is_being_committed() -> None:
    office = Office()
    waiting: list[Any] = []
    office.desk._submit = lambda _change, _item, done: waiting.append(done)
    fire(office, SEVERAL, said="policy")
    fire(office, Rule("stop", seconds=60.0))
    waiting[0](Suspension("Yahoo", "policy", 900.0, 2_000.0, "reply rule", None, 1, "policy"))
    assert restricted(office) == (None, None, 1_060.0)
