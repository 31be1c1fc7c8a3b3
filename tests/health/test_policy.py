"""Advice about SPF and DMARC: what is wrong, and the record that is better."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address

import pytest

from postmeter.errors import UnreachableError
from postmeter.health.policy import Advice, dmarc, dmarc_names, mechanism, sender_policy

OURS, NAME = ip_address("198.51.100.7"), "_dmarc.shop.example"


def spf(*texts: str, ours: str = "a:mail.example") -> Advice:
    def lookup(name: str, type: str) -> Sequence[str]:
        if name == "away.example":
            raise UnreachableError("the DNS gives no answer about away.example: time-out")
        return {("shop.example", "TXT"): texts, ("mail.example", "A"): (str(OURS),)}.get((name, type), ())

    return sender_policy("shop.example", ours, [OURS], lookup)


def test_without_a_record_one_is_suggested() -> None:
    assert (spf().state, spf().value) == ("warn", "v=spf1 a:mail.example ~all")


@pytest.mark.parametrize(
    ("record", "better"),
    [
        ("v=spf1 mx -all", "v=spf1 mx a:mail.example -all"),
        ("v=spf1 redirect=_spf.mail.example.net", None),
        ("v=spf1 mx", "v=spf1 mx a:mail.example ~all"),
        ("v=spf1 mx ?all", "v=spf1 mx a:mail.example ?all"),
    ],
)
def test_a_record_that_does_not_name_us_is_completed(record: str, better: str | None) -> None:
    advice = spf(record)
    assert (advice.state, advice.found) == (("warn", (record,)) if better else ("bad", (record,)))
    assert better is None or advice.value == better


def test_a_record_that_names_us_is_good_and_stays() -> None:
    for record in ("v=spf1 a:mail.example -all", "v=spf1 ip4:198.51.100.0/24 ~all"):
        assert (spf(record).state, spf(record).value) == ("good", record)


def test_a_record_that_lets_everybody_send_is_bad() -> None:
    advice = spf("v=spf1 mx +all")
    assert (advice.state, advice.value) == ("bad", "v=spf1 mx a:mail.example ~all")


def test_what_cannot_be_used_or_found_out_is_said() -> None:
    assert spf("v=spf1 -all", "v=spf1 +all").texts[0].endswith("There are 2 SPF records; only one is allowed.")
    assert spf("v=spf1 include:away.example -all").state == "unknown"


def test_we_are_named_by_our_name_or_else_by_each_address() -> None:
    other = ip_address("2001:db8::7")
    assert mechanism("mail.example", [OURS], [OURS, other]) == "a:mail.example"
    assert mechanism("mail.example", [OURS, other], [OURS]) == "ip4:198.51.100.7 ip6:2001:db8::7"
    assert mechanism("mail.example", [], []) == "a:mail.example"


def test_the_policy_of_a_name_may_be_above_it() -> None:
    names = dmarc_names("news.shop.example")
    assert names == ("_dmarc.news.shop.example", "_dmarc.shop.example")
    advice = dmarc("news.shop.example", {NAME: ["v=DMARC1; p=none; sp=reject; rua=mailto:d@shop.example"]})
    assert (advice.state, advice.texts[0]) == ("good", "The policy is that of shop.example.")
    assert advice.texts[1].startswith("p=reject")


@pytest.mark.parametrize(
    ("record", "state", "told"),
    [
        ("v=DMARC1; p=reject; rua=mailto:d@shop.example", "good", "is refused"),
        ("v=DMARC1;p=quarantine;rua=mailto:d@shop.example", "good", "put aside"),
        ("v=DMARC1; p=none; rua=mailto:d@shop.example", "warn", "only watches"),
        ("v=DMARC1; p=reject", "warn", "has no rua="),
        ("v=DMARC1; p=reject; adkim=s; rua=mailto:d@shop.example", "good", "adkim=s"),
        ("v=DMARC1; p=maybe", "bad", "has no p="),
        ("v=DMARC1; p", "bad", "cannot be read"),
    ],
)
def test_a_policy_is_judged(record: str, state: str, told: str) -> None:
    advice = dmarc("shop.example", {NAME: [record]})
    assert advice.state == state
    assert told in " ".join(advice.texts)


def test_reports_are_asked_for_where_there_are_none() -> None:
    assert dmarc("shop.example", {}).value == "v=DMARC1; p=none; rua=mailto:dmarc@shop.example"
    better = dmarc("shop.example", {NAME: ["v=DMARC1; p=none;"]}).value
    assert better == "v=DMARC1; p=none; rua=mailto:dmarc@shop.example"


def test_two_policies_are_none() -> None:
    assert dmarc("shop.example", {NAME: ["v=DMARC1; p=none", "v=DMARC1; p=reject"]}).state == "bad"
