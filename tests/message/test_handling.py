"""What a message says about its own way out, over what its connection says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postmeter.message.editing import strip
from postmeter.message.handling import LONGEST, PRIORITIES, SHORTEST, Handling, handling_of, in_words, lifetime_of
from postmeter.message.header import HeaderSection
from postmeter.smtp.reply import Refused

BULK = Handling(2, 7200, False)


def section(*fields: str) -> HeaderSection:
    return HeaderSection.parse("".join(f"{field}\r\n" for field in ("From: a@shop.example", *fields)).encode())


def test_a_message_that_says_nothing_is_handled_as_its_connection_says() -> None:
    assert handling_of(section("X-Postmeter-Ref: order:17"), BULK) == BULK
    assert handling_of(section(), BULK) == BULK


def test_what_a_message_says_comes_before_what_its_connection_says() -> None:
    own = section("X-Postmeter-Priority: Urgent", "x-postmeter-lifetime: 10m", "X-POSTMETER-TLS: required")
    assert handling_of(own, BULK) == Handling(0, 600, True)
    assert strip(own) == section()


def test_a_message_cannot_take_tls_from_its_connection() -> None:
    strict = Handling(tls_required=True)
    assert handling_of(section("X-Postmeter-Priority: bulk"), strict) == Handling(2, 0, True)
    with pytest.raises(Refused, match=r"550 5\.6\.0 X-Postmeter-TLS: 'no' is not known; there is: required"):
        handling_of(section("X-Postmeter-TLS: no"), strict)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("600", 600), ("60s", 60), ("1m", 60), ("10M", 600), ("2h", 7200), ("5d", LONGEST), ("432000", LONGEST)],
)
def test_a_lifetime_is_said_in_seconds_minutes_hours_or_days(text: str, seconds: int) -> None:
    assert lifetime_of(text) == seconds


@given(st.integers(SHORTEST, LONGEST))
def test_a_lifetime_in_words_is_the_same_lifetime(seconds: int) -> None:
    assert lifetime_of(in_words(seconds)) == seconds


@pytest.mark.parametrize(
    "text", ["", "59", "0", "6d", "432001", "1 h", "-60", "1.5h", "1w", "9999999", "٦٠٠", "600\u00b2"]
)
def test_what_is_no_lifetime_is_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match="is no lifetime between 1 minute and 5 days, such as 600, 10m, 2h or 3d"):
        lifetime_of(text)
    if text.isascii():
        with pytest.raises(Refused, match=r"550 5\.6\.0 X-Postmeter-Lifetime: "):
            handling_of(section(f"X-Postmeter-Lifetime: {text}"), BULK)


@pytest.mark.parametrize("name", ["Priority", "Lifetime", "TLS"])
@pytest.mark.parametrize("values", [("what?",), ("",), ("a" * 900,)])
def test_a_wish_that_cannot_be_fulfilled_is_refused_in_one_line(name: str, values: tuple[str, ...]) -> None:
    with pytest.raises(Refused) as refused:
        handling_of(section(*(f"X-Postmeter-{name}: {value}" for value in values)), BULK)
    assert (refused.value.reply.code, refused.value.reply.status) == (550, "5.6.0")
    assert refused.value.reply.text.startswith(f"X-Postmeter-{name}: ")
    assert len(refused.value.reply.text) < 200


@pytest.mark.parametrize("priority", PRIORITIES)
def test_a_wish_can_be_said_once(priority: str) -> None:
    field = f"X-Postmeter-Priority: {priority}"
    assert handling_of(section(field), BULK).priority == PRIORITIES.index(priority)
    with pytest.raises(Refused, match=r"550 5\.6\.0 X-Postmeter-Priority: at most one is allowed"):
        handling_of(section(field, field), BULK)
