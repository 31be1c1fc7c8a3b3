"""The bounded window of what is under way."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from postmeter.delivery.window import Window


@given(st.lists(st.tuples(st.integers(1, 100), st.integers(0, 500), st.booleans()), max_size=60))
def test_counts_are_never_negative_and_limits_only_passed_by_one_message(steps: list[tuple[int, int, bool]]) -> None:
    window = Window(120, 1000)
    inside: list[tuple[int, int]] = []
    for recipients, octets, leave in steps:
        if leave and inside:
            window.leave(*inside.pop(0))
        elif window.fits(recipients, octets):
            window.enter(recipients, octets)
            inside.append((recipients, octets))
        assert window.recipients == sum(r for r, _ in inside)
        assert window.octets == sum(o for _, o in inside)
        assert len(inside) <= 1 or (window.recipients <= 120 and window.octets <= 1000)
        assert window.room == max(0, 120 - window.recipients)
    for one in inside:
        window.leave(*one)
    assert (window.recipients, window.octets) == (0, 0)


def test_one_message_is_let_in_however_large() -> None:
    window = Window(10, 1000)
    assert window.fits(500, 5_000_000)
    window.enter(500, 5_000_000)
    assert window.room == 0
    assert not window.fits(1, 1)
