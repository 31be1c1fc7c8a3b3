"""When a worker's own leases hold, and when it may say that others' do not."""

from __future__ import annotations

import pytest

from postmeter.delivery.lease import HEARTBEAT, LEASE, Lease, Moment


class Time:
    """Two clocks, and the lease that goes by them."""

    def __init__(self) -> None:
        self.monotonic, self.wall = 100.0, 1e9
        self.lease = Lease(lambda: Moment(self.monotonic, self.wall))

    def run(self, seconds: float) -> None:
        self.monotonic += seconds
        self.wall += seconds

    def beat(self, takes: float = 0.0) -> None:
        begun = self.lease.now()
        self.run(takes)
        self.lease.confirm(begun)

    def beats(self, seconds: float) -> None:
        for _ in range(int(seconds // HEARTBEAT)):
            self.run(HEARTBEAT)
            self.beat()


def test_the_leases_hold_until_a_heartbeat_before_their_end() -> None:
    time = Time()
    time.run(LEASE - HEARTBEAT - 0.1)
    assert time.lease.held
    time.run(0.2)
    assert not time.lease.held
    time.beat()
    assert time.lease.held


def test_a_heartbeat_counts_from_its_beginning_not_from_its_commit() -> None:
    time = Time()
    time.beat(takes=LEASE)
    assert not time.lease.held


def test_others_are_judged_after_a_whole_lease_of_own_heartbeats() -> None:
    time = Time()
    time.beats(40)
    assert not time.lease.steady
    time.beats(10)
    assert time.lease.steady


def stall(time: Time) -> None:
    """Heartbeats are made every ten seconds, and all come through at the end."""
    begun = []
    for _ in range(6):
        time.run(HEARTBEAT)
        begun.append(time.lease.now())
    for one in begun:
        time.lease.confirm(one)


def jump(time: Time) -> None:
    """The clock is set, or the machine was suspended."""
    time.wall += 60


@pytest.mark.parametrize("trouble", [stall, jump])
def test_after_a_stall_or_a_jump_everybody_has_time_to_renew_first(trouble: object) -> None:
    time = Time()
    time.beats(100)
    assert time.lease.steady
    assert callable(trouble)
    trouble(time)
    assert not time.lease.steady
    time.beats(40)
    assert not time.lease.steady
    time.beats(20)
    assert time.lease.steady


def test_without_confirmed_heartbeats_nobody_is_judged() -> None:
    time = Time()
    time.beats(100)
    time.run(2 * HEARTBEAT + 0.1)
    assert not time.lease.steady


def test_a_suspended_machine_knows_that_its_leases_may_be_lost() -> None:
    time = Time()
    jump(time)
    assert not time.lease.held


def test_a_clock_that_is_set_back_changes_nothing() -> None:
    time = Time()
    time.beats(100)
    time.wall -= 3600
    assert (time.lease.held, time.lease.steady) == (True, True)
    time.run(LEASE)
    assert (time.lease.held, time.lease.steady) == (False, False)
