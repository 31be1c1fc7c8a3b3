"""SPF records as receivers evaluate them."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address

import pytest

from postmeter.health.spf import Broken, check, record_in

ZONE: dict[tuple[str, str], list[str]] = {
    ("mail.example", "A"): ["198.51.100.7"],
    ("mail.example", "AAAA"): ["2001:db8:1::7"],
    ("shop.example", "A"): ["203.0.113.9"],
    ("shop.example", "MX"): ["10 mail.example.", "20 ."],
    ("none.example", "TXT"): ["other text"],
    ("relay.example", "TXT"): ["v=spf1 ip4:198.51.100.0/24 -all"],
    ("loop.example", "TXT"): ["v=spf1 include:loop.example -all"],
    ("two.example", "TXT"): ["v=spf1 -all", "v=spf1 +all"],
}


def result(record: str, address: str = "198.51.100.7") -> str:
    def lookup(name: str, type: str) -> Sequence[str]:
        return [record] if (name, type) == ("shop.example", "TXT") else ZONE.get((name, type), [])

    return check(ip_address(address), "shop.example", lookup)


@pytest.mark.parametrize(
    ("record", "told"),
    [
        ("nothing of the kind", "none"),
        ("v=spf10 +all", "none"),
        ("v=spf1", "neutral"),
        ("v=spf1 -all", "fail"),
        ("V=SPF1 ~ALL", "softfail"),
        ("v=spf1 ?all", "neutral"),
        ("v=spf1 ip4:198.51.100.7 -all", "pass"),
        ("v=spf1 ip4:198.51.100.0/25 -all", "pass"),
        ("v=spf1 ip4:198.51.100.128/25 -all", "fail"),
        ("v=spf1 -ip4:198.51.100.7 +all", "fail"),
        ("v=spf1 a:mail.example -all", "pass"),
        ("v=spf1 a -all", "fail"),
        ("v=spf1 a:shop.example/8 a:mail.example/24//64 -all", "pass"),
        ("v=spf1 mx -all", "pass"),
        ("v=spf1 include:relay.example -all", "pass"),
        ("v=spf1 redirect=relay.example", "pass"),
        ("v=spf1 exp=why.example ptr exists:%{i}.example ?all", "neutral"),
    ],
)
def test_a_record_says_who_may_send(record: str, told: str) -> None:
    assert result(record) == told


@pytest.mark.parametrize(
    ("record", "told"),
    [
        ("v=spf1 ip6:2001:db8:1::/48 -all", "pass"),
        ("v=spf1 ip4:198.51.100.7 a:mail.example//128 -all", "pass"),
        ("v=spf1 ip4:0.0.0.0/0 -all", "fail"),
    ],
)
def test_ipv6_is_judged_by_its_own_terms(record: str, told: str) -> None:
    assert result(record, "2001:db8:1::7") == told


@pytest.mark.parametrize(
    ("record", "why"),
    [
        ("v=spf1 include:none.example -all", "has no SPF record"),
        ("v=spf1 include:loop.example -all", "more than 10 look-ups"),
        ("v=spf1 include:two.example -all", "There are 2 SPF records"),
        ("v=spf1 ipv4:198.51.100.7 -all", "nothing that an SPF record can have"),
        ("v=spf1 include -all", "nothing that an SPF record can have"),
        ("v=spf1 ip4:198.51.100.999 -all", "is no network"),
        ("v=spf1 ip4:198.51.100.7/64 -all", "is no network"),
    ],
)
def test_what_receivers_cannot_use_is_named(record: str, why: str) -> None:
    with pytest.raises(Broken, match=why):
        result(record)


def test_other_texts_are_no_record() -> None:
    assert record_in(["v=spf1x", "v=DKIM1; p=", "v=spf1 -all"]) == "v=spf1 -all"
