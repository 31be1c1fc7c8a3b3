"""How many wrong guesses are answered."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from postmeter_web.person import throttle
from postmeter_web.person.throttle import LIMIT, WINDOW, Throttle, address_key


@given(st.lists(st.floats(0, 5000), max_size=60))
def test_no_window_holds_more_than_the_limit(times: list[float]) -> None:
    guard = Throttle()
    answered = [at for at in sorted(times) if guard.attempt(["user"], at) == 0]
    for first, beyond in zip(answered, answered[LIMIT:], strict=False):
        assert beyond >= first + WINDOW


def test_a_refused_try_says_how_long_to_wait_and_is_not_counted() -> None:
    guard = Throttle()
    for at in range(LIMIT):
        assert guard.attempt(["user", "address"], at) == 0
    assert guard.attempt(["other", "address"], 100) == WINDOW - 100
    assert guard.attempt(["other"], 100) == 0
    assert guard.attempt(["user"], WINDOW) == 0


def test_another_limit_and_window_hold_as_well() -> None:
    letters = Throttle(2, 3600)
    assert [letters.attempt(["user"], at) for at in (0, 1, 2)] == [0, 0, 3598]
    assert letters.attempt(["user"], 3600) == 0


def test_a_forgiven_try_leaves_room() -> None:
    guard = Throttle()
    for at in range(3 * LIMIT):
        assert guard.attempt(["user"], at) == 0
        guard.forgive(["user"], at)


def test_old_keys_are_dropped() -> None:
    guard = Throttle()
    for n in range(throttle._MANY + 1):
        guard.attempt([str(n)], 0)
    guard.attempt(["new"], WINDOW)
    assert list(guard._failures) == ["new"]


def test_an_ipv6_network_is_one_address() -> None:
    assert address_key("2001:db8::1") == address_key("2001:db8::ffff") != address_key("2001:db8:0:1::1")
    assert address_key("::ffff:192.0.2.1") == address_key("192.0.2.1") != address_key("192.0.2.2")
    assert address_key("a socket") == "a socket"
