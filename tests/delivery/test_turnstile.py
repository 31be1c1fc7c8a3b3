"""The turnstile in front of the signer."""

from __future__ import annotations

from postmeter.delivery.fair_queue import Turn
from postmeter.delivery.turnstile import Turnstile
from postmeter.message.handling import URGENT


def test_a_few_are_inside_and_the_others_come_in_by_turns_as_these_leave() -> None:
    inside: list[int] = []
    turnstile = Turnstile(2, inside.append)
    for n in range(5):
        turnstile.come(Turn(1), n)
    turnstile.come(Turn(2), 10)
    turnstile.come(Turn(1, URGENT), 20)
    assert inside == [0, 1]
    for _ in range(5):
        turnstile.leave()
    assert inside == [0, 1, 20, 2, 10, 3, 4]


def test_who_leaves_as_soon_as_he_comes_in_keeps_nobody_waiting() -> None:
    inside: list[int] = []

    def enter(n: int) -> None:
        inside.append(n)
        if n:
            turnstile.leave()

    turnstile = Turnstile(1, enter)
    for n in range(5000):  # deeper than calls can be nested
        turnstile.come(Turn(1), n)
    assert inside == [0]
    turnstile.leave()
    assert inside == list(range(5000))


def test_who_is_turned_away_does_not_come_in_any_more() -> None:
    inside: list[int] = []
    turnstile = Turnstile(1, inside.append)
    for n in range(4):
        turnstile.come(Turn(1), n)
    assert turnstile.turn_away() == [1, 2, 3]
    turnstile.leave()
    assert inside == [0]
