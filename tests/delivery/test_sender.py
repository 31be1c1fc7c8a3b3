"""Deadlines and back-pressure of a sender, with a clock of the test's own."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from postmeter.delivery.client_tls import TlsSessions
from postmeter.delivery.route import Host
from postmeter.delivery.sender import SESSION_LIFE, Deadline, Sender
from postmeter.delivery.tls_policy import HostPolicy
from postmeter.message.envelope import Envelope, Recipient
from postmeter.smtp.mail import PIECE, Mail, Outcome
from postmeter.smtp.sending import Closed, SendingSession, Sent

HELLO = b"250-mx.test\r\n250 PIPELINING\r\n"
SMALL = Mail(Envelope("", (Recipient("joe@example.org"),)), (b"Subject: x\r\n\r\n",))
LARGE = Mail(SMALL.envelope, (b"x" * PIECE * 10,))


class Transport(StringTransport):
    """Counts octets instead of keeping them, and is full when told so."""

    aborted = False
    full = False
    most = 0

    def setTcpNoDelay(self, enabled: bool) -> None:
        self.nodelay = enabled

    def write(self, data: bytes) -> None:
        super().write(data)
        self.most = max(self.most, len(data))
        if self.full and self.producer is not None:
            self.producer.pauseProducing()

    def startTLS(self, creator: object) -> None:
        """The server stays silent."""

    def abortConnection(self) -> None:
        self.aborted = True
        super().abortConnection()


class Watcher:
    """Notes what a sender tells its owner."""

    def __init__(self) -> None:
        self.ready = 0
        self.outcomes: list[Outcome] = []
        self.closed: list[Closed] = []
        self.gone = 0

    def session_ready(self, sender: Sender) -> None:
        self.ready += 1

    def mail_sent(self, sender: Sender, sent: Sent) -> None:
        self.outcomes += sent.outcomes

    def session_closed(self, sender: Sender, closed: Closed) -> None:
        self.closed.append(closed)

    def session_gone(self, sender: Sender) -> None:
        self.gone += 1


class Stage:
    """A sender with a transport, a clock and a watcher."""

    def __init__(self) -> None:
        self.clock, self.watcher, self.transport = Clock(), Watcher(), Transport()
        machine = SendingSession("relay.test")
        host = Host("mx.test", "192.0.2.1", 25)
        tls = TlsSessions(self.clock.seconds).client(host, HostPolicy())
        self.sender = Sender(machine, host, self.watcher, self.clock, tls)
        self.sender.makeConnection(self.transport)

    def hear(self, *said: bytes) -> None:
        for one in said:
            self.sender.dataReceived(one)

    def written(self) -> bytes:
        data = self.transport.value()
        self.transport.clear()
        return data

    def end(self) -> list[Any]:
        """The connection is gone; what is left on the clock."""
        self.sender.connectionLost(Failure(ConnectionError()))
        return self.clock.getDelayedCalls()


STEPS = [b"220 mx.test\r\n", HELLO, b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n"]


@pytest.mark.parametrize(
    ("steps", "stage", "patience"),
    [(0, "banner", 300), (1, "ehlo", 300), (2, "mail", 300), (3, "rcpt", 300), (4, "data", 120), (5, "content", 600)],
)
def test_each_phase_has_its_deadline(steps: int, stage: str, patience: float) -> None:
    play = Stage()
    for number, step in enumerate(STEPS[:steps]):
        play.clock.advance(1)
        play.hear(step)
        if number == 1:
            play.sender.send(SMALL)
    play.clock.advance(patience - 1)
    assert not play.watcher.closed
    play.clock.advance(1)
    [closed] = play.watcher.closed
    assert (closed.stage, closed.reply.status, play.transport.aborted) == (stage, "4.4.2", True)
    assert [outcome.in_doubt for outcome in play.watcher.outcomes] == ([stage == "content"] if steps >= 2 else [])
    assert play.end() == []


def test_a_handshake_that_takes_too_long_is_lost_and_no_error_of_tls() -> None:
    play = Stage()
    play.hear(STEPS[0], b"250-mx.test\r\n250 STARTTLS\r\n", b"220 go\r\n")
    assert play.sender.machine.state == "handshake"
    play.clock.advance(300)
    [closed] = play.watcher.closed
    assert (closed.stage, closed.reply.status) == ("starttls", "4.4.2")
    assert (play.sender.handshake_failed, play.sender.handshake_lost) == (False, True)
    assert play.end() == []


def test_a_tarpit_gains_no_time_by_single_octets() -> None:
    play = Stage()
    for second in range(300):
        assert not play.watcher.closed
        play.hear(b"220-slow"[second % 8 : second % 8 + 1])
        play.clock.advance(1)
    assert play.watcher.closed
    assert play.end() == []


def test_a_session_ends_after_half_an_hour_however_it_goes_on() -> None:
    play = Stage()
    play.hear(STEPS[0], HELLO)
    many = Mail(Envelope("", tuple(Recipient(f"{number}@x.org") for number in range(100))), (b"x\r\n",))
    play.sender.send(many)
    passed = 0
    while not play.watcher.closed:
        play.hear(b"250 ok\r\n")
        play.clock.advance(100)
        passed += 100
    assert passed == SESSION_LIFE
    assert play.end() == []


def test_the_server_has_all_its_time_for_the_final_dot_however_old_the_session_is() -> None:
    play = Stage()
    play.sender.idle = 300.0
    play.hear(STEPS[0], HELLO)
    for _ in range(6):  # a mail each 290 seconds
        play.clock.advance(260)
        play.sender.send(SMALL)
        play.hear(b"250 ok\r\n250 ok\r\n354 go\r\n")
        play.clock.advance(30)
        play.hear(b"250 ok\r\n")
    play.sender.send(SMALL)
    play.clock.advance(SESSION_LIFE - play.clock.seconds() - 1)
    play.hear(b"250 ok\r\n250 ok\r\n354 go\r\n")
    play.clock.advance(599)
    play.hear(b"250 ok\r\n")
    assert [one.delivered for one in play.watcher.outcomes] == [True] * 7
    assert play.watcher.ready == 1
    play.written()
    play.clock.advance(0)
    assert play.written() == b"QUIT\r\n"  # it has outlived its time, and takes no further mail
    play.clock.advance(9)
    play.hear(b"221 bye\r\n")
    assert not play.transport.aborted
    assert play.end() == []


def test_a_final_dot_that_is_never_answered_ends_in_ten_minutes() -> None:
    play = Stage()
    play.hear(STEPS[0], HELLO)
    play.sender.send(SMALL)
    play.clock.advance(290)
    play.hear(b"250 ok\r\n250 ok\r\n354 go\r\n")
    play.clock.advance(599)
    assert not play.watcher.outcomes
    play.clock.advance(1)
    [outcome] = play.watcher.outcomes
    assert (outcome.in_doubt, play.transport.aborted) == (True, True)
    assert play.end() == []


def test_a_session_without_mail_takes_leave() -> None:
    play = Stage()
    play.sender.idle = 30.0
    play.hear(STEPS[0], HELLO)
    play.written()
    play.clock.advance(29.9)
    assert play.written() == b""
    play.clock.advance(0.2)
    assert play.written() == b"QUIT\r\n"
    play.hear(b"221 bye\r\n")
    assert play.transport.disconnecting
    assert play.end() == []
    assert (len(play.watcher.closed), play.watcher.gone) == (1, 1)


def test_a_server_that_does_not_answer_quit_is_left_after_ten_seconds() -> None:
    play = Stage()
    play.hear(STEPS[0], HELLO)
    play.sender.quit()
    play.clock.advance(10)
    assert play.transport.aborted
    assert play.end() == []


@pytest.mark.parametrize("answers", [(), (b"221 bye\r\n",)], ids=["silent", "never-closes"])
def test_who_was_left_for_want_of_mail_is_left_after_ten_seconds_whatever_he_does(answers: tuple[bytes, ...]) -> None:
    play = Stage()
    play.sender.idle = 30.0
    play.hear(STEPS[0], HELLO)
    play.clock.advance(30)
    play.hear(*answers)
    play.clock.advance(9.9)
    assert not play.transport.aborted
    play.clock.advance(0.1)
    assert play.transport.aborted
    assert play.end() == []
    assert (len(play.watcher.closed), play.watcher.gone) == (1, 1)


def test_deadlines_of_many_mails_do_not_touch_the_timer() -> None:
    play = Stage()
    play.hear(STEPS[0], HELLO)
    [before] = play.clock.getDelayedCalls()
    for _ in range(50):
        play.sender.send(SMALL)
        play.hear(b"250 ok\r\n250 ok\r\n354 go\r\n", b"250 ok\r\n")
    assert play.clock.getDelayedCalls() == [before]
    assert len(play.watcher.outcomes) == 50
    play.end()


def test_envelope_and_content_are_one_write_each() -> None:
    play = Stage()
    play.hear(STEPS[0], HELLO)
    play.written()
    play.sender.send(SMALL)
    assert play.written() == b"MAIL FROM:<>\r\nRCPT TO:<joe@example.org>\r\nDATA\r\n"
    play.hear(b"250 ok\r\n250 ok\r\n354 go\r\n")
    assert play.written() == b"Subject: x\r\n\r\n.\r\n"
    play.end()


def test_a_large_content_waits_for_room() -> None:
    play = Stage()
    play.hear(STEPS[0], HELLO)
    play.sender.send(LARGE)
    play.transport.full = True
    play.written()
    play.hear(b"250 ok\r\n250 ok\r\n354 go\r\n")
    written = len(play.written())
    assert written <= 2 * PIECE
    while play.transport.producer is not None:
        play.clock.advance(130)
        play.sender.resumeProducing()
        assert play.transport.most <= PIECE
        written += len(play.written())
    assert written == 10 * PIECE + len(b"\r\n.\r\n")
    play.hear(b"250 ok\r\n")
    assert play.watcher.outcomes[0].delivered
    play.end()


def test_a_server_that_takes_no_more_content_is_left_after_three_minutes() -> None:
    play = Stage()
    play.hear(STEPS[0], HELLO)
    play.sender.send(LARGE)
    play.transport.full = True
    play.hear(b"250 ok\r\n250 ok\r\n354 go\r\n")
    play.clock.advance(180)
    [outcome] = play.watcher.outcomes
    assert (outcome.stage, outcome.in_doubt) == ("content", False)
    assert play.transport.aborted
    assert play.transport.producer is None
    assert play.end() == []


def test_a_server_that_takes_content_too_slowly_is_left() -> None:
    play = Stage()
    play.hear(STEPS[0], HELLO)
    play.sender.send(LARGE)
    play.transport.full = True
    play.hear(b"250 ok\r\n250 ok\r\n354 go\r\n")
    for _ in range(3):  # 60 s are free, and then each piece is worth 131 s
        play.clock.advance(150)
        play.sender.resumeProducing()
    assert not play.transport.aborted
    written = len(play.written())
    play.clock.advance(60 + written // 500 - 450 + 1)
    [outcome] = play.watcher.outcomes
    assert (outcome.stage, outcome.in_doubt, outcome.reply.text) == ("content", False, "No answer in time (content)")
    assert play.transport.aborted
    assert play.end() == []


def test_nagle_is_off() -> None:
    play = Stage()
    assert play.transport.nodelay
    play.end()


def test_a_deadline_that_is_set_earlier_expires_earlier() -> None:
    clock, expired = Clock(), []
    deadline = Deadline(clock, lambda: expired.append(clock.seconds()), 1000)
    deadline.set(300)
    deadline.set(100)
    clock.advance(99)
    deadline.set(500)
    clock.pump([50] * 9 + [49])
    assert not expired
    clock.advance(1)
    assert expired
