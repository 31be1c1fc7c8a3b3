"""The submission protocol without sockets: the order of replies, back-pressure, the end of a session, defects."""

from __future__ import annotations

import errno
import logging
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock

from postmeter.config import Smtp
from postmeter.server.protocol import SubmissionProtocol
from postmeter.server.spool import Spool
from postmeter.smtp.limits import Limits
from postmeter.smtp.replies import LOCAL_ERROR, queued
from postmeter.store.connections import Access
from support.reception import ACCESS, MESSAGE_ID, Client, FakeAcceptance, inactive, logged_in, reception

MAIL = b"MAIL FROM:<orders@shop.example>\r\nRCPT TO:<joe@example.org>\r\nDATA\r\n"
CONTENT = b"From: orders@shop.example\r\n\r\nHello\r\n"
CHATTY = Limits(max_junk_commands=100_000)
LOGIN = b"EHLO client.example\r\nAUTH PLAIN AHNob3AAc2VjcmV0\r\n"


def codes(said: bytes) -> list[int]:
    """The codes of the replies."""
    return [int(line[:3]) for line in said.splitlines() if line[3:4] == b" "]


def test_a_message_is_handed_over_as_it_came() -> None:
    acceptance = FakeAcceptance()
    client = logged_in(reception(Clock(), acceptance))
    assert codes(client.send(MAIL)) == [250, 250, 354]
    assert client.send(CONTENT + b".\r\n") == f"250 2.0.0 Ok: queued as {MESSAGE_ID}\r\n".encode()
    [taken] = acceptance.taken
    assert (taken.content, taken.access, taken.in_memory) == (CONTENT, ACCESS, True)
    assert [r.forward_path for r in taken.envelope.recipients] == ["joe@example.org"]


def test_commands_behind_the_final_dot_are_answered_after_the_commit() -> None:
    acceptance = FakeAcceptance(late=True)
    client = logged_in(reception(Clock(), acceptance))
    client.send(MAIL)
    assert client.send(CONTENT + b".\r\nRSET\r\nNOOP\r\nQUIT\r\nNOOP\r\n") == b""
    assert not client.wire.disconnecting
    acceptance.taken[0].answer.callback(queued(MESSAGE_ID))
    assert codes(client.take()) == [250, 250, 250, 221]
    assert client.closing


def test_pipelined_messages_are_answered_in_their_order() -> None:
    acceptance = FakeAcceptance(late=True)
    client = logged_in(reception(Clock(), acceptance))
    whole = MAIL + CONTENT + b".\r\n"
    assert codes(client.send(whole + whole)) == [250, 250, 354]
    assert len(acceptance.taken) == 1
    acceptance.taken[0].answer.callback(LOCAL_ERROR)
    assert codes(client.take()) == [451, 250, 250, 354]
    acceptance.taken[1].answer.callback(queued(MESSAGE_ID))
    assert codes(client.take()) == [250]


def test_a_client_lost_during_the_commit_leaves_nothing_open(tmp_path: Path) -> None:
    acceptance = FakeAcceptance(late=True)
    clock = Clock()
    shared = reception(clock, acceptance, folder=tmp_path)
    client = logged_in(shared)
    client.send(MAIL + CONTENT + b".\r\nQUIT\r\n")
    client.take()
    client.hang_up()
    acceptance.taken[0].answer.callback(queued(MESSAGE_ID))
    assert client.take() == b""
    assert len(shared.visitors.census) == 0
    assert not clock.getDelayedCalls()


def test_a_client_lost_in_the_content_leaves_no_file(tmp_path: Path) -> None:
    acceptance = FakeAcceptance()
    client = logged_in(reception(Clock(), acceptance, folder=tmp_path))
    client.send(MAIL)
    client.send(b"From: orders@shop.example\r\n\r\n" + b"x" * 70 + b"\r\n")
    for _ in range(20):
        client.send((b"y" * 70 + b"\r\n") * 1000)
    spool = client.protocol._spool
    assert spool is not None
    assert not spool.in_memory
    client.hang_up()
    assert client.protocol._spool is None
    assert spool._file is not None
    assert spool._file.closed
    assert acceptance.taken == []
    assert list(tmp_path.iterdir()) == []


def test_the_transport_rests_while_commands_pile_up_behind_a_commit() -> None:
    acceptance = FakeAcceptance(late=True)
    client = logged_in(reception(Clock(), acceptance, limits=CHATTY))
    client.send(MAIL + CONTENT + b".\r\n" + b"NOOP\r\n" * 5)
    assert client.wire.producerState == "producing"
    client.send(b"NOOP\r\n" * 11_000)
    assert client.wire.producerState == "paused"
    acceptance.taken[0].answer.callback(queued(MESSAGE_ID))
    assert client.wire.producerState == "producing"
    assert codes(client.take())[-11_005:] == [250] * 11_005


def test_a_client_that_does_not_read_its_replies_is_not_read_from() -> None:
    client = logged_in(reception(Clock()))
    assert client.wire.streaming
    client.wire.producer.pauseProducing()
    assert client.wire.producerState == "paused"
    client.wire.producer.resumeProducing()
    assert client.wire.producerState == "producing"


def test_a_full_write_buffer_and_a_pending_commit_pause_together() -> None:
    acceptance = FakeAcceptance(late=True)
    client = logged_in(reception(Clock(), acceptance, limits=CHATTY))
    client.send(MAIL + CONTENT + b".\r\n" + b"NOOP\r\n" * 11_000)
    client.wire.producer.pauseProducing()
    acceptance.taken[0].answer.callback(queued(MESSAGE_ID))
    assert client.wire.producerState == "paused"
    client.wire.producer.resumeProducing()
    assert client.wire.producerState == "producing"


def test_quit_closes_although_a_producer_is_registered_and_paused() -> None:
    client = logged_in(reception(Clock()))
    client.wire.producer.pauseProducing()
    assert codes(client.send(b"QUIT\r\n")) == [221]
    assert client.closing
    assert client.wire.producerState == "producing"  # the client's close must be seen


def test_what_comes_behind_starttls_in_one_segment_is_never_executed() -> None:
    client = Client(reception(Clock()), implicit_tls=False)
    said = client.send(b"EHLO client.example\r\nSTARTTLS\r\nEHLO evil.example\r\nMAIL FROM:<a@shop.example>\r\n")
    assert codes(said) == [250, 501]
    assert not client.protocol.secure
    assert client.closing


def test_starttls_answers_in_clear_before_tls_and_says_nothing_more() -> None:
    client = Client(reception(Clock()), implicit_tls=False)
    client.send(b"EHLO client.example\r\n")
    assert client.send(b"STARTTLS\r\n") == b"220 2.0.0 Ready to start TLS\r\n"
    client.shake_hands()
    assert client.protocol.secure
    assert client.take() == b""
    assert not client.wire.disconnecting


def test_a_log_in_at_once_and_one_that_takes_time_say_the_same() -> None:
    waiting: list[Deferred[Access | None]] = []

    def look_up(_username: str) -> Deferred[Access | None]:
        waiting.append(Deferred())
        return waiting[-1]

    client = Client(reception(Clock(), look_up=look_up))
    assert codes(client.send(LOGIN + b"NOOP\r\n")) == [250]
    waiting[0].callback(ACCESS)
    assert codes(client.take()) == [235, 250]


def test_a_store_that_is_down_is_no_wrong_password(caplog: pytest.LogCaptureFixture) -> None:
    client = Client(reception(Clock(), look_up=lambda _: fail(OSError("database is gone"))))
    assert client.send(LOGIN).splitlines()[-1].startswith(b"454 4.7.0 ")
    assert not client.wire.disconnecting
    assert "database is gone" in caplog.text


def test_an_inactive_connection_is_told_the_reason_on_one_line() -> None:
    reason = "The DKIM record of shop.example\r\nhas not been verified yet: \u00fc"
    client = Client(reception(Clock(), look_up=inactive(reason)))
    said = client.send(LOGIN).splitlines()[-1]
    assert said.startswith(b"535 5.7.8 ")
    assert b"The DKIM record of shop.example" in said
    assert said.isascii()


def test_no_secret_reaches_a_log_record(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    def broken(_username: str) -> Deferred[Access | None]:
        raise ValueError("a defect")

    for look_up in (broken, lambda _: fail(ValueError("late"))):
        client = Client(reception(Clock(), look_up=look_up))
        client.send(LOGIN)
    wrong = Client(reception(Clock()))
    wrong.send(b"EHLO x\r\nAUTH PLAIN " + b"AHNob3AAc2VjcmV0Mg==" + b"\r\n")
    assert "a defect" in caplog.text
    text = caplog.text + repr(wrong.protocol.__dict__)
    assert all(secret not in text for secret in ("secret", "AHNob3A"))


def test_too_many_sessions_are_turned_away_before_a_greeting() -> None:
    shared = reception(Clock(), smtp=Smtp(max_sessions=2, max_sessions_per_ip=2))
    first, _second, third = Client(shared), Client(shared), Client(shared)
    assert third.greeting.startswith(b"421 4.3.2 ")
    assert b"220" not in third.greeting
    assert third.closing
    third.hang_up()
    assert Client(shared).greeting.startswith(b"421 ")
    first.hang_up()


def test_sessions_of_one_connection_are_limited_at_log_in() -> None:
    shared = reception(Clock(), smtp=Smtp(max_sessions_per_connection=1))
    first = logged_in(shared)
    second = Client(shared)
    assert second.send(LOGIN).splitlines()[-1].startswith(b"421 4.7.0 ")
    assert second.closing
    second.hang_up()
    first.hang_up()
    assert logged_in(shared).greeting.startswith(b"220 ")


def test_a_client_that_leaves_during_its_log_in_is_not_counted_for_ever() -> None:
    waiting: list[Deferred[Access | None]] = []

    def look_up(_username: str) -> Deferred[Access | None]:
        waiting.append(Deferred())
        return waiting[-1]

    shared = reception(Clock(), look_up=look_up, smtp=Smtp(max_sessions_per_connection=1))
    client = Client(shared)
    client.send(LOGIN)
    client.hang_up()
    waiting.pop().callback(ACCESS)
    assert client.wire.value() == b""
    following = Client(shared)
    assert b"235 2.7.0" in following.send(LOGIN)


def test_a_full_disk_is_told_behind_the_end_of_the_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    acceptance = FakeAcceptance()
    client = logged_in(reception(Clock(), acceptance, folder=tmp_path))
    writes: list[int] = []

    def full(self: Spool, block: bytes) -> None:
        writes.append(len(block))
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Spool, "write", full)
    client.send(MAIL)
    for _ in range(10):
        assert client.send((b"y" * 70 + b"\r\n") * 1000) == b""
    assert codes(client.send(b".\r\n")) == [452]
    assert len(writes) == 1
    monkeypatch.undo()
    assert codes(client.send(MAIL)) == [250, 250, 354]
    assert codes(client.send(b".\r\n")) == [250]
    assert len(acceptance.taken) == 1


@pytest.mark.parametrize("late", [False, True])
def test_a_defect_in_the_acceptance_is_451_and_logged(late: bool, caplog: pytest.LogCaptureFixture) -> None:
    acceptance = FakeAcceptance(late=True)
    client = logged_in(reception(Clock(), acceptance))
    if not late:
        acceptance.accept = lambda *_: fail(RuntimeError("a defect"))  # type: ignore[method-assign]
    client.send(MAIL)
    said = client.send(CONTENT + b".\r\n")
    if late:
        acceptance.taken[0].answer.errback(RuntimeError("a defect"))
        said = client.take()
    assert codes(said) == [451]
    assert b"defect" not in said
    assert "a defect" in caplog.text
    assert codes(client.send(b"NOOP\r\n")) == [250]


@pytest.mark.parametrize("handler", ["_mail", "_rcpt", "_end_of_content", "_log_in", "_start_tls"])
def test_a_defect_in_the_session_is_421_and_nothing_else(
    handler: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a defect")

    handlers: Any = {
        kind: broken if function.__name__ == handler else function
        for kind, function in SubmissionProtocol.HANDLERS.items()
    }
    monkeypatch.setattr(SubmissionProtocol, "HANDLERS", handlers)
    client = Client(reception(Clock()), implicit_tls=handler != "_start_tls")
    said = client.send(b"EHLO x\r\nSTARTTLS\r\n" if handler == "_start_tls" else LOGIN)
    if handler not in ("_start_tls", "_log_in"):
        said = client.send(MAIL) + client.send(CONTENT + b".\r\n")
    assert codes(said)[-1] == 421
    assert 550 not in codes(said)
    assert b"defect" not in said
    assert client.closing
    assert caplog.text.count("a session failed because of a defect") == 1


def test_a_defect_of_the_machine_is_421(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    client = logged_in(reception(Clock()))
    monkeypatch.setattr("postmeter.smtp.session.parse_mail", lambda *_: 1 / 0)
    assert codes(client.send(MAIL)) == [421]
    assert client.closing
    assert "ZeroDivisionError" in caplog.text


def test_shutting_down_waits_for_the_commit_and_answers_it_first() -> None:
    acceptance = FakeAcceptance(late=True)
    shared = reception(Clock(), acceptance)
    busy, idle = logged_in(shared), logged_in(shared)
    busy.send(MAIL + CONTENT + b".\r\nNOOP\r\n")
    busy.take()
    for session in shared.visitors.census:
        session.shut_down()
    assert codes(idle.take()) == [421]
    assert idle.closing
    assert busy.take() == b""
    acceptance.taken[0].answer.callback(queued(MESSAGE_ID))
    assert codes(busy.take()) == [250, 421]
    assert busy.closing
