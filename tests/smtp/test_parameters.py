"""The parameters of MAIL and RCPT."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postmeter.smtp.parameters import MailParameters, RcptParameters, parse_mail_parameters, parse_rcpt_parameters
from postmeter.smtp.reply import Refused

LIMIT = 31457280


def refused_mail(text: str) -> str:
    with pytest.raises(Refused) as refused:
        parse_mail_parameters(text, LIMIT)
    return f"{refused.value.reply.code} {refused.value.reply.status}"


def refused_rcpt(text: str) -> str:
    with pytest.raises(Refused) as refused:
        parse_rcpt_parameters(text)
    return f"{refused.value.reply.code} {refused.value.reply.status}"


def test_nothing_said_is_seven_bit_and_no_wishes() -> None:
    assert parse_mail_parameters("", LIMIT) == MailParameters(0, "7BIT", False, "", "")
    assert parse_rcpt_parameters("") == RcptParameters("", "")


def test_all_that_is_offered_is_understood_in_any_letter_case() -> None:
    text = "size=2048 Body=8bitmime SMTPUTF8 ret=hdrs ENVID=QQ+2B314159 AUTH=orders+40shop.example"
    assert parse_mail_parameters(text, LIMIT) == MailParameters(2048, "8BITMIME", True, "HDRS", "QQ+2B314159")
    text = "notify=success,Failure orcpt=rfc822;Bob+2Btag@example.org"
    assert parse_rcpt_parameters(text) == RcptParameters("SUCCESS,FAILURE", "rfc822;Bob+2Btag@example.org")


@pytest.mark.parametrize("text", ["AUTH=<>", "RET=FULL", "BODY=7BIT", "SIZE=0", f"SIZE={LIMIT}", "ENVID=" + "a" * 100])
def test_good_values_of_mail(text: str) -> None:
    assert parse_mail_parameters(text, LIMIT).body == "7BIT"


@pytest.mark.parametrize("text", ["NOTIFY=NEVER", "NOTIFY=DELAY", "ORCPT=utf-8;a", "ORCPT=rfc822;" + "a" * 493])
def test_good_values_of_rcpt(text: str) -> None:
    assert parse_rcpt_parameters(text) != RcptParameters()


@pytest.mark.parametrize("text", ["HOLDFOR=10", "NOTIFY=NEVER", "=", "=1", "BODI=7BIT", "SIZE=1 X"])
def test_unknown_parameters_are_555(text: str) -> None:
    assert refused_mail(text) == "555 5.5.4"


@pytest.mark.parametrize(
    "text",
    [
        "SIZE",
        "SIZE=",
        "SIZE=-1",
        "SIZE=1e3",
        "SIZE=+1",
        "SIZE=²",
        "SIZE=" + "9" * 21,
        "SIZE=1 size=1",
        "BODY",
        "BODY=BINARYMIME",
        "SMTPUTF8=",
        "SMTPUTF8=1",
        "SMTPUTF8 SMTPUTF8",
        "RET=ALL",
        "RET=",
        "ENVID=",
        "ENVID=a=b",
        "ENVID=" + "a" * 101,
        "AUTH=",
        "AUTH=<a@b>=",
    ],
)
def test_wrong_and_repeated_values_are_501(text: str) -> None:
    assert refused_mail(text) == "501 5.5.4"


@pytest.mark.parametrize("octet", ["+0D", "+0A", "+00", "+7F", "+80", "+0a", "+2b", "+2", "+", "\x7f", "\t"])
def test_xtext_holds_no_hidden_control_character(octet: str) -> None:
    assert refused_mail(f"ENVID=a{octet}b") == "501 5.5.4"
    assert refused_rcpt(f"ORCPT=rfc822;a{octet}b") == "501 5.5.4"


def test_a_declared_size_over_the_limit_is_552() -> None:
    assert refused_mail(f"SIZE={LIMIT + 1}") == "552 5.3.4"
    assert refused_mail("SIZE=99999999999999999999") == "552 5.3.4"


@pytest.mark.parametrize(
    "text",
    [
        "NOTIFY",
        "NOTIFY=",
        "NOTIFY=NEVER,DELAY",
        "NOTIFY=DELAY,DELAY",
        "NOTIFY=SUCCESS,",
        "NOTIFY=ALWAYS",
        "NOTIFY=NEVER NOTIFY=NEVER",
        "ORCPT=customer@example.org",
        "ORCPT=;a",
        "ORCPT=rfc822;",
        "ORCPT=rfc822;a=b",
        "ORCPT=rfc 822;a",
        "ORCPT=rfc822;" + "a" * 494,
    ],
)
def test_wrong_and_repeated_values_of_rcpt_are_refused(text: str) -> None:
    assert refused_rcpt(text) in ("501 5.5.4", "555 5.5.4")


@given(st.text(max_size=60))
def test_random_text_is_understood_or_refused(text: str) -> None:
    assert understood(lambda: parse_mail_parameters(text, LIMIT)) in (0, 501, 552, 555)
    assert understood(lambda: parse_rcpt_parameters(text)) in (0, 501, 555)


def understood(parse: Callable[[], object]) -> int:
    try:
        parse()
    except Refused as refused:
        return refused.reply.code
    return 0
