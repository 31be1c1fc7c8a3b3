"""How far an account may go beyond its blocks, by agreement, policy and cap."""

from __future__ import annotations

import math

import pytest

from postmeter.quota.overdraft import room


@pytest.mark.parametrize(
    ("agreement", "policy", "cap", "owed", "units"),
    [
        (True, "agreement", 0, 5, math.inf),
        (False, "agreement", 0, 0, 0),
        (False, "agreement", 100, 0, 0),
        (False, "always", 0, 5, math.inf),
        (True, "never", 0, 0, 0),
        (True, "agreement", 100, 30, 70),
        (False, "always", 100, 130, -30),
        (True, "agreement", 100, -5, 105),
    ],
)
def test_the_policy_says_who_may_and_the_cap_how_far(
    agreement: bool, policy: str, cap: int, owed: int, units: float
) -> None:
    assert room(agreement, policy, cap, owed) == units
