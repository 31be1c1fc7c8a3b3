"""The guards of three workers decide like one that keeps everything in lists, whatever the order of things."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from postmeter.config import Smtp
from postmeter.server.board import Board
from postmeter.server.guard import Guard

WINDOW, DAY = 900_000, 86_400_000  # milliseconds
MONTH = 30 * DAY
LIMITS = Smtp(
    max_new_sessions_per_second=2,
    max_login_failures_per_user=3,
    max_login_failures_per_network=5,
    login_failure_window=WINDOW // 1_000,
)
NETWORK = {"192.0.2.1": "a", "192.0.2.2": "a", "::ffff:192.0.2.1": "a", "198.51.100.1": "b", "2001:db8::1": "c"}
CLIENT = {address: address.removeprefix("::ffff:") for address in NETWORK}


@dataclass
class Naive:
    """One process that remembers all, and looks through all of it."""

    begun: list[tuple[int, str]] = field(default_factory=list)
    succeeded: list[tuple[int, str, str]] = field(default_factory=list)  # moment, user name, address
    windows: dict[tuple[str, ...], list[int]] = field(default_factory=dict)  # moments of the failures

    def trusted(self, now: int, address: str) -> bool:
        """See ``Guard``."""
        return any(now < then + DAY and CLIENT[a] == CLIENT[address] for then, _, a in self.succeeded)

    def may_begin(self, now: int, address: str) -> bool:
        """See ``Guard``."""
        if self.trusted(now, address):
            return True
        self.begun.append((now // 1_000, CLIENT[address]))
        return self.begun.count(self.begun[-1]) <= 2

    def may_log_in(self, now: int, user: str, address: str) -> bool:
        """See ``Guard``."""
        there = NETWORK[address]
        if any(now < then + MONTH and (u, NETWORK[a]) == (user, there) for then, u, a in self.succeeded):
            return self._failures(now, user, there) < 3
        return self._failures(now, user) < 3 and self._failures(now, "from", there, "all") < 5

    def fail(self, now: int, user: str, address: str) -> None:
        """See ``Guard``."""
        there = NETWORK[address]
        again = self._failures(now, user, there) > 0
        for window in ((user,), ("from", there, "all"), (user, there)):
            if again and window[0] == "from":
                continue
            self.windows[window] = [*self.windows[window], now] if self._failures(now, *window) else [now]

    def succeed(self, now: int, user: str, address: str) -> None:
        """See ``Guard``."""
        self.succeeded.append((now, user, address))
        self.windows.pop((user, NETWORK[address]), None)

    def _failures(self, now: int, *window: str) -> int:
        moments = self.windows.get(window, [])
        return len(moments) if moments and now < moments[0] + WINDOW else 0


Act = tuple[str, int, str, str, int]
ACTS = st.lists(
    st.tuples(
        st.sampled_from(["begin", "begin", "fail", "fail", "fail", "succeed", "die"]),
        st.integers(0, 2),
        st.sampled_from(["shop-1", "shop-2", ""]),
        st.sampled_from(list(NETWORK)),
        st.sampled_from(
            [1, 1, 2, 300, 1_000, 400_000, 899_000, DAY - 1_000_000, MONTH - 1_000_000]
        ),  # until the next one
    ),
    max_size=60,
)


@given(ACTS, st.integers(0, 1 << 40))
def test_three_workers_decide_like_one_with_a_perfect_memory(acts: list[Act], now: int) -> None:
    descriptor, naive = Board.create(3), Naive()

    def clock() -> float:
        return now / 1_000

    workers = [Guard(LIMITS, Board(descriptor, page), clock) for page in range(3)]
    for act, n, user, address, pause in acts:
        if act == "begin":
            assert workers[n].may_begin(address) == naive.may_begin(now, address)
        elif act == "fail" and naive.may_log_in(now, user, address):
            workers[n].failed(user, address)
            naive.fail(now, user, address)
        elif act == "succeed":
            workers[n].succeeded(user, address)
            naive.succeed(now, user, address)
        elif act == "die":  # what it knew is kept by its successor
            workers[n] = Guard(LIMITS, Board(descriptor, n), clock)
        now += pause
        for guard in workers:
            assert guard.trusted(address) == naive.trusted(now, address)
            assert guard.may_log_in(user, address) == naive.may_log_in(now, user, address)
    os.close(descriptor)
