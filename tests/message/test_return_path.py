"""Return paths: they come back to their message, forged ones do not, nor old ones."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from postmeter.message.identifier import new_id
from postmeter.message.return_path import DAY, LATE, MOST_DAYS, ReturnDomain, Returned, ReturnPaths
from postmeter.smtp.address import MAX_LOCAL, parse_forward_path

NOW = 1_764_200_000.0
LIFETIME = 4 * DAY
DOMAIN = "bounce.relay.example"
PATHS = ReturnPaths(b"k" * 32, LIFETIME)
IDENTIFIER = new_id(int(NOW * 1000), b"random octets")

numbers = st.one_of(st.none(), st.integers(0, 999_999))


@given(numbers, st.integers(0, MOST_DAYS), st.binary(min_size=10, max_size=10))
def test_a_return_path_comes_back_to_its_message(number: int | None, days: int, octets: bytes) -> None:
    returned = Returned(new_id(int(NOW * 1000), octets), number, days)
    path = PATHS.write(returned, DOMAIN)
    assert parse_forward_path(f"<{path}>").mailbox == path
    assert len(path.partition("@")[0]) <= MAX_LOCAL
    assert PATHS.read(path, NOW) == returned
    assert PATHS.read(path.upper(), NOW) == returned


@given(st.integers(0, 51), st.characters(codec="ascii"))
def test_a_changed_return_path_is_none_of_ours(place: int, character: str) -> None:
    path = PATHS.write(Returned(IDENTIFIER, 0), DOMAIN)
    changed = path[:place] + character + path[place + 1 :]
    assert PATHS.read(changed, NOW) == (Returned(IDENTIFIER, 0) if changed.lower() == path else None)


def test_what_another_key_has_written_is_none_of_ours() -> None:
    assert PATHS.read(ReturnPaths(b"other", LIFETIME).write(Returned(IDENTIFIER, 0), DOMAIN), NOW) is None


def test_it_counts_at_its_own_domain_only() -> None:
    path = PATHS.write(Returned(IDENTIFIER, 0), DOMAIN)
    assert PATHS.read(path.replace(DOMAIN, "other.example"), NOW) is None


def test_it_counts_until_a_month_after_the_lifetime() -> None:
    path = PATHS.write(Returned(IDENTIFIER, 0), DOMAIN)
    assert PATHS.read(path, NOW + LIFETIME + LATE - 1) is not None
    assert PATHS.read(path, NOW + LIFETIME + LATE + 1) is None


@given(st.floats(-DAY, 20_000 * DAY))
@example(0.0)
@example(DAY)
def test_the_lifetime_may_begin_long_after_the_acceptance(waited: float) -> None:
    path = ReturnDomain(PATHS, DOMAIN).write(IDENTIFIER, 7, waited)
    assert path.count(".") == (5 if waited > 0 else 4)
    end = NOW + min(max(0.0, waited), MOST_DAYS * DAY) + LIFETIME + LATE
    assert PATHS.read(path, end - 1) is not None
    assert PATHS.read(path, end + DAY + 1) is None


def test_nobody_can_lengthen_its_time() -> None:
    path = PATHS.write(Returned(IDENTIFIER, 0, 1), DOMAIN)
    assert PATHS.read(path.replace(".0.1.", ".0.2."), NOW) is None
    assert PATHS.read(path.replace(".0.1.", ".0."), NOW) is None


@given(st.text())
@example("b+")
@example("@")
def test_any_text_can_be_asked_about(text: str) -> None:
    assert PATHS.read(text, NOW) is None


@pytest.mark.parametrize("piece", ["b+", "@", ".", "a", "+"])
def test_a_long_text_takes_no_time(piece: str) -> None:
    begun = time.thread_time()
    assert PATHS.read(piece * 1_000_000, NOW) is None
    assert time.thread_time() - begun < 0.05


def test_nothing_personal_is_in_it() -> None:
    """Only the id, which is a time and chance, the recipient's number and a hash of both."""
    local = PATHS.write(Returned(IDENTIFIER, 3), DOMAIN).partition("@")[0]
    assert local.removeprefix("b+").split(".")[:2] == [IDENTIFIER.lower(), "3"]
