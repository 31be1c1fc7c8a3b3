"""Turns: the urgent before the rest, though not for ever; each account as often as any other."""

from __future__ import annotations

from collections import Counter as Tally

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postmeter.delivery.fair_queue import LOWER, FairQueue, Turn
from postmeter.message.handling import BULK, NORMAL, URGENT

TURNS = st.builds(Turn, st.integers(1, 3), st.sampled_from([URGENT, NORMAL, BULK]))


def emptied(queue: FairQueue[int]) -> list[int]:
    """All items in the order in which they leave."""
    return [queue.pop() for _ in range(len(queue))]


def test_accounts_take_turns_however_many_each_has() -> None:
    queue: FairQueue[int] = FairQueue()
    for n in range(1000):
        queue.push(Turn(1), n)
    queue.push(Turn(2), 2000)
    queue.push(Turn(3), 3000)
    queue.push(Turn(3), 3001)
    assert emptied(queue)[:6] == [0, 2000, 3000, 1, 3001, 2]


def test_the_urgent_leave_first_and_one_of_eight_comes_from_below() -> None:
    queue: FairQueue[int] = FairQueue()
    for n in range(1000):
        for priority in (URGENT, NORMAL, BULK):
            queue.push(Turn(n % 5, priority), priority)
    assert Tally(queue.pop() for _ in range(LOWER**3)) == {URGENT: 448, NORMAL: 56, BULK: 8}


def test_what_could_not_use_its_turn_is_the_next_of_its_account() -> None:
    queue: FairQueue[int] = FairQueue()
    queue.push(Turn(1), 1)
    queue.push(Turn(1), 2)
    queue.push_back(Turn(1), queue.pop())
    assert emptied(queue) == [1, 2]
    with pytest.raises(IndexError):
        queue.pop()


def test_all_of_one_account_can_be_taken_out() -> None:
    queue: FairQueue[int] = FairQueue()
    for n in range(12):
        queue.push(Turn(1 + n % 2, (URGENT, NORMAL, BULK)[n % 3]), n)
    assert sorted(queue.drain_of(1)) == [0, 2, 4, 6, 8, 10]
    assert queue.drain_of(1) == []
    assert sorted(emptied(queue)) == [1, 3, 5, 7, 9, 11]


@given(st.lists(st.one_of(TURNS, st.none()), max_size=80))
def test_nothing_is_lost_and_each_account_and_priority_keeps_its_order(steps: list[Turn | None]) -> None:
    queue: FairQueue[tuple[Turn, int]] = FairQueue()
    left: list[tuple[Turn, int]] = []
    for n, turn in enumerate(steps):
        if turn is not None:
            queue.push(turn, (turn, n))
        elif len(queue):
            left.append(queue.pop())
    left += queue.drain()
    assert sorted(n for _, n in left) == [n for n, turn in enumerate(steps) if turn is not None]
    for turn in {turn for turn, _ in left}:
        numbers = [n for each, n in left if each == turn]
        assert numbers == sorted(numbers)


def test_whose_turn_it_is_can_be_seen_before() -> None:
    queue: FairQueue[str] = FairQueue()
    for turn, item in ((Turn(1), "a"), (Turn(1), "b"), (Turn(2), "c"), (Turn(3, URGENT), "d")):
        queue.push(turn, item)
    seen = [(queue.turn, queue.pop()) for _ in range(4)]
    assert seen == [(Turn(3, URGENT), "d"), (Turn(1), "a"), (Turn(2), "c"), (Turn(1), "b")]
