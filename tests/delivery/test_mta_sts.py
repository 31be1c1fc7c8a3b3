"""Records and policies of MTA-STS: read strictly, and matched by one label at most (RFC 8461)."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postmeter.delivery.mta_sts import MOST_AGE, BadPolicy, StsPolicy, record_id

GOOD = "version: STSv1\nmode: enforce\nmx: mail.example.com\nmx: *.example.net\nmax_age: 604800\n"


def test_a_policy_is_read_with_either_line_end() -> None:
    expected = StsPolicy("enforce", ("mail.example.com", "*.example.net"), 604_800)
    for text in (
        GOOD,
        GOOD.rstrip("\n"),
        GOOD.replace("\n", "\r\n"),
        GOOD.replace(": ", ":   "),
        GOOD + "new: thing\n",
    ):
        assert StsPolicy.parse(text) == expected


def test_a_policy_reads_as_it_is_written() -> None:
    policy = StsPolicy.parse(GOOD)
    assert StsPolicy.parse("\n".join(policy.lines)) == policy


def test_of_a_field_that_comes_twice_the_first_counts() -> None:
    assert StsPolicy.parse(GOOD + "mode: none\nmax_age: 1\n").mode == "enforce"


def test_no_mail_server_is_named_where_there_is_no_policy() -> None:
    assert StsPolicy.parse("version: STSv1\nmode: none\nmax_age: 60").hosts == ()


@pytest.mark.parametrize(
    "text",
    [
        "",
        GOOD.replace("STSv1", "STSv2"),
        GOOD.replace("version: STSv1\n", ""),
        GOOD.replace("enforce", "Enforce"),
        GOOD.replace("mode: enforce\n", ""),
        GOOD.replace("mx: mail.example.com\nmx: *.example.net\n", ""),
        GOOD.replace("604800", "-1"),
        GOOD.replace("604800", "1e3"),
        GOOD.replace("604800", str(MOST_AGE + 1)),
        GOOD.replace("max_age: 604800\n", ""),
        GOOD.replace("mail.", "mail_.*."),
        GOOD.replace("*.example.net", "*"),
        GOOD.replace("*.example.net", "*.*.example.net"),
        GOOD.replace("*.example.net", "a.*.net"),
        GOOD.replace("*.example.net", "example..net"),
        GOOD + "a line without any sense\n",
        GOOD + "\n\nmode: none",
        "<html>" + GOOD,
        GOOD + "mx: mail.example.com\n" * 100,
    ],
)
def test_what_is_no_policy_is_none(text: str) -> None:
    with pytest.raises(BadPolicy):
        StsPolicy.parse(text)


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("mail.example.com", True),
        ("MAIL.example.com.", True),
        ("mx.example.net", True),
        ("example.net", False),
        ("a.mx.example.net", False),
        ("mail.example.com.evil.test", False),
        ("example.com", False),
        ("", False),
    ],
)
def test_a_pattern_leaves_one_label_open(host: str, allowed: bool) -> None:
    assert StsPolicy.parse(GOOD).allows(host) is allowed


@pytest.mark.parametrize(
    ("texts", "found"),
    [
        (["v=STSv1; id=20160831085700Z;"], "20160831085700Z"),
        (["v=STSv1;id=1"], "1"),
        (["v=STSv1 ; x=y ; id=1 ;"], "1"),
        (["v=spf1 -all", "v=STSv1; id=1;"], "1"),
        (["v=STSv1; id=1;", "v=STSv1; id=2;"], None),
        (["v=STSv1; id=1;", "v=STSv1"], None),
        (["v=STSv1;"], None),
        (["v=STSv1; id=;"], None),
        (["v=STSv1; id=a-b;"], None),
        (["v=STSv1; id=" + "1" * 33], None),
        (["v=STSv1; id=1; id=2"], None),
        (["v=STSv10; id=1;"], None),
        (["V=STSv1; id=1;"], None),
        (["id=1; v=STSv1"], None),
        ([], None),
    ],
)
def test_the_one_valid_record_has_the_id(texts: list[str], found: str | None) -> None:
    assert record_id(texts) == found


@given(st.text(max_size=200))
def test_any_text_is_a_policy_or_refused(text: str) -> None:
    with suppress(BadPolicy):
        assert StsPolicy.parse(text).mode
