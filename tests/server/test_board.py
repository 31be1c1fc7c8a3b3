"""Shared numbers: the sum of what all workers say, windows that run for all, and what is forgotten first."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postmeter.server.board import FOREVER, SETS, WAYS, Board


@contextmanager
def boards(pages: int) -> Iterator[tuple[int, list[Board]]]:
    """A descriptor, and what each of the workers sees."""
    descriptor = Board.create(pages)
    try:
        yield descriptor, [Board(descriptor, page) for page in range(pages)]
    finally:
        os.close(descriptor)


def same_set(count: int) -> list[int]:
    """Keys that compete for the same places."""
    return [7 + SETS * n for n in range(1, count + 1)]


def test_each_worker_writes_its_own_number_and_reads_the_sum() -> None:
    with boards(3) as (_, (a, b, c)):
        a.put(1, 5)
        b.put(1, 2)
        b.put(2, 9)
        assert [board.count(1, 0) for board in (a, b, c)] == [7, 7, 7]
        a.put(1, 1)
        assert c.count(1, 0) == 3
        assert c.count(2, 0) == 9
        assert c.count(3, 0) == 0


def test_a_count_of_nothing_takes_the_number_away() -> None:
    with boards(2) as (_, (a, b)):
        a.put(1, 5)
        b.put(1, 0)
        assert b.count(1, 0) == 5
        a.put(1, 0)
        assert b.count(1, 0) == 0
        assert b.end(1) == 0


def test_a_number_counts_until_its_end() -> None:
    board = Board.alone()
    board.put(1, 3, 1_000)
    assert board.count(1, 999) == 3
    assert board.count(1, 1_000) == 0
    assert board.end(1) == 1_000


def test_a_window_begins_with_the_first_and_has_one_end_for_all() -> None:
    with boards(2) as (_, (a, b)):
        a.add(1, 100, 1_100)
        b.add(1, 600, 1_600)  # joins
        b.add(1, 700, 1_700)
        assert a.count(1, 1_099) == 3
        assert a.count(1, 1_100) == 0
        b.add(1, 1_100, 2_100)
        assert a.count(1, 1_100) == 1
        assert a.end(1) == 2_100


def test_the_last_end_of_all_workers_is_known() -> None:
    with boards(2) as (_, (a, b)):
        a.put(1, 1, 2_000)
        b.put(1, 1, 1_000)
        assert a.end(1) == b.end(1) == 2_000


def test_a_full_set_forgets_the_number_that_ends_first() -> None:
    board = Board.alone()
    keys = same_set(WAYS + 1)
    for n, key in enumerate(keys):
        board.put(key, 1, 1_000 - n)
    assert [board.count(key, 0) for key in keys] == [1] * (WAYS - 1) + [0, 1]


def test_sessions_are_forgotten_last() -> None:
    board = Board.alone()
    *keys, window, other = same_set(WAYS + 1)
    for key in keys:
        board.put(key, 4)
    board.put(window, 1, 1_000)
    board.put(other, 1, 2_000)
    assert [board.count(key, 0) for key in keys] == [4] * (WAYS - 1)
    assert [board.count(window, 0), board.count(other, 0)] == [0, 1]


def test_a_place_that_was_given_back_is_taken_before_anything_is_forgotten() -> None:
    board = Board.alone()
    *keys, other = same_set(WAYS + 1)
    for key in keys:
        board.put(key, 1, 1_000)
    board.put(keys[3], 0)
    board.put(other, 1, 500)
    assert [board.count(key, 0) for key in (*keys, other)] == [1, 1, 1, 0, 1, 1, 1, 1, 1]


def test_a_full_set_of_one_worker_takes_nothing_from_another() -> None:
    with boards(2) as (_, (a, b)):
        a.put(same_set(1)[0], 1, 1)
        for key in same_set(3 * WAYS):
            b.put(key, 1, 1_000)
        assert a.count(same_set(1)[0], 0) == 1


def test_a_worker_that_is_gone_has_no_sessions_but_what_it_knew_is_still_true() -> None:
    with boards(2) as (descriptor, (a, b)):
        for key in range(1, 2 * SETS, 5):
            b.put(key, 1)
        b.add(2 * SETS, 0, 1_000)
        a.put(6, 3)
        Board.clear(descriptor, 1)
        assert not any(a.count(key, 0) for key in range(1, 2 * SETS, 5) if key != 6)
        assert a.count(6, 0) == 3
        assert a.count(2 * SETS, 0) == 1
        successor = Board(descriptor, 1)
        successor.add(2 * SETS, 0, 1_000)
        assert a.count(2 * SETS, 0) == 2


def test_a_successor_has_no_sessions_though_nobody_cleared_them() -> None:
    with boards(2) as (descriptor, (a, b)):
        b.put(1, 1)
        Board(descriptor, 1)
        assert a.count(1, 0) == 0


def test_a_count_stays_within_its_word() -> None:
    board = Board.alone()
    board.put(1, 1 << 30, 1_000)
    board.add(1, 0, 5_000)
    assert board.count(1, 0) == (1 << 20) - 1
    assert board.end(1) == 1_000


def test_all_workers_share_a_secret_and_the_names_of_numbers() -> None:
    with boards(2) as (_, (a, b)), boards(1) as (_, (other,)):
        assert a.secret == b.secret != other.secret
        assert len(set(a.secret)) > 60
        assert a.key("user", "shop") == b.key("user", "shop") != other.key("user", "shop")


def test_a_board_is_not_inherited_by_chance() -> None:
    with boards(1) as (descriptor, _):
        assert not os.get_inheritable(descriptor)


@pytest.mark.parametrize("text", ["", "\0", "a" * 1_000_000, "\ud800", "💌", "\r\n"])
def test_any_text_can_name_a_number(text: str) -> None:
    board = Board.alone()
    assert 0 < board.key("user", text) < 1 << 64
    assert board.key("user", text) != board.key("network", text)


def test_octets_of_two_neighbours_that_look_like_a_key_are_no_number() -> None:
    board = Board.alone()
    key = b"\7\0\x11\x12" + b"\7\0\x13\x14"
    for neighbour in (b"\7\0\0\0" + key[:4], key[4:] + b"\0\0\0\0"):
        board.put(int.from_bytes(neighbour, sys.byteorder), 1)
    assert key in board._memory[:]
    assert board.count(int.from_bytes(key, sys.byteorder), 0) == 0


Step = tuple[int, int, int, int]
STEPS = st.lists(
    st.tuples(st.integers(0, 2), st.integers(1, 12), st.integers(0, 40), st.sampled_from([10, 20, 5_000, FOREVER])),
    max_size=60,
)


@given(STEPS)
def test_the_sum_is_that_of_a_table_for_each_worker(steps: list[Step]) -> None:
    tables: list[dict[int, tuple[int, int]]] = [{}, {}, {}]
    with boards(3) as (_, workers):
        for worker, key, count, end in steps:
            workers[worker].put(key, count, end)
            tables[worker][key] = (count, end)
            for after in (0, 10, 4_999, FOREVER - 1):
                expected = sum(t[key][0] for t in tables if key in t and t[key][1] > after)
                assert {board.count(key, after) for board in workers} == {expected}


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 30), st.integers(1, 9), st.integers(1, 50)), max_size=150))
def test_a_full_board_forgets_what_ends_first_and_never_makes_anything_up(steps: list[Step]) -> None:
    keys = same_set(31)
    tables: list[dict[int, tuple[int, int]]] = [{}, {}]
    with boards(2) as (_, workers):
        for moment, (worker, n, count, end) in enumerate(steps):
            table = tables[worker]
            if keys[n] not in table and len(table) == WAYS:
                del table[min(table, key=lambda key: table[key][1])]
            table[keys[n]] = (count, 1_000 * end + moment)
            workers[worker].put(keys[n], *table[keys[n]])
        for key in keys:
            assert workers[0].count(key, 0) == sum(table[key][0] for table in tables if key in table)
