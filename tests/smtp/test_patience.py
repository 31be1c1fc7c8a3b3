"""The patience with one client: what is counted, and when it ends."""

from __future__ import annotations

import pytest

from postmeter.smtp.limits import Limits
from postmeter.smtp.patience import MAX_REFUSED, MAX_SURPLUS, Patience, Trial

LIMITS = Limits(max_errors=3, max_login_failures=2, max_junk_commands=4)


@pytest.mark.parametrize(
    ("trial", "borne"),
    [
        (Trial.ERROR, 2),
        (Trial.LOGIN, 1),
        (Trial.JUNK, 4),
        (Trial.REFUSED, MAX_REFUSED),
        (Trial.SURPLUS, MAX_SURPLUS),
    ],
)
def test_every_trial_has_its_end(trial: Trial, borne: int) -> None:
    patience = Patience(LIMITS)
    assert [patience.tried(trial) for _ in range(borne)] == [None] * borne
    farewell = patience.tried(trial)
    assert farewell is not None
    assert (farewell.code, farewell.status) == (421, "4.7.0")


@pytest.mark.parametrize("trial", list(Trial))
def test_an_accepted_message_forgives_all(trial: Trial) -> None:
    patience = Patience(Limits(max_errors=2, max_login_failures=2, max_junk_commands=1, max_messages=9))
    patience.tried(trial)
    patience.rewarded()
    assert patience.tried(trial) is None
    assert patience.messages == 8


def test_the_trials_are_counted_apart() -> None:
    patience = Patience(LIMITS)
    assert [patience.tried(trial) for trial in Trial] == [None] * len(Trial)
    assert [patience.tried(Trial.ERROR), patience.tried(Trial.JUNK)] == [None, None]
