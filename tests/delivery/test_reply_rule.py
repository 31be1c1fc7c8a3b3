"""Reply rules: which replies they are about, and what they lead to."""

from __future__ import annotations

import time

import pytest

from postmeter.delivery.provider import Providers
from postmeter.delivery.reply_rule import Rule, about
from postmeter.smtp.mail import Stage
from postmeter.smtp.reply import Reply

BUSY = Reply(421, "4.7.0", "[TSS04] Messages from 192.0.2.1 Temporarily Deferred")


@pytest.mark.parametrize(
    ("rule", "matches"),
    [
        (Rule("x", texts=("[tss04]",)), True),
        (Rule("x", texts=("[ts01]", "temporarily deferred")), True),
        (Rule("x", texts=("[ts01]",)), False),
        (Rule("x", code=421), True),
        (Rule("x", code=450), False),
        (Rule("x", status="4.7.0"), True),
        (Rule("x", status="4.7"), True),
        (Rule("x", status="4.7.00"), False),
        (Rule("x", status="4.70"), False),
        (Rule("x", stages=("mail", "banner")), True),
        (Rule("x", stages=("rcpt",)), False),
        (Rule("x", texts=("[tss04]",), code=421, status="4", stages=("mail",)), True),
        (Rule("x", texts=("[tss04]",), code=550), False),
    ],
)
def test_a_rule_is_about_a_reply_that_has_all_it_names(rule: Rule, matches: bool) -> None:
    assert rule.matches(BUSY, "mail") is matches


def test_the_first_rule_about_a_reply_decides() -> None:
    rules = Rule("one", texts=("deferred",), times=2), Rule("two", code=421)
    assert about(rules, BUSY, "mail") is rules[0]
    assert about(rules, Reply(421, "", "x"), "mail") is rules[1]
    assert about(rules, Reply(450, "", "x"), "mail") is None


@pytest.mark.parametrize(
    ("provider", "stage", "reply", "name", "what"),
    [
        ("Yahoo", "mail", Reply(421, "4.7.0", "[TSS04] Messages temporarily deferred"), "TSS04", (7_200, None, None)),
        ("Yahoo", "mail", Reply(421, "4.7.0", "[TSS05] Messages temporarily deferred"), "TSS05", (14_400, None, None)),
        ("Yahoo", "mail", Reply(421, "4.7.0", "[TS02] Messages temporarily deferred"), "TS02", (1_800, None, 1)),
        ("Yahoo", "mail", Reply(421, "4.7.1", "[TS03] All messages deferred"), "TS03", (1_800, None, 10)),
        ("Outlook.com", "mail", Reply(451, "4.7.0", "Server busy (IB007)"), "IB007", (3_600, 1, None)),
        ("Outlook.com", "rcpt", Reply(451, "4.7.650", "has been rate limited"), "rate limited", (1_800, None, None)),
        ("Apple", "mail", Reply(421, "4.7.1", "[HCM1] too many"), "HCM1", (900, None, None)),
        ("Apple", "mail", Reply(451, "", "[BS02] later"), "HCM1", (900, None, None)),
        ("GMX and WEB.DE", "banner", Reply(421, "", "Too many connections"), "too many connections", (1_800, 1, None)),
        ("GMX and WEB.DE", "banner", Reply(554, "", "mx.gmx No SMTP"), "refused at the banner", (7_200, None, None)),
        ("T-Online", "banner", Reply(554, "", "IP=192.0.2.1 (NOWL)"), "refused at the banner", (3_600, None, None)),
        ("other", "content", Reply(451, "4.7.1", "rate limited due to IP reputation"), "IP reputation", (5_400, 1, 1)),
        (
            "freenet",
            "data",
            Reply(421, "", "Temporarily deferred due to IP reputation"),
            "IP reputation",
            (5_400, 1, 1),
        ),
    ],
)
def test_what_providers_say_leads_to_what_it_should(
    provider: str, stage: Stage, reply: Reply, name: str, what: tuple[float, int | None, int | None]
) -> None:
    rule = about(Providers().shape(provider).rules, reply, stage)
    assert rule is not None
    assert (rule.name, (rule.seconds, rule.connections, rule.per_minute)) == (name, what)


@pytest.mark.parametrize(
    ("provider", "reply", "what"),
    [
        ("Microsoft 365", Reply(550, "5.7.1", "part of their network is on our block list"), (7_200, None, None)),
        ("GMX and WEB.DE", Reply(554, "", "Reject due to policy restrictions"), (3_600, None, 1)),
    ],
)
def test_some_are_counted(provider: str, reply: Reply, what: tuple[float, int | None, int | None]) -> None:
    rule = about(Providers().shape(provider).rules, reply, "content")
    assert rule is not None
    assert rule.times == 5
    assert (rule.seconds, rule.connections, rule.per_minute) == what


@pytest.mark.parametrize("provider", sorted(Providers().names))
def test_a_user_who_is_unknown_restricts_nobody(provider: str) -> None:
    rules = Providers().shape(provider).rules
    for reply in (Reply(550, "5.1.1", "User unknown"), Reply(450, "4.2.0", "Greylisted"), Reply(452, "4.2.2", "full")):
        assert about(rules, reply, "rcpt") is None


@pytest.mark.parametrize("provider", sorted(Providers().names))
def test_an_address_that_reads_like_a_complaint_restricts_nobody(provider: str) -> None:
    shape = Providers().shape(provider)
    for text in (text for rule in shape.rules if rule.times == 1 for text in rule.texts):
        for status in ("5.1.1", ""):
            reply = Reply(550, status, f'<"{text}"@x.example>: no such user')
            assert about(shape.rules, reply, "rcpt") is None


def test_the_time_grows_with_the_length_of_the_text() -> None:
    def best(size: int) -> float:
        reply, rules = Reply(421, "", "[TSS0" * size), Providers().shape("Yahoo").rules
        took = []
        for _ in range(20):
            begun = time.perf_counter()
            about(rules, reply, "mail")
            took.append(time.perf_counter() - begun)
        return min(took)

    assert best(20_000) < 2.5 * 2 * best(10_000)
