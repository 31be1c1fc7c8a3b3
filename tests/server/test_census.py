"""Counting sessions."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace

from hypothesis import given
from hypothesis import strategies as st

from postmeter.config import Smtp
from postmeter.server.auth import Submitter
from postmeter.server.board import Board
from postmeter.server.census import Census
from support.reception import ACCESS

SUBMITTER = Submitter(ACCESS)


class Session:
    """Somebody who is here."""

    def shut_down(self) -> None:
        """Not asked for."""


@dataclass
class Visit:
    """What the naive list knows of a session; connection 0 is none."""

    worker: int
    address: str
    connection: int = 0
    session: Session = field(default_factory=Session)


def submitter(connection: int) -> Submitter:
    """Somebody else who has logged in."""
    return Submitter(replace(ACCESS, connection_id=connection))


def test_the_limits_are_for_all_for_an_address_and_for_a_connection() -> None:
    census = Census(Smtp(max_sessions=3, max_sessions_per_ip=2, max_sessions_per_connection=1), Board.alone())
    assert [census.enter(Session(), address) for address in ("a", "a", "a", "b")] == [True, True, False, False]
    assert [census.log_in(SUBMITTER), census.log_in(SUBMITTER)] == [True, False]


def test_who_was_not_let_in_counts_until_it_is_gone() -> None:
    census = Census(Smtp(max_sessions=1), Board.alone())
    first, second = Session(), Session()
    assert census.enter(first, "a")
    assert not census.enter(second, "b")
    census.leave(first, "a", None)
    assert not census.enter(Session(), "c")
    assert len(census) == 2


def test_sessions_may_leave_while_all_are_asked_to() -> None:
    census = Census(Smtp(), Board.alone())
    sessions = [Session() for _ in range(3)]
    for session in sessions:
        census.enter(session, "a")
    for one in census:
        census.leave(one, "a", None)
    assert len(census) == 0


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=30))
def test_nothing_is_left_of_those_who_have_left(visits: list[tuple[str, bool]]) -> None:
    census = Census(Smtp(max_sessions_per_connection=5), Board.alone())
    here: list[tuple[Session, str, Submitter | None]] = []
    for address, logs_in in visits:
        session = Session()
        census.enter(session, address)
        here.append((session, address, SUBMITTER if logs_in and census.log_in(SUBMITTER) else None))
    for session, address, submitter in here:
        census.leave(session, address, submitter)
    assert len(census) == 0
    assert not census._by_address
    assert not census._by_connection


def test_the_limits_hold_for_all_workers_together() -> None:
    limits = Smtp(max_sessions=4, max_sessions_per_ip=2, max_sessions_per_connection=1)
    descriptor = Board.create(2)
    one, other = (Census(limits, Board(descriptor, page)) for page in range(2))
    os.close(descriptor)
    session = Session()
    assert [one.enter(session, "a"), other.enter(Session(), "a"), one.enter(Session(), "a")] == [True, True, False]
    assert [other.enter(Session(), "b"), other.enter(Session(), "b")] == [True, False]
    assert [len(one), len(other)] == [2, 3]
    assert [one.log_in(SUBMITTER), other.log_in(SUBMITTER)] == [True, False]
    one.leave(session, "a", SUBMITTER)
    assert other.log_in(SUBMITTER)


def test_who_leaves_one_worker_makes_room_at_another() -> None:
    descriptor = Board.create(2)
    one, other = (Census(Smtp(max_sessions=2), Board(descriptor, page)) for page in range(2))
    os.close(descriptor)
    first, second, third = Session(), Session(), Session()
    assert [one.enter(first, "a"), one.enter(second, "b"), other.enter(third, "c")] == [True, True, False]
    one.leave(first, "a", None)
    other.leave(third, "c", None)
    assert other.enter(third, "c")


def test_a_full_board_hides_no_session_from_its_own_worker() -> None:
    board = Board.alone()
    census = Census(Smtp(max_sessions_per_connection=2), board)
    assert census.log_in(SUBMITTER)
    board.put(census._connection(SUBMITTER), 0)
    assert [census.log_in(SUBMITTER), census.log_in(SUBMITTER)] == [True, False]


Act = tuple[str, int, str, int]
ACTS = st.lists(
    st.tuples(
        st.sampled_from(["enter", "enter", "log in", "leave", "die"]),
        st.integers(0, 2),
        st.sampled_from(["192.0.2.1", "192.0.2.2", "::ffff:192.0.2.1", "2001:db8::1", "2001:db8::2"]),
        st.integers(1, 2),
    ),
    max_size=80,
)
ORIGIN = {"::ffff:192.0.2.1": "192.0.2.1", "2001:db8::2": "2001:db8::1"}


@given(ACTS)
def test_three_workers_count_like_one_list_of_sessions(acts: list[Act]) -> None:
    limits = Smtp(max_sessions=5, max_sessions_per_ip=3, max_sessions_per_connection=2)
    descriptor = Board.create(3)
    workers = [Census(limits, Board(descriptor, page)) for page in range(3)]
    here: list[Visit] = []
    for act, n, address, connection in acts:
        mine = [visit for visit in here if visit.worker == n]
        from_there = ORIGIN.get(address, address)
        if act == "enter":
            visit = Visit(n, from_there)
            here.append(visit)
            few = len(here) <= 5 and sum(v.address == from_there for v in here) <= 3
            assert workers[n].enter(visit.session, address) == few
        elif act == "log in" and mine and not mine[-1].connection:
            allowed = sum(v.connection == connection for v in here) < 2
            assert workers[n].log_in(submitter(connection)) == allowed
            mine[-1].connection = connection * allowed
        elif act == "leave" and mine:
            visit = mine[0]
            here.remove(visit)
            workers[n].leave(visit.session, visit.address, submitter(visit.connection) if visit.connection else None)
        elif act == "die":
            Board.clear(descriptor, n)
            workers[n] = Census(limits, Board(descriptor, n))
            here = [visit for visit in here if visit.worker != n]
        assert sum(len(worker) for worker in workers) == len(here)
    os.close(descriptor)


def test_an_ipv6_network_of_64_bits_counts_as_one_address() -> None:
    census = Census(Smtp(max_sessions_per_ip=2), Board.alone())
    first, here = Session(), ["2001:db8::1", "2001:db8:0:0:ffff::2%eth0", "2001:db8::3", "2001:db8:0:1::1", "192.0.2.1"]
    assert census.enter(first, here[0])
    assert [census.enter(Session(), address) for address in here[1:]] == [True, False, True, True]
    census.leave(first, here[0], None)
    assert sorted(census._by_address.values()) == [1, 1, 2]
