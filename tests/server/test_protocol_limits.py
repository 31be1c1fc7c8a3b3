"""Who is let in, and how often: surplus sessions, failed log-ins, recipients that are refused, a disk without room."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from postmeter.config import Smtp
from postmeter.server.doorway import HELD, HELD_STEP
from postmeter.server.policy import RecipientPolicy
from postmeter.server.protocol import LOGIN_FAILURE_TIME, Reception
from postmeter.smtp.replies import NULL_MX, RECIPIENT_OK
from postmeter.smtp.reply import Reply
from postmeter.store.connections import Access
from support.reception import ACCESS, Client, FakeAcceptance, logged_in, reception

EHLO = b"EHLO client.example\r\n"
MAIL = b"MAIL FROM:<orders@shop.example>\r\n"
TO = b"RCPT TO:<joe@example.org>\r\n"
HOME, NEIGHBOUR, ELSEWHERE = "192.0.2.1", "192.0.2.99", "198.51.100.1"


def auth(username: str = "shop", password: str = "secret") -> bytes:
    """AUTH PLAIN."""
    return b"AUTH PLAIN " + b64encode(f"\0{username}\0{password}".encode()) + b"\r\n"


class World:
    """A worker's sessions under one clock."""

    def __init__(self, **options: Callable[..., object]) -> None:
        self.clock = Clock()
        self.clock.advance(1_000_000)
        self.shared = replace(reception(self.clock), **options)  # type: ignore[arg-type]

    def client(self, address: str = HOME) -> Client:
        """A new session."""
        return Client(self.shared, address=address)

    def try_to_log_in(self, address: str = HOME, username: str = "shop", password: str = "secret") -> bytes:
        """The answer to one log-in in a session of its own."""
        client = self.client(address)
        client.send(EHLO)
        said = client.send(auth(username, password))
        self.clock.advance(LOGIN_FAILURE_TIME)
        said += client.take()
        client.hang_up()
        return said[:9]


@pytest.fixture
def world() -> World:
    """One."""
    return World()


# New sessions


def test_ten_new_sessions_a_second_are_greeted_at_once_and_more_are_held_and_turned_away(world: World) -> None:
    clients = [world.client() for _ in range(13)]
    assert [client.greeting[:4] for client in clients] == [b"220 "] * 10 + [b""] * 3
    assert [client.wire.producerState for client in clients] == ["producing"] * 10 + ["paused"] * 3
    world.clock.pump([HELD_STEP] * (HELD - 1))
    assert [client.take() for client in clients[10:]] == [b""] * 3
    world.clock.advance(HELD_STEP)
    for client in clients[10:]:
        assert client.take().startswith(b"421 4.7.0 ")
        assert client.closing
    assert not any(client.closing for client in clients[:10])


def test_held_sessions_are_greeted_as_soon_as_one_of_their_address_has_logged_in(world: World) -> None:
    clients = [world.client() for _ in range(13)]
    assert clients[12].send(EHLO) == b""  # it does not wait for the greeting
    clients[0].send(EHLO)
    assert b"235 " in clients[0].send(auth())
    world.clock.advance(0.1)
    assert clients[10].take().startswith(b"220 ")
    said = clients[12].take()
    assert said.startswith(b"220 ")
    assert b"\r\n250-mail.example.net" in said


def test_an_address_that_logs_in_may_open_as_many_sessions_as_the_limits_let_it(world: World) -> None:
    logged_in(world.shared).hang_up()
    assert [world.client().greeting[:4] for _ in range(100)] == [b"220 "] * 100


def test_other_addresses_and_other_seconds_are_not_held(world: World) -> None:
    for _ in range(11):
        world.client()
    assert world.client(ELSEWHERE).greeting.startswith(b"220 ")
    world.clock.advance(1)
    assert world.client().greeting.startswith(b"220 ")


def test_a_held_session_that_leaves_takes_its_timers_along(world: World) -> None:
    clients = [world.client() for _ in range(11)]
    for client in clients:
        client.hang_up()
    assert not world.clock.getDelayedCalls()
    assert len(world.shared.visitors.census) == 0


def test_a_held_session_is_ended_when_the_server_stops(world: World) -> None:
    clients = [world.client() for _ in range(11)]
    clients[10].protocol.shut_down()
    assert clients[10].take().startswith(b"421 4.3.2 ")
    assert clients[10].closing
    world.clock.pump([HELD_STEP] * HELD)
    assert clients[10].take() == b""


def test_sessions_that_only_connect_or_drop_in_data_are_no_failures(world: World) -> None:
    for _ in range(30):
        world.client().hang_up()
        world.clock.advance(1)
    for _ in range(30):
        client = logged_in(world.shared)
        client.send(MAIL + TO + b"DATA\r\nFrom: orders@shop.example\r\n")
        client.hang_up()
    for _ in range(30):
        client = world.client()
        client.send(EHLO + b"QUIT\r\n")
        client.hang_up()
    assert world.try_to_log_in() == b"235 2.7.0"


def test_a_silent_session_makes_room_for_a_new_one_of_its_address(world: World) -> None:
    world.shared = reception(world.clock, smtp=Smtp(max_sessions_per_ip=3))
    known, silent, other = logged_in(world.shared), world.client(), world.client()
    refused = world.client()
    assert refused.greeting.startswith(b"421 4.7.0 Too many sessions from your address")
    world.clock.advance(5)
    assert world.client().greeting.startswith(b"220 ")
    assert silent.take().startswith(b"421 4.7.0 You have not logged in")
    assert silent.closing
    assert not known.closing
    assert not other.closing


def test_who_is_turned_away_is_cut_off_soon(world: World) -> None:
    world.shared = reception(world.clock, smtp=Smtp(max_sessions_per_ip=1))
    world.client()
    refused = world.client()
    world.clock.advance(2.9)
    assert not refused.wire.aborting
    world.clock.advance(0.1)
    assert refused.wire.aborting


def test_a_crowd_is_dropped_without_a_handshake(world: World) -> None:
    world.shared = reception(world.clock, smtp=Smtp(max_sessions_per_ip=1))
    clients = [Client(world.shared, handshake=False) for _ in range(103)]
    assert [client.wire.aborting for client in clients] == [False] * 101 + [True] * 2
    for client in clients:
        client.hang_up()
    assert len(world.shared.visitors.census) == 0
    assert not world.clock.getDelayedCalls()


def test_a_proxys_own_health_checks_are_no_flood() -> None:
    shared = reception(Clock(), smtp=Smtp(proxies=("192.0.2.1",)))
    for _ in range(30):
        assert Client(shared, implicit_tls=False).send(b"PROXY UNKNOWN\r\n").startswith(b"220 ")


# Failed log-ins


def test_after_five_failures_with_a_user_name_even_the_right_password_is_not_looked_at(world: World) -> None:
    assert [world.try_to_log_in(password="wrong") for _ in range(5)] == [b"535 5.7.8"] * 5
    assert world.try_to_log_in() == b"454 4.7.0"
    assert world.try_to_log_in(ELSEWHERE) == b"454 4.7.0"
    world.clock.advance(900)
    assert world.try_to_log_in() == b"235 2.7.0"


def test_attempts_that_are_not_looked_at_do_not_make_the_time_longer(world: World) -> None:
    for _ in range(5):
        world.try_to_log_in(password="wrong")
    for _ in range(89):
        world.clock.advance(10)
        world.try_to_log_in(password="wrong")
    world.clock.advance(10)
    assert world.try_to_log_in() == b"235 2.7.0"


def test_nobody_locks_a_shop_out_from_elsewhere(world: World) -> None:
    assert world.try_to_log_in() == b"235 2.7.0"
    for _ in range(10):
        world.try_to_log_in(ELSEWHERE, password="wrong")
    assert world.try_to_log_in(ELSEWHERE) == b"454 4.7.0"
    assert world.try_to_log_in() == b"235 2.7.0"


def test_one_wrong_shop_does_not_lock_the_others_of_its_hosting_server_out(world: World) -> None:
    assert world.try_to_log_in() == b"235 2.7.0"
    for n in range(30):
        world.try_to_log_in(NEIGHBOUR, username=f"other-{n}", password="wrong")
    assert world.try_to_log_in(NEIGHBOUR, username="newcomer") == b"454 4.7.0"
    assert world.try_to_log_in() == b"235 2.7.0"


def test_a_locked_session_ends_with_its_fifth_attempt(world: World) -> None:
    for _ in range(5):
        world.try_to_log_in(password="wrong")
    client = world.client()
    client.send(EHLO)
    said = [client.send(auth())[:9] for _ in range(5)]
    assert said == [b"454 4.7.0"] * 4 + [b"421 4.7.0"]
    assert client.closing


@pytest.mark.parametrize("username", ["shop", "nobody"])
def test_a_failure_takes_its_time_whatever_was_wrong(world: World, username: str) -> None:
    client = world.client()
    client.send(EHLO)
    assert client.send(auth(username, "wrong") + b"NOOP\r\n") == b""
    world.clock.advance(LOGIN_FAILURE_TIME - 0.001)
    assert client.take() == b""
    world.clock.advance(0.001)
    said = client.take().splitlines()
    assert [line[:3] for line in said] == [b"535", b"250"]


def test_a_slow_store_makes_a_failure_no_slower_than_it_is() -> None:
    clock = Clock()
    waiting: list[Deferred[None]] = []

    def look_up(_username: str) -> Deferred[None]:
        waiting.append(Deferred())
        return waiting[-1]

    client = Client(reception(clock, look_up=look_up))
    client.send(EHLO + auth(password="wrong"))
    clock.advance(LOGIN_FAILURE_TIME * 2)
    waiting[0].callback(None)
    clock.advance(0)
    assert client.take().startswith(b"535 ")


def test_a_client_that_leaves_before_it_is_told_is_counted(world: World) -> None:
    for _ in range(5):
        client = world.client()
        client.send(EHLO + auth(password="wrong"))
        client.hang_up()
    assert not world.clock.getDelayedCalls()
    assert world.try_to_log_in() == b"454 4.7.0"


def test_log_ins_that_wait_for_the_store_together_are_not_all_looked_at() -> None:
    clock = Clock()
    waiting: list[Deferred[Access | None]] = []

    def look_up(_username: str) -> Deferred[Access | None]:
        waiting.append(Deferred())
        return waiting[-1]

    shared = reception(clock, look_up=look_up, smtp=Smtp(max_new_sessions_per_second=100))
    clients = [Client(shared) for _ in range(12)]
    for n, client in enumerate(clients):
        client.send(EHLO + auth(password="secret" if n == 11 else "wrong"))
        client.take()
    waiting[0].callback(ACCESS)
    clock.advance(LOGIN_FAILURE_TIME)
    assert [client.take()[:3] for client in clients] == [b"535"] * 5 + [b"454"] * 7


def test_a_store_that_is_down_counts_against_nobody(world: World) -> None:
    world.shared.directory._look_up = lambda _: fail(OSError("gone"))  # type: ignore[method-assign]
    for _ in range(10):
        assert world.try_to_log_in() == b"454 4.7.0"
    world.shared.directory._look_up = reception(world.clock).directory._look_up  # type: ignore[method-assign]
    assert world.try_to_log_in() == b"235 2.7.0"


# Recipients and the disk


def policy_saying(reply: Reply | Deferred[Reply]) -> RecipientPolicy:
    """The same about everybody."""
    policy = RecipientPolicy(lambda *_: succeed(None), lambda _: False, Clock())
    policy.check = lambda *_: reply  # type: ignore[method-assign]
    return policy


def at_recipient(answer: Reply | Deferred[Reply]) -> tuple[Client, FakeAcceptance]:
    """A session up to MAIL, where the policy says this about recipients."""
    acceptance = FakeAcceptance()
    shared: Reception = replace(reception(Clock(), acceptance), policy=policy_saying(answer))
    client = logged_in(shared)
    assert client.send(MAIL).startswith(b"250 ")
    return client, acceptance


def test_a_recipient_is_refused_in_the_dialogue_and_is_no_part_of_the_message() -> None:
    client, acceptance = at_recipient(NULL_MX)
    assert client.send(TO).startswith(NULL_MX.encode()[:9])
    assert client.send(b"DATA\r\n").startswith(b"554 5.5.1 ")
    assert acceptance.taken == []


def test_a_recipient_that_takes_a_look_is_answered_later_and_in_order() -> None:
    answer: Deferred[Reply] = Deferred()
    client, _ = at_recipient(answer)
    assert client.send(TO + b"NOOP\r\n") == b""
    answer.callback(RECIPIENT_OK)
    assert [line[:9] for line in client.take().splitlines()] == [b"250 2.1.5", b"250 2.0.0"]


def test_a_recipient_that_cannot_be_judged_may_come_again(caplog: pytest.LogCaptureFixture) -> None:
    client, _ = at_recipient(fail(RuntimeError("a defect")))
    assert client.send(TO).startswith(b"451 4.3.0 ")
    assert "a defect" in caplog.text


def test_without_room_on_the_disk_no_message_is_begun(world: World) -> None:
    low = [True]
    world.shared = replace(world.shared, disk_is_low=lambda: low[0])
    client = logged_in(world.shared)
    assert client.send(MAIL).startswith(b"452 4.3.1 ")
    assert client.send(TO).startswith(b"503 ")
    low[0] = False
    assert client.send(MAIL).startswith(b"250 ")


def test_the_limits_are_those_of_the_settings() -> None:
    clock = Clock()
    shared = reception(clock, smtp=Smtp(max_new_sessions_per_second=2))
    assert [Client(shared).greeting[:3] for _ in range(3)] == [b"220", b"220", b""]
    clock.pump([HELD_STEP] * HELD)
