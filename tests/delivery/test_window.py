"""The bounded window of what is under way, and who may have how much of it."""

from __future__ import annotations

from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from postmeter.delivery.window import Window
from postmeter.store.picking import Load

LOADS = st.builds(
    Load, st.integers(1, 4), st.sampled_from(["a.example", "b.example"]), st.integers(1, 100), st.integers(0, 500)
)


def one(account: int, receiver: str = "a.example", octets: int = 0) -> Load:
    """A message with one recipient."""
    return Load(account, receiver, 1, octets)


def filled(window: Window, *loads: Load) -> list[int]:
    """Let such messages in by turns until none fits any more; how many there are of each."""
    numbers = [0] * len(loads)
    while any(map(window.fits, loads)):
        for n, load in enumerate(loads):
            if window.fits(load):
                window.enter(load)
                numbers[n] += 1
    return numbers


@given(st.lists(st.tuples(LOADS, st.booleans()), max_size=60))
def test_counts_are_never_negative_and_limits_only_passed_by_one_message(steps: list[tuple[Load, bool]]) -> None:
    window = Window(120, 1000)
    inside: list[Load] = []
    for load, leave in steps:
        if leave and inside:
            window.leave(inside.pop(0))
        elif window.reserve(load):
            inside.append(load)
        assert window.recipients == sum(one.recipients for one in inside)
        assert window.octets == sum(one.octets for one in inside)
        assert len(inside) <= 1 or (window.recipients <= 120 and window.octets < 1000 + 500)
        assert window.room == max(0, 120 - window.recipients)
    for each in inside:
        window.leave(each)
    assert (window.recipients, window.octets, window._held, window._octets) == (0, 0, {}, {})


def test_one_message_is_let_in_however_large() -> None:
    window = Window(10, 1000)
    assert window.fits(Load(1, "a.example", 500, 5_000_000))
    window.enter(Load(1, "a.example", 500, 5_000_000))
    assert window.room == 0
    assert not window.fits(one(1))
    assert not window.fits(one(2))


def test_an_account_may_have_as_much_as_it_leaves_free() -> None:
    receivers = (f"{n}.example" for n in count())
    window = Window(1000)
    while window.fits(mail := one(1, next(receivers))):
        window.enter(mail)
    assert window.recipients == 500
    window = Window(1000)
    for account in (1, 2) * 500:
        if window.fits(mail := one(account, next(receivers))):
            window.enter(mail)
    assert window.recipients == 667


def test_of_octets_an_account_may_have_three_quarters_and_any_other_finds_room_at_once() -> None:
    window = Window(1000, 1000)
    assert filled(window, one(1, octets=50)) == [15]
    assert window.fits(one(2, octets=900))  # as its only one
    window.enter(one(2, octets=900))
    assert not window.fits(one(3, octets=1))
    for _ in range(14):
        window.leave(one(1, octets=50))
    assert window.fits(one(3, octets=1))


def test_a_receiver_gets_a_third_of_the_window_from_one_account_and_half_of_it_from_all() -> None:
    window = Window(900)
    assert filled(window, one(1)) == [300]
    assert filled(window, one(1, "b.example")) == [150]  # half, together
    window = Window(900)
    assert sum(filled(window, *(one(account) for account in range(1, 10)))) == 450
    assert window.fits(one(1, "b.example"))


def test_who_has_nothing_for_a_receiver_under_way_is_let_in_though_it_has_its_share() -> None:
    window = Window(900)
    filled(window, one(1), one(2), one(3))
    assert window.fits(one(4))
    window.enter(one(4))
    assert not window.fits(one(4))


def test_of_its_share_an_account_keeps_a_part_for_what_it_has_in_the_store() -> None:
    window = Window(1000)
    receivers = (f"{n}.example" for n in count())
    while window.reserve(one(1, next(receivers))):
        pass
    assert window.recipients == 467
    assert window.fits(one(1, next(receivers)))
    assert window.reserve(one(2))


def test_who_is_leased_and_has_to_wait_comes_in_by_itself_behind_others_of_the_account() -> None:
    window = Window(100, 1000)
    came: list[int] = []
    window.admit(one(1, octets=700), lambda: came.append(1))
    window.admit(one(1, octets=700), lambda: came.append(2))
    window.admit(one(1, octets=300), lambda: came.append(3))
    window.admit(one(2, octets=10), lambda: came.append(4))
    assert (came, window.waiting) == ([1, 4], 2)
    assert not window.reserve(one(1))
    window.leave(one(2, octets=10))
    assert came == [1, 4]
    window.leave(one(1, octets=700))
    assert (came, window.waiting) == ([1, 4, 2], 1)
    window.leave(one(1, octets=700))
    assert (came, window.waiting, window.recipients) == ([1, 4, 2, 3], 0, 1)


def test_who_is_done_at_once_lets_the_next_one_in_and_nobody_in_twice() -> None:
    window = Window(10, 100)
    came: list[int] = []

    def done(n: int, load: Load) -> None:
        came.append(n)
        window.leave(load)

    blocking = one(1, octets=80)
    window.enter(blocking)
    for n in range(50):
        load = one(1 + n % 2, octets=90)
        window.admit(load, lambda n=n, load=load: done(n, load))  # type: ignore[misc]
    window.leave(blocking)
    assert sorted(came) == list(range(50))
    assert (window.recipients, window.octets, window.waiting) == (0, 0, 0)


def test_those_who_wait_can_be_forgotten() -> None:
    window = Window(10, 100)
    came: list[int] = []
    window.enter(one(1, octets=80))
    window.admit(one(1, octets=80), lambda: came.append(1))
    window.forget_waiting()
    window.leave(one(1, octets=80))
    assert (came, window.recipients) == ([], 0)


def test_what_is_tried_in_a_copy_changes_nothing() -> None:
    window = Window(100, 1000)
    window.enter(one(1, octets=700))
    window.admit(one(1, octets=700), lambda: None)
    copy = window.copy()
    assert not copy.fits(one(1))  # there is one waiting
    copy.enter(one(2, octets=300))
    copy.leave(one(1, octets=700))
    assert (window.recipients, window.octets, window.waiting) == (1, 700, 1)
    assert (copy.recipients, copy.octets) == (1, 300)
