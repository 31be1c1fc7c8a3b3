"""The gate in front of the signer."""

from __future__ import annotations

from postmeter.delivery.fair_queue import URGENT, Turn
from postmeter.delivery.gate import Gate


def test_a_few_are_inside_and_the_others_come_in_by_turns_as_these_leave() -> None:
    inside: list[int] = []
    gate = Gate(2, inside.append)
    for n in range(5):
        gate.come(Turn(1), n)
    gate.come(Turn(2), 10)
    gate.come(Turn(1, URGENT), 20)
    assert inside == [0, 1]
    for _ in range(5):
        gate.leave()
    assert inside == [0, 1, 20, 2, 10, 3, 4]


def test_who_leaves_as_soon_as_he_comes_in_keeps_nobody_waiting() -> None:
    inside: list[int] = []

    def enter(n: int) -> None:
        inside.append(n)
        if n:
            gate.leave()

    gate = Gate(1, enter)
    for n in range(5000):  # deeper than calls can be nested
        gate.come(Turn(1), n)
    assert inside == [0]
    gate.leave()
    assert inside == list(range(5000))


def test_who_is_turned_away_does_not_come_in_any_more() -> None:
    inside: list[int] = []
    gate = Gate(1, inside.append)
    for n in range(4):
        gate.come(Turn(1), n)
    assert gate.turn_away() == [1, 2, 3]
    gate.leave()
    assert inside == [0]
