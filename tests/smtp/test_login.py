"""The AUTH exchange: what PLAIN and LOGIN make of base64."""

from __future__ import annotations

from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postmeter.smtp.events import Login
from postmeter.smtp.login import LoginExchange
from postmeter.smtp.reply import Refused


def encode(text: str) -> str:
    return b64encode(text.encode()).decode()


def test_plain_takes_one_response() -> None:
    assert LoginExchange("plain").respond(encode("\0shop\0secret")) == Login("PLAIN", "shop", "secret")


def test_plain_may_repeat_the_user_name_and_name_nobody_else() -> None:
    assert LoginExchange("PLAIN").respond(encode("shop\0shop\0secret")) == Login("PLAIN", "shop", "secret")
    with pytest.raises(Refused) as refused:
        LoginExchange("PLAIN").respond(encode("boss\0shop\0secret"))
    assert str(refused.value.reply).startswith("535 5.7.8 Nobody logs in for somebody else")


def test_an_equals_sign_is_an_empty_initial_response_and_no_other() -> None:
    exchange = LoginExchange("LOGIN")
    assert exchange.respond("=", initial=True) is None
    assert exchange.challenge.encode() == b"334 UGFzc3dvcmQ6\r\n"
    for other in (exchange, LoginExchange("LOGIN")):
        with pytest.raises(Refused) as refused:
            other.respond("=")
        assert str(refused.value.reply).startswith("501 5.5.2")


def test_an_empty_line_is_an_empty_response() -> None:
    exchange = LoginExchange("LOGIN")
    assert exchange.respond(encode("shop")) is None
    assert exchange.respond("") == Login("LOGIN", "shop", "")


def test_login_asks_for_user_name_and_password() -> None:
    exchange = LoginExchange("Login")
    assert exchange.challenge.encode() == b"334 VXNlcm5hbWU6\r\n"
    assert exchange.respond(encode("shöp")) is None
    assert exchange.challenge.encode() == b"334 UGFzc3dvcmQ6\r\n"
    assert exchange.respond(encode("sécret")) == Login("LOGIN", "shöp", "sécret")


@pytest.mark.parametrize(
    "response",
    [
        "",
        "=",
        "*x",
        "a",
        "====",
        "c2hvcA",
        "c2hvcA==\x00",
        "AHNob3A=",
        encode("\0\0secret"),
        encode("\0a\0b\0c"),
        "/w==",
        "AHNo b3AAc2VjcmV0",
        "AHNob3AAc2VjcmV0 ",
        "\tAHNob3AAc2VjcmV0",
        "AHNob3AAc2VjcmV0=",
        "AHNob3AAc2VjcmV0====",
        "AHNo=b3AAc2VjcmV0",
        "AHNob3AAc2VjcmV-",
        "AHNob3AAc2VjcmV0*",
    ],
)
def test_malformed_login_data_are_501(response: str) -> None:
    with pytest.raises(Refused) as refused:
        LoginExchange("PLAIN").respond(response)
    assert str(refused.value.reply).startswith("501 5.5.2")


def test_a_star_cancels() -> None:
    with pytest.raises(Refused) as refused:
        LoginExchange("LOGIN").respond("*")
    assert refused.value.reply.code == 501


@pytest.mark.parametrize("mechanism", ["plain", "PLAIN", "pLaIn", "login", "LOGIN"])
def test_letter_case_of_a_mechanism_does_not_matter(mechanism: str) -> None:
    assert LoginExchange(mechanism).challenge.code == 334


@pytest.mark.parametrize("mechanism", ["CRAM-MD5", "XOAUTH2", "EXTERNAL", "PLAIN=", "ANONYMOUS", "NTLM"])
def test_other_mechanisms_are_504(mechanism: str) -> None:
    with pytest.raises(Refused) as refused:
        LoginExchange(mechanism)
    assert str(refused.value.reply).startswith("504 5.5.4")


def test_a_login_never_shows_its_password() -> None:
    assert "secret" not in repr(Login("PLAIN", "shop", "secret"))


@given(st.text(max_size=40))
def test_random_responses_are_understood_or_refused(response: str) -> None:
    for mechanism in ("PLAIN", "LOGIN"):
        assert outcome(LoginExchange(mechanism), response) in ("login", "more", "501")


def outcome(exchange: LoginExchange, response: str) -> str:
    try:
        return "login" if exchange.respond(response) else "more"
    except Refused as refused:
        return str(refused.reply.code)
