"""Ids: UUIDv7 in 26 characters that sort by time."""

from __future__ import annotations

import os
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postmeter.message.identifier import IdFactory, is_id, new_id, time_of

CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
milliseconds = st.integers(0, 2**48 - 1)
octets = st.binary(min_size=10, max_size=10)


@given(milliseconds, octets)
def test_an_id_is_a_version_7_uuid_and_knows_its_time(now: int, random: bytes) -> None:
    identifier = new_id(now, random)
    number = 0
    for character in identifier:
        number = number * 32 + CROCKFORD.index(character)
    made = uuid.UUID(int=number)
    assert (made.version, made.variant, len(identifier)) == (7, uuid.RFC_4122, 26)
    assert number >> 80 == time_of(identifier) == now
    assert is_id(identifier)


@given(milliseconds, milliseconds, octets, octets)
def test_ids_sort_by_time(first: int, second: int, one: bytes, other: bytes) -> None:
    if first != second:
        assert (new_id(first, one) < new_id(second, other)) == (first < second)


@pytest.mark.parametrize(
    "text", ["", "x", "0" * 25, "0" * 27, "8" + "0" * 25, "0" * 25 + "I", "0" * 25 + "a", "0" * 26 + "\n"]
)
def test_other_texts_are_no_ids(text: str) -> None:
    assert not is_id(text)
    with pytest.raises(ValueError, match="not an id"):
        time_of(text)


def test_ids_only_grow_within_a_millisecond_and_when_the_clock_is_set_back() -> None:
    times = iter([10.0, 10.0, 10.0, 9.0, 9.5, 10.001])
    make = IdFactory(lambda: next(times), os.urandom)
    made = [make() for _ in range(6)]
    assert made == sorted(set(made))
    assert [time_of(identifier) for identifier in made] == [10_000] * 5 + [10_001]


def test_an_overflow_of_the_random_part_goes_into_the_next_millisecond() -> None:
    make = IdFactory(lambda: 1.0, lambda n: b"\xff" * n)
    first, second = make(), make()
    assert first < second
    assert time_of(second) == 1001
