"""How long a session may take: for its log-in, a command, a content, and for reading its last reply."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from postmeter.config import Smtp
from postmeter.smtp.replies import queued
from postmeter.store.connections import Access
from support.reception import ACCESS, MESSAGE_ID, Client, FakeAcceptance, logged_in, reception

MAIL = b"MAIL FROM:<orders@shop.example>\r\nRCPT TO:<joe@example.org>\r\nDATA\r\n"


def timed_out(client: Client) -> bool:
    """Whether the server has taken leave because of the time."""
    return client.take().startswith(b"421 4.4.2 ") and client.closing


def test_a_silent_client_has_a_minute_to_log_in() -> None:
    clock = Clock()
    client = Client(reception(clock))
    clock.advance(59)
    assert client.take() == b""
    clock.advance(1)
    assert timed_out(client)


def test_commands_do_not_stretch_the_time_for_log_in() -> None:
    clock = Clock()
    client = Client(reception(clock))
    for _ in range(11):
        clock.advance(5)
        assert client.send(b"NOOP\r\n").startswith(b"250 ")
    clock.advance(5)
    assert timed_out(client)


def test_octets_do_not_stretch_the_time_for_log_in() -> None:
    clock = Clock()
    client = Client(reception(clock))
    for _ in range(59):
        clock.advance(1)
        client.send(b"E")
    clock.advance(1)
    assert timed_out(client)


def test_after_log_in_every_command_has_five_minutes() -> None:
    clock = Clock()
    client = logged_in(reception(clock))
    for _ in range(10):
        clock.advance(299)
        assert client.send(b"NOOP\r\n").startswith(b"250 ")
    clock.advance(299)
    assert client.take() == b""
    clock.advance(1)
    assert timed_out(client)


def test_a_command_in_single_octets_has_no_more_time_than_another() -> None:
    clock = Clock()
    client = logged_in(reception(clock))
    for _ in range(299):
        clock.advance(1)
        client.send(b"N")
    clock.advance(1)
    assert timed_out(client)


def test_a_content_that_trickles_is_cut_off_after_a_minute() -> None:
    clock = Clock()
    client = logged_in(reception(clock))
    client.send(MAIL)
    for _ in range(59):
        clock.advance(1)
        assert client.send(b"a line\r\n") == b""
    clock.advance(1)
    assert timed_out(client)


def test_a_content_at_the_least_rate_has_half_an_hour() -> None:
    clock = Clock()
    client = logged_in(reception(clock))
    client.send(MAIL)
    for _ in range(179):
        assert client.send((b"x" * 98 + b"\r\n") * 51) == b""
        clock.advance(10)
    clock.advance(9)
    assert client.take() == b""
    clock.advance(1)
    assert timed_out(client)
    client.hang_up()


def test_a_content_that_slows_down_is_cut_off_when_its_average_is_too_low() -> None:
    clock = Clock()
    client = logged_in(reception(clock))
    client.send(MAIL)
    client.send((b"x" * 98 + b"\r\n") * 1000)  # 100,000 octets: 200 seconds
    for _ in range(13):
        clock.advance(15)
        client.send(b"y")
    clock.advance(5)
    assert client.take() == b""
    clock.advance(1)
    assert timed_out(client)


def test_the_time_between_two_chunks_is_the_contents_own() -> None:
    clock = Clock()
    client = logged_in(reception(clock))
    client.send(MAIL.replace(b"DATA\r\n", b"BDAT 6\r\nabcd\r\n"))
    clock.pump([10] * 5)
    assert client.send(b"BDAT 6\r\nabcd\r\n").startswith(b"250 ")
    assert client.send(b"NOOP\r\n").startswith(b"250 ")
    clock.advance(9)
    assert client.take() == b""
    clock.advance(1)
    assert timed_out(client)


def test_each_content_has_its_own_time_also_when_all_is_pipelined() -> None:
    clock = Clock()
    acceptance = FakeAcceptance(late=True)
    client = logged_in(reception(clock, acceptance, smtp=Smtp(min_data_rate=0, command_timeout=3600)))
    client.send(MAIL)
    clock.advance(1700)
    client.send(b"From: a@shop.example\r\n\r\n.\r\n" + MAIL + b"From: a@shop.example\r\n")
    acceptance.taken[0].answer.callback(queued(MESSAGE_ID))
    client.take()
    clock.advance(1799)
    assert client.take() == b""
    clock.advance(1)
    assert timed_out(client)


def test_no_time_runs_out_while_the_answer_is_ours_to_give() -> None:
    clock = Clock()
    acceptance = FakeAcceptance(late=True)
    client = logged_in(reception(clock, acceptance))
    client.send(MAIL + b"From: a@shop.example\r\n\r\n.\r\n")
    client.take()
    clock.pump([60] * 60)
    assert client.take() == b""
    acceptance.taken[0].answer.callback(queued(MESSAGE_ID))
    assert client.take().startswith(b"250 ")
    clock.advance(299)
    assert not client.closing
    clock.advance(1)
    assert timed_out(client)


def test_a_slow_store_does_not_end_a_log_in() -> None:
    clock = Clock()
    waiting: list[Deferred[Access | None]] = []

    def look_up(_username: str) -> Deferred[Access | None]:
        waiting.append(Deferred())
        return waiting[-1]

    client = Client(reception(clock, look_up=look_up))
    client.send(b"EHLO x\r\nAUTH PLAIN AHNob3AAc2VjcmV0\r\n")
    client.take()
    clock.pump([10] * 7)
    assert client.take() == b""
    waiting[0].callback(ACCESS)
    assert client.take().startswith(b"235 ")
    clock.advance(100)
    assert not client.closing


def test_who_does_not_read_the_farewell_is_cut_off_after_half_a_minute() -> None:
    clock = Clock()
    client = Client(reception(clock))
    clock.advance(60)
    assert timed_out(client)
    clock.advance(29)
    assert not client.wire.aborting
    clock.advance(1)
    assert client.wire.aborting
    client.hang_up()
    assert not clock.getDelayedCalls()


def test_who_quits_has_half_a_minute_as_well_whenever_that_was() -> None:
    for moment in (1, 59, 299):
        clock = Clock()
        client = logged_in(reception(clock))
        clock.advance(moment)
        assert client.send(b"QUIT\r\n").startswith(b"221 ")
        clock.advance(29)
        assert not client.wire.aborting
        clock.advance(1)
        assert client.wire.aborting


def test_a_session_that_ends_takes_its_timer_along() -> None:
    clock = Clock()
    client = logged_in(reception(clock))
    assert len(clock.getDelayedCalls()) == 1
    client.hang_up()
    assert not clock.getDelayedCalls()
