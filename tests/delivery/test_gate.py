"""The gate to a provider: sessions and rates of all its mail servers and of all workers, by a clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from postmeter.delivery.complaint import Said
from postmeter.delivery.fair_queue import FairQueue, Turn
from postmeter.delivery.gate import AHEAD, LATEST, LOOK, TURN
from postmeter.delivery.job import Job
from postmeter.delivery.reply_rule import Rule
from postmeter.message.handling import BULK
from postmeter.smtp.reply import Reply
from postmeter.store.provider_sessions import NONE, Sessions
from support.delivering import mail
from support.gates import SHAPE, FakeDestination, Machine

NewMachine = Callable[..., Machine]
BUSY = Reply(421, "4.7.0", "[TS01] slow down")


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[NewMachine]:
    """Makes machines with so many workers."""
    made: list[Machine] = []

    def make(workers: int = 1) -> Machine:
        made.append(Machine(tmp_path, workers))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_sessions_of_all_mail_servers_of_a_provider_are_limited_together(machine: NewMachine) -> None:
    m = machine()
    gate = m.gate()
    one, other = FakeDestination(gate), FakeDestination(gate)
    one.grow()
    other.grow()
    assert (one.open, other.open) == (5, 0)
    one.wants = 4
    one.close()
    m.clock.advance(0)
    assert (one.open, other.open) == (4, 1)
    one.end()
    m.clock.advance(0)
    assert other.open == 5
    other.end()


def test_a_session_without_mail_makes_room_for_another_mail_server(machine: NewMachine) -> None:
    m = machine()
    gate = m.gate()
    one, other = FakeDestination(gate, wants=5), FakeDestination(gate, wants=1)
    one.grow()
    assert not gate.crowded
    one.wants = one.idle = 2
    other.grow()
    assert gate.crowded
    m.clock.advance(0)
    assert (one.open, one.idle, other.open) == (4, 1, 1)
    assert not gate.crowded
    one.end()
    other.end()


def test_sessions_begin_with_few_grow_with_success_and_halve_on_complaints(machine: NewMachine) -> None:
    m = machine()
    gate = m.gate(first=2)
    one = FakeDestination(gate)
    one.grow()
    assert one.open == 2
    for most in (3, 4, 5, 5):
        gate.learn([], 1)
        m.clock.advance(0)
        assert one.open == most
    gate.learn([Said(BUSY, "mail", "mx")], -1)
    for _ in range(4):
        one.close()
    m.clock.advance(LOOK)
    assert one.open == 2
    assert m.rooms[0].learned == [0] * 5  # those of others have nothing to do with it
    one.end()


def test_it_tells_of_its_sessions_and_begins_again_when_the_provider_is_resumed(machine: NewMachine) -> None:
    m = machine()
    gate = m.gate(first=2)
    assert gate.sessions() == NONE
    one = FakeDestination(gate)
    one.grow()
    assert gate.sessions() == Sessions(2, 2)
    for _ in range(5):
        gate.learn([], 1)
    m.clock.advance(0)
    assert gate.sessions() == Sessions(5, 5)
    one.allowed = 3
    assert gate.sessions() == Sessions(5, 3)
    m.restrict()
    assert gate.sessions() == Sessions(5, 0)
    m.restrict(sessions=1)
    assert gate.sessions() == Sessions(5, 1)
    m.restrictions.clear()
    for _ in range(3):
        gate.learn([Said(BUSY, "mail", "mx")], -1)
    one.end()
    assert gate.sessions() == Sessions(0, 1)  # nobody uses it, but it remembers
    other = FakeDestination(gate)
    other.grow()
    assert other.open == 1
    gate.begin_again()
    assert other.open == 2
    other.end()
    assert gate.sessions() == NONE


def test_a_worker_tells_of_its_part_of_few_sessions(machine: NewMachine) -> None:
    m = machine(4)
    gates = [m.gate(first=2, worker=n) for n in range(4)]
    using = [FakeDestination(gate) for gate in gates]
    using[0].grow()
    assert sum((gate.sessions() for gate in gates), NONE) == Sessions(2, 5.0)
    gates[0].learn([Said(BUSY, "mail", "mx")], -1)
    assert sum((gate.sessions() for gate in gates), NONE) == Sessions(2, 4.75)
    for one in using:
        one.end()


def test_a_worker_has_its_share_and_all_together_no_more_than_the_limit(machine: NewMachine) -> None:
    m = machine(2)
    one, other = (FakeDestination(m.gate(worker=n)) for n in range(2))
    one.grow()
    other.grow()
    assert (one.open, other.open) == (3, 2)
    one.end()
    m.clock.advance(LOOK)
    assert other.open == 3
    other.end()


def test_one_session_goes_to_and_fro_between_two_workers(machine: NewMachine) -> None:
    m = machine(2)
    workers = [FakeDestination(m.gate(replace(SHAPE, connections=1), worker=n)) for n in range(2)]
    for one in workers:
        one.grow()
    assert [one.open for one in workers] == [1, 0]
    held = [0, 0]
    for _ in range(600):
        m.clock.advance(0.1)
        assert sum(one.open for one in workers) <= 1
        for n, one in enumerate(workers):
            held[n] += one.open
            if one.open and one.gate.over():  # its mail is sent: the session ends, or goes on
                one.close()
    assert min(held) > 200
    for one in workers:
        one.end()


def test_a_session_goes_on_while_nobody_else_wants_one(machine: NewMachine) -> None:
    m = machine(2)
    one = FakeDestination(m.gate(replace(SHAPE, connections=1)))
    one.grow()
    m.clock.advance(10 * TURN)
    assert not one.gate.over()
    m.rooms[0].ends = True
    assert one.gate.over()
    one.end()


def test_a_session_without_mail_goes_when_another_worker_wants_one(machine: NewMachine) -> None:
    m = machine(2)
    one, other = (FakeDestination(m.gate(replace(SHAPE, connections=1), worker=n), wants=1) for n in range(2))
    one.grow()
    one.wants, one.idle = 0, 1
    other.grow()
    for _ in range(100):
        m.clock.advance(0.1)
    assert (one.open, other.open) == (0, 1)
    other.end()
    one.end()


def test_mail_and_connections_have_their_pace(machine: NewMachine) -> None:
    m = machine()
    gate = m.gate(replace(SHAPE, rate=2.0, connection_rate=0.1, connections=1_000))
    one = FakeDestination(gate)
    one.grow()
    assert one.open == 1
    assert [one.goes() for _ in range(4)] == [True, True, False, False]
    m.clock.pump([0.5] * 2)
    assert one.grown > 1
    m.clock.pump([0.5] * 18)
    assert one.open == 2
    one.end()


def test_the_pace_is_shared_by_the_workers(machine: NewMachine) -> None:
    m = machine(4)
    gate = m.gate(replace(SHAPE, rate=2.0))
    one = FakeDestination(gate)
    assert [one.goes() for _ in range(2)] == [True, False]
    one.end()


def test_a_slowdown_closes_sessions_and_slows_mail_until_it_ends(machine: NewMachine) -> None:
    m = machine()
    gate = m.gate()
    one = FakeDestination(gate)
    one.grow()
    m.restrict(sessions=1, per_minute=6)
    assert not one.goes()
    while gate.over():
        one.close()
    m.clock.advance(9)
    assert (one.open, one.goes()) == (1, False)
    m.clock.advance(1)
    assert [one.goes(), one.goes()] == [True, False]
    m.restrictions.clear()
    m.clock.advance(LOOK)
    assert one.open == 5
    assert one.goes()
    one.end()


def test_idle_sessions_that_are_too_many_are_closed(machine: NewMachine) -> None:
    m = machine()
    one = FakeDestination(m.gate())
    one.grow()
    one.wants, one.idle = 0, 5
    m.restrict(sessions=2)
    m.clock.pump([LOOK] * 6)
    assert one.open == 2
    one.end()


def test_what_waits_for_a_suspended_provider_is_put_off(machine: NewMachine) -> None:
    m = machine()
    gate = m.gate()
    one = FakeDestination(gate)
    m.restrict()
    one.grow()
    assert (one.open, one.goes()) == (0, False)
    m.clock.advance(0)
    assert one.off == [LOOK]
    one.end()


def test_a_strangers_restriction_is_its_own_or_that_of_all_strangers(machine: NewMachine) -> None:
    m = machine()
    gate = m.gate(names=("mx.x.example", "other"))
    one = FakeDestination(gate)
    m.restrict(name="other")
    assert not one.goes()
    m.restrict(name="mx.x.example", sessions=1)
    assert one.goes()
    one.end()


def test_a_rule_is_applied_to_the_provider(machine: NewMachine) -> None:
    m = machine()
    rule = Rule("TS01", texts=("[ts01]",), seconds=60.0)
    gate = m.gate(replace(SHAPE, rules=(rule,)), names=("mx.x.example", "other"))
    gate.learn([Said(BUSY, "mail", "behind.example")], -1)
    assert m.fired == []
    gate.learn([Said(Reply(250, "", "ok"), "content", "mx.x.example"), Said(BUSY, "mail", "mx.x.example")], -1)
    assert m.fired == [("mx.x.example", rule, BUSY)]


def test_no_place_is_kept_when_the_process_has_no_room(machine: NewMachine) -> None:
    m = machine()
    m.rooms[0].left = 0
    one = FakeDestination(m.gate(replace(SHAPE, connections=1)))
    one.grow()
    assert one.open == 0
    m.rooms[0].left = 10
    one.grow()
    assert one.open == 1
    one.end()


def waiting(count: int, account: int = 1) -> FairQueue[Job]:
    queue: FairQueue[Job] = FairQueue()
    for _ in range(count):
        queue.push(Turn(account), Job(mail(), 0.0, Turn(account)))
    return queue


def test_what_cannot_leave_within_a_minute_comes_again_when_it_can(machine: NewMachine) -> None:
    gate = machine().gate(replace(SHAPE, rate=2.0))
    most = int(2 * AHEAD)
    assert gate.pause(waiting(most), Turn(1)) == 0.0
    too_many = waiting(most + 1)
    pauses = [gate.pause(too_many, Turn(1)) for _ in range(4)]
    assert pauses == [AHEAD + 0.5, AHEAD + 1.0, AHEAD + 1.5, AHEAD + 2.0]
    assert max(gate.pause(too_many, Turn(1)) for _ in range(10_000)) == LATEST


def test_nobody_is_put_off_because_of_anothers_pile(machine: NewMachine) -> None:
    gate = machine().gate(replace(SHAPE, rate=2.0))
    pile = waiting(1_000)
    assert gate.pause(pile, Turn(2)) == 0.0
    assert gate.pause(pile, Turn(1)) > 0
    assert gate.pause(pile, Turn(2, BULK)) > 0


@given(
    limit=st.integers(1, 4),
    steps=st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["grow", "close", "end", "time"])), max_size=60),
)
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_limit_holds_whatever_happens(machine: NewMachine, limit: int, steps: list[tuple[int, str]]) -> None:
    m = machine(3)
    workers = [FakeDestination(m.gate(replace(SHAPE, connections=limit), worker=n), wants=5) for n in range(3)]
    for n, step in steps:
        if step == "grow":
            workers[n].grow()
        elif step == "close" and workers[n].open:
            workers[n].close()
        elif step == "end":
            while workers[n].open:
                workers[n].close()
        else:
            m.clock.advance(0.35)
        assert sum(one.open for one in workers) <= limit
    for one in workers:
        one.end()
    m.clock.advance(LOOK)
