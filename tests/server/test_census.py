"""Counting sessions."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from postmeter.config import Smtp
from postmeter.server.auth import Submitter
from postmeter.server.census import Census
from support.reception import ACCESS

SUBMITTER = Submitter(ACCESS)


class Session:
    """Somebody who is here."""

    def shut_down(self) -> None:
        """Not asked for."""


def test_the_limits_are_for_all_for_an_address_and_for_a_connection() -> None:
    census = Census(Smtp(max_sessions=3, max_sessions_per_ip=2, max_sessions_per_connection=1))
    assert [census.enter(Session(), address) for address in ("a", "a", "a", "b")] == [True, True, False, False]
    assert [census.log_in(SUBMITTER), census.log_in(SUBMITTER)] == [True, False]


def test_who_was_not_let_in_counts_until_it_is_gone() -> None:
    census = Census(Smtp(max_sessions=1))
    first, second = Session(), Session()
    assert census.enter(first, "a")
    assert not census.enter(second, "b")
    census.leave(first, "a", None)
    assert not census.enter(Session(), "c")
    assert len(census) == 2


def test_sessions_may_leave_while_all_are_asked_to() -> None:
    census = Census(Smtp())
    sessions = [Session() for _ in range(3)]
    for session in sessions:
        census.enter(session, "a")
    for one in census:
        census.leave(one, "a", None)
    assert len(census) == 0


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=30))
def test_nothing_is_left_of_those_who_have_left(visits: list[tuple[str, bool]]) -> None:
    census = Census(Smtp(max_sessions_per_connection=5))
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


def test_an_ipv6_network_of_64_bits_counts_as_one_address() -> None:
    census = Census(Smtp(max_sessions_per_ip=2))
    first, here = Session(), ["2001:db8::1", "2001:db8:0:0:ffff::2%eth0", "2001:db8::3", "2001:db8:0:1::1", "192.0.2.1"]
    assert census.enter(first, here[0])
    assert [census.enter(Session(), address) for address in here[1:]] == [True, False, True, True]
    census.leave(first, here[0], None)
    assert sorted(census._by_address.values()) == [1, 1, 2]
