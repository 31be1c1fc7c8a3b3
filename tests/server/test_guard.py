"""Brute force meets closed doors, and who has logged in lately does not."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator

import pytest

from postmeter.config import Smtp
from postmeter.server.board import Board
from postmeter.server.guard import Guard

HOUR = 3_600.0
LIMITS = Smtp(
    max_new_sessions_per_second=3,
    max_login_failures_per_user=3,
    max_login_failures_per_network=5,
    login_failure_window=900,
)
SHOP, HOSTING, ELSEWHERE = "shop-1", "192.0.2.10", "198.51.100.7"


class Fixed:
    """A clock that goes on when the test says so."""

    now = 1_000.25

    def __call__(self) -> float:
        """Seconds."""
        return self.now


@pytest.fixture
def clock() -> Fixed:
    return Fixed()


@pytest.fixture
def workers(clock: Fixed) -> Iterator[list[Guard]]:
    """The guards of two workers."""
    descriptor = Board.create(2)
    yield [Guard(LIMITS, Board(descriptor, page), clock) for page in range(2)]
    os.close(descriptor)


@pytest.fixture
def guard(workers: list[Guard]) -> Guard:
    return workers[0]


def fail(guard: Guard, times: int, username: str = SHOP, address: str = HOSTING) -> None:
    for _ in range(times):
        guard.failed(username, address, exists=True)


# New sessions


def test_an_address_that_never_logs_in_may_begin_few_sessions_a_second(guard: Guard, clock: Fixed) -> None:
    assert [guard.may_begin(HOSTING) for _ in range(5)] == [True, True, True, False, False]
    assert guard.may_begin(ELSEWHERE)
    clock.now = 1_000.999
    assert not guard.may_begin(HOSTING)
    clock.now = 1_001.0
    assert guard.may_begin(HOSTING)


def test_new_sessions_of_all_workers_count(workers: list[Guard]) -> None:
    assert [workers[n % 2].may_begin(HOSTING) for n in range(5)] == [True, True, True, False, False]


def test_an_address_that_has_logged_in_within_a_day_begins_as_many_as_it_likes(
    workers: list[Guard], clock: Fixed
) -> None:
    workers[0].succeeded(SHOP, HOSTING)
    assert all(worker.trusted(HOSTING) for worker in workers)
    assert not workers[1].trusted("192.0.2.11")
    clock.now += 24 * HOUR - 1
    assert all(workers[1].may_begin(HOSTING) for _ in range(50))
    clock.now += 1
    assert not workers[1].trusted(HOSTING)
    assert [workers[1].may_begin(HOSTING) for _ in range(4)] == [True, True, True, False]


def test_an_ipv6_network_of_64_bits_is_one_client(guard: Guard) -> None:
    assert [guard.may_begin(f"2001:db8::{n}%eth0") for n in range(4)] == [True, True, True, False]
    guard.succeeded(SHOP, "2001:db8::1")
    assert guard.trusted("2001:db8::ffff:1")
    assert not guard.trusted("2001:db8:0:1::1")


def test_an_ipv4_address_is_the_same_in_the_clothes_of_ipv6(guard: Guard) -> None:
    guard.succeeded(SHOP, f"::ffff:{HOSTING}")
    assert guard.trusted(HOSTING)


# Log-ins


def test_too_many_failures_with_a_user_name_close_it_wherever_they_come_from(workers: list[Guard]) -> None:
    for n in range(3):
        assert workers[1].may_log_in(SHOP, ELSEWHERE)
        workers[n % 2].failed(SHOP, f"203.0.{n}.1")
    assert not any(worker.may_log_in(SHOP, ELSEWHERE) for worker in workers)
    assert workers[0].may_log_in("shop-2", ELSEWHERE)


def test_too_many_failures_from_a_network_close_it_whatever_the_user_names(workers: list[Guard]) -> None:
    for n in range(5):
        assert workers[0].may_log_in("shop-9", HOSTING)
        workers[n % 2].failed(f"guess-{n}", f"192.0.2.{n}")
    assert not any(worker.may_log_in("shop-9", HOSTING) for worker in workers)
    assert workers[0].may_log_in("shop-9", "192.0.3.10")


def test_a_window_ends_by_itself_though_the_shop_keeps_trying(guard: Guard, clock: Fixed) -> None:
    begun = clock.now
    refused_from = None
    while guard.may_log_in(SHOP, HOSTING) or clock.now < begun + 890:
        if guard.may_log_in(SHOP, HOSTING):
            guard.failed(SHOP, HOSTING)
        else:
            refused_from = refused_from or clock.now
        clock.now += 10
    assert refused_from == begun + 30
    clock.now = begun + 899.9
    assert not guard.may_log_in(SHOP, HOSTING)
    clock.now = begun + 900
    assert guard.may_log_in(SHOP, HOSTING)
    fail(guard, 1)
    assert guard.may_log_in(SHOP, HOSTING)


def test_a_window_that_two_workers_count_ends_at_once(workers: list[Guard], clock: Fixed) -> None:
    fail(workers[0], 1)
    clock.now += 600
    fail(workers[1], 2)
    assert not workers[0].may_log_in(SHOP, HOSTING)
    clock.now += 300
    assert workers[0].may_log_in(SHOP, HOSTING)
    fail(workers[1], 2)
    assert workers[0].may_log_in(SHOP, HOSTING)


def test_nobody_locks_a_shop_out_from_elsewhere(workers: list[Guard], clock: Fixed) -> None:
    workers[0].succeeded(SHOP, HOSTING)
    clock.now += 29 * 24 * HOUR
    for n in range(50):
        workers[n % 2].failed(SHOP, f"203.0.{n}.1")
    assert workers[1].may_log_in(SHOP, HOSTING)
    assert workers[1].may_log_in(SHOP, "192.0.2.200")
    assert not workers[1].may_log_in(SHOP, ELSEWHERE)
    clock.now += 24 * HOUR
    fail(workers[0], 3, address=ELSEWHERE)
    assert not workers[1].may_log_in(SHOP, HOSTING)  # a month is over


def test_a_misconfigured_shop_does_not_lock_out_the_others_on_its_server(guard: Guard) -> None:
    for n in range(300):
        guard.succeeded(f"shop-{n}", HOSTING)
    fail(guard, 20, username="shop-7")
    assert not guard.may_log_in("shop-7", HOSTING)
    assert all(guard.may_log_in(f"shop-{n}", HOSTING) for n in range(300) if n != 7)
    assert guard.may_log_in("new-shop", HOSTING)


def test_many_user_names_close_their_network_but_not_for_who_is_known(guard: Guard) -> None:
    guard.succeeded(SHOP, HOSTING)
    for n in range(5):
        assert guard.may_log_in("new-shop", HOSTING)
        fail(guard, 3, username=f"guess-{n}")
    assert not guard.may_log_in("new-shop", HOSTING)
    assert guard.may_log_in(SHOP, HOSTING)


def test_a_user_name_that_does_not_exist_may_be_a_password_and_is_not_told(
    guard: Guard, caplog: pytest.LogCaptureFixture
) -> None:
    for n in range(5):
        for _ in range(3):
            guard.failed(f"geheim-{n}", HOSTING)
    assert len(caplog.messages) == 6
    assert "geheim" not in caplog.text


def test_who_has_logged_in_answers_for_the_own_failures(workers: list[Guard]) -> None:
    workers[0].succeeded(SHOP, HOSTING)
    fail(workers[0], 2)
    assert workers[0].may_log_in(SHOP, HOSTING)
    fail(workers[1], 1, address="192.0.2.99")
    assert not any(worker.may_log_in(SHOP, HOSTING) for worker in workers)


def test_a_log_in_forgives_the_failures_of_user_name_and_network_together_at_all_workers(
    workers: list[Guard], clock: Fixed
) -> None:
    fail(workers[0], 1)
    fail(workers[1], 1)
    clock.now += 1
    workers[0].succeeded(SHOP, HOSTING)
    clock.now += 1
    fail(workers[1], 2)
    assert workers[0].may_log_in(SHOP, HOSTING)
    fail(workers[0], 1)
    assert not workers[0].may_log_in(SHOP, HOSTING)


def test_a_log_in_forgives_in_the_same_moment_what_its_own_worker_has_counted(guard: Guard) -> None:
    fail(guard, 2)
    guard.succeeded(SHOP, HOSTING)
    fail(guard, 2)
    assert guard.may_log_in(SHOP, HOSTING)
    fail(guard, 1)
    assert not guard.may_log_in(SHOP, HOSTING)


def test_a_log_in_forgives_nothing_that_others_have_done(guard: Guard) -> None:
    fail(guard, 3, address=ELSEWHERE)
    guard.succeeded(SHOP, HOSTING)
    assert not guard.may_log_in(SHOP, ELSEWHERE)
    assert not guard.may_log_in(SHOP, "203.0.113.1")


@pytest.mark.parametrize("username", ["", "x" * 12_288, "\0", "\ud800", "ü", "a b", "%s%n"])
def test_any_user_name_has_its_failures(guard: Guard, username: str) -> None:
    fail(guard, 3, username)
    assert not guard.may_log_in(username, ELSEWHERE)
    assert guard.may_log_in(username + "x", ELSEWHERE)
    guard.succeeded(username, ELSEWHERE)
    assert guard.may_log_in(username, ELSEWHERE)


# The log


def test_a_window_that_closes_is_told_once(
    workers: list[Guard], clock: Fixed, caplog: pytest.LogCaptureFixture
) -> None:
    fail(workers[0], 1, address="203.0.113.5")
    clock.now += 100.5
    fail(workers[1], 1, address="203.0.113.5")
    assert not caplog.records
    fail(workers[0], 3, address="203.0.113.5")
    for n in range(4):
        workers[n % 2].failed(f"other-{n}", "203.0.113.6", exists=n == 3)
    assert [record.getMessage() for record in caplog.records] == [
        "log-ins with one user name are refused for 800 s: 3 failures, the last from 203.0.113.0/24, "
        "user name 'shop-1'",
        "log-ins from 203.0.113.0/24 are refused for 800 s: 5 failures, the last with user name 'other-3'",
    ]
    assert {record.levelno for record in caplog.records} == {logging.WARNING}


def test_a_shop_that_has_locked_itself_out_is_told_apart(guard: Guard, caplog: pytest.LogCaptureFixture) -> None:
    fail(guard, 3, address="2001:db8::1")
    caplog.clear()
    guard.succeeded(SHOP, HOSTING)
    fail(guard, 4)
    assert [record.getMessage() for record in caplog.records] == [
        "log-ins with one user name from 192.0.2.0/24 are refused for 900 s: 3 failures, user name 'shop-1'"
    ]


def test_a_user_name_cannot_write_in_the_log(guard: Guard, caplog: pytest.LogCaptureFixture) -> None:
    fail(guard, 3, "x'\r\n\x1b[2J\u202e💌 log-ins from 10.0.0.0/8 are refused")
    [line] = [record.getMessage() for record in caplog.records]
    assert line.isascii()
    assert line.isprintable()
    assert line.startswith("log-ins with one user name are refused for 900 s: 3 failures, the last from 192.0.2.0/24, ")


def test_a_huge_user_name_is_cut_in_the_log(guard: Guard, caplog: pytest.LogCaptureFixture) -> None:
    fail(guard, 3, "x" * 12_000)
    assert caplog.records[0].getMessage().endswith(f"user name '{'x' * 64}'...")
