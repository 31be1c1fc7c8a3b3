"""Counting sessions."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace

from hypothesis import given
from hypothesis import strategies as st

from postmeter.config import Smtp
from postmeter.server.auth import Submitter
from postmeter.server.board import Board
from postmeter.server.census import FEW, SOON, Admission, Census
from support.reception import ACCESS

SUBMITTER = Submitter(ACCESS, b"")


class Session:
    """Somebody who is here; notes that it was asked to make room."""

    def __init__(self, under_way: bool = False) -> None:
        self.under_way = under_way
        self.made_room = False

    def shut_down(self) -> None:
        """Not asked for."""

    def cut(self) -> None:
        """Not asked for."""

    def make_room(self) -> None:
        """Noted."""
        self.made_room = True


@dataclass
class Visit:
    """What the naive list knows of a session; connection 0 is none."""

    worker: int
    address: str
    connection: int = 0
    session: Session = field(default_factory=Session)


def let_in(census: Census, address: str, session: Session | None = None) -> bool:
    """Whether a new session is welcome."""
    return census.enter(session or Session(), address) is Admission.WELCOME


def submitter(connection: int) -> Submitter:
    """Somebody else who has logged in."""
    return Submitter(replace(ACCESS, connection_id=connection), b"")


def test_the_limits_are_for_all_for_an_address_and_for_a_connection() -> None:
    census = Census(Smtp(max_sessions=3, max_sessions_per_ip=2, max_sessions_per_connection=1), Board.alone())
    told = [census.enter(Session(), address) for address in ("a", "a", "a", "b", "c")]
    welcome, crowded, full = Admission.WELCOME, Admission.CROWDED, Admission.FULL
    assert told == [welcome, welcome, crowded, welcome, full]
    assert [census.log_in(Session(), SUBMITTER), census.log_in(Session(), SUBMITTER)] == [True, False]


def test_who_was_turned_away_counts_nowhere() -> None:
    census = Census(Smtp(max_sessions=2, max_sessions_per_ip=1), Board.alone())
    first = Session()
    assert let_in(census, "a", first)
    away = [Session() for _ in range(50)]
    assert not any(let_in(census, "a", session) for session in away)
    assert let_in(census, "b")
    assert len(census) == 2
    for session in (first, *away):
        census.leave(session, None)
    assert len(census) == 1
    assert let_in(census, "a")
    assert not census._turned_away


def test_who_comes_in_crowds_is_dropped_without_a_word() -> None:
    census = Census(Smtp(max_sessions=10_000, max_sessions_per_ip=1), Board.alone())
    told = [census.enter(Session(), "a") for _ in range(FEW + 10)]
    assert told == [Admission.WELCOME] + [Admission.CROWDED] * FEW + [Admission.DROPPED] * 9
    dropped = Session()
    assert census.enter(dropped, "a") is Admission.DROPPED
    census.leave(dropped, None)
    assert let_in(census, "b")
    assert len(census) == 2


def test_a_session_that_never_logged_in_makes_room_for_a_new_one_of_its_address() -> None:
    now = 0.0
    census = Census(Smtp(max_sessions_per_ip=3), Board.alone(), lambda: now)
    known, busy, silent = Session(), Session(under_way=True), Session()
    assert [let_in(census, "a", session) for session in (known, busy, silent)] == [True] * 3
    census.log_in(known, SUBMITTER)
    now = SOON - 0.1
    assert not let_in(census, "a")
    now = SOON
    assert let_in(census, "a")
    assert [known.made_room, busy.made_room, silent.made_room] == [False, False, True]
    assert len(census) == 3
    assert not let_in(census, "a")
    census.leave(silent, None)
    assert not census._turned_away.keys() & {silent}
    assert len(census) == 3


def test_sessions_may_leave_while_all_are_asked_to() -> None:
    census = Census(Smtp(), Board.alone())
    sessions = [Session() for _ in range(3)]
    for session in sessions:
        census.enter(session, "a")
    for one in census:
        census.leave(one, None)
    assert len(census) == 0


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=30))
def test_nothing_is_left_of_those_who_have_left(visits: list[tuple[str, bool]]) -> None:
    census = Census(Smtp(max_sessions_per_ip=4, max_sessions_per_connection=5), Board.alone())
    here: list[tuple[Session, Submitter | None]] = []
    for address, logs_in in visits:
        session = Session()
        entered = census.enter(session, address) is Admission.WELCOME
        here.append((session, SUBMITTER if logs_in and entered and census.log_in(session, SUBMITTER) else None))
    for session, submitter in here:
        census.leave(session, submitter)
    assert len(census) == 0
    assert not census._by_address
    assert not census._by_connection
    assert not census._strangers
    assert not census._turned_away
    assert not census._away_by_address


def test_the_limits_hold_for_all_workers_together() -> None:
    limits = Smtp(max_sessions=3, max_sessions_per_ip=2, max_sessions_per_connection=1)
    descriptor = Board.create(2)
    one, other = (Census(limits, Board(descriptor, page)) for page in range(2))
    os.close(descriptor)
    session = Session()
    assert [let_in(one, "a", session), let_in(other, "a"), let_in(one, "a")] == [True, True, False]
    assert [let_in(other, "b"), let_in(other, "b")] == [True, False]
    assert [len(one), len(other)] == [1, 2]
    assert [one.log_in(session, SUBMITTER), other.log_in(Session(), SUBMITTER)] == [True, False]
    one.leave(session, SUBMITTER)
    assert other.log_in(Session(), SUBMITTER)


def test_who_leaves_one_worker_makes_room_at_another() -> None:
    descriptor = Board.create(2)
    one, other = (Census(Smtp(max_sessions=2), Board(descriptor, page)) for page in range(2))
    os.close(descriptor)
    first, second = Session(), Session()
    assert [let_in(one, "a", first), let_in(one, "b", second), let_in(other, "c")] == [True, True, False]
    one.leave(first, None)
    assert let_in(other, "c")


def test_a_full_board_hides_no_session_from_its_own_worker() -> None:
    board = Board.alone()
    census = Census(Smtp(max_sessions_per_ip=2, max_sessions_per_connection=2), board)
    assert [let_in(census, "a"), census.log_in(Session(), SUBMITTER)] == [True, True]
    for key in (census._connection(SUBMITTER), board.key("address", "a"), census._everybody):
        board.put(key, 0)
    assert [census.log_in(Session(), SUBMITTER), census.log_in(Session(), SUBMITTER)] == [True, False]
    assert [let_in(census, "a"), let_in(census, "a")] == [True, False]


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
    workers = [Census(limits, Board(descriptor, page), lambda: 0.0) for page in range(3)]
    here: list[Visit] = []
    for act, n, address, connection in acts:
        mine = [visit for visit in here if visit.worker == n]
        from_there = ORIGIN.get(address, address)
        if act == "enter":
            visit = Visit(n, from_there)
            few = len(here) < 5 and sum(v.address == from_there for v in here) < 3
            assert let_in(workers[n], address, visit.session) == few
            if few:
                here.append(visit)
        elif act == "log in" and mine and not mine[-1].connection:
            allowed = sum(v.connection == connection for v in here) < 2
            assert workers[n].log_in(mine[-1].session, submitter(connection)) == allowed
            mine[-1].connection = connection * allowed
        elif act == "leave" and mine:
            visit = mine[0]
            here.remove(visit)
            workers[n].leave(visit.session, submitter(visit.connection) if visit.connection else None)
        elif act == "die":
            Board.clear(descriptor, n)
            workers[n] = Census(limits, Board(descriptor, n), lambda: 0.0)
            here = [visit for visit in here if visit.worker != n]
        assert sum(len(worker) for worker in workers) == len(here)
    os.close(descriptor)


def test_an_ipv6_network_of_64_bits_counts_as_one_address() -> None:
    census = Census(Smtp(max_sessions_per_ip=2), Board.alone())
    first, here = Session(), ["2001:db8::1", "2001:db8:0:0:ffff::2%eth0", "2001:db8::3", "2001:db8:0:1::1", "192.0.2.1"]
    assert let_in(census, here[0], first)
    assert [let_in(census, address) for address in here[1:]] == [True, False, True, True]
    census.leave(first, None)
    assert sorted(census._by_address.values()) == [1, 1, 1]
