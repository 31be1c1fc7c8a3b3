"""The turnstile in front of the signer."""

from __future__ import annotations

from postmeter.delivery.fair_queue import Turn
from postmeter.delivery.turnstile import Turnstile
from postmeter.message.handling import BULK, URGENT


def test_a_few_are_inside_and_the_others_come_in_by_turns_as_these_leave() -> None:
    inside: list[int] = []
    turnstile = Turnstile(2, inside.append)
    for n in range(5):
        turnstile.come(Turn(1), n)
    turnstile.come(Turn(2), 10)
    turnstile.come(Turn(1, URGENT), 20)
    assert inside == [0, 1]
    for n in (1, 0, 2, 20, 10):
        turnstile.leave(n)
    assert inside == [0, 1, 20, 2, 10, 3, 4]


def test_who_leaves_as_soon_as_he_comes_in_keeps_nobody_waiting() -> None:
    inside: list[int] = []

    def enter(n: int) -> None:
        inside.append(n)
        if n:
            turnstile.leave(n)

    turnstile = Turnstile(1, enter)
    for n in range(5000):  # deeper than calls can be nested
        turnstile.come(Turn(1), n)
    assert inside == [0]
    turnstile.leave(0)
    assert inside == list(range(5000))


def test_who_is_turned_away_does_not_come_in_any_more() -> None:
    inside: list[int] = []
    turnstile = Turnstile(1, inside.append)
    for n in range(4):
        turnstile.come(Turn(1), n)
    assert turnstile.turn_away() == [1, 2, 3]
    turnstile.leave(0)
    assert inside == [0]


def test_of_shared_places_an_account_has_as_many_as_it_leaves_free() -> None:
    inside: list[int] = []
    turnstile = Turnstile(6, inside.append, shared=True)
    for n in range(10):
        turnstile.come(Turn(1), n)
    assert inside == [0, 1, 2]
    for n in range(20, 30):
        turnstile.come(Turn(2), n)
    assert inside[3:] == [20, 21]
    turnstile.leave(0)
    assert inside[5:] == []  # two each, and two for whoever comes
    turnstile.come(Turn(3, BULK), 30)
    assert inside[5:] == [30]
    for n in (1, 20):
        turnstile.leave(n)
    assert inside[6:] == [3, 22]


def test_who_comes_in_another_turn_as_well_comes_in_once_and_in_the_first() -> None:
    inside: list[str] = []
    turnstile = Turnstile(2, inside.append, shared=True)
    for item in ("first", "pile", "wanted", "other"):
        turnstile.come(Turn(1), item)
    turnstile.come(Turn(2), "wanted")
    turnstile.come(Turn(3), "wanted")
    turnstile.come(Turn(3), "first")  # it is inside already
    assert inside == ["first", "wanted"]
    turnstile.leave("first")
    turnstile.leave("wanted")
    assert inside == ["first", "wanted", "pile"]
    turnstile.leave("pile")
    assert inside == ["first", "wanted", "pile", "other"]
    turnstile.leave("other")
    turnstile.come(Turn(4), "wanted")
    assert inside[4:] == ["wanted"]
    assert (turnstile._outside, len(turnstile._waiting)) == ({}, 0)
