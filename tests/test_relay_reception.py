"""Reception of the whole relay: limits that hold for all workers together, tickets, and mail under way at the end."""

from __future__ import annotations

import os
import re
import signal
import smtplib
import socket
import ssl
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.mail_sink import MailSink
from support.relay import ACCOUNT, DOMAIN, Access, Relay, wait_until

SETTINGS = """\
max_sessions_per_ip = 6
max_sessions_per_connection = 4
max_new_sessions_per_second = 1000
handshake_timeout = 5
suppressed = "accept"
"""
DRAIN = 6  # seconds


@pytest.fixture(scope="module")
def sink(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailSink]:
    """Everybody's mail server."""
    made = MailSink(tmp_path_factory.mktemp("sink"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory, sink: MailSink) -> Iterator[Relay]:
    """A relay with two workers."""
    settings = {"smtp": SETTINGS, "server": f"drain_timeout = {DRAIN}"}
    made = Relay(tmp_path_factory.mktemp("relay"), f"127.0.0.1:{sink.port}", settings=settings)
    try:
        made.start()
        yield made
    finally:
        made.kill()


@pytest.fixture(scope="module")
def access(relay: Relay) -> Access:
    """A customer."""
    return relay.set_up()


def greeting(relay: Relay, stack: ExitStack) -> bytes:
    """What a new session is told first; it stays open."""
    link = stack.enter_context(socket.create_connection(("127.0.0.1", relay.port), 10))
    return link.recv(1000)[:4]


def trusting(relay: Relay) -> ssl.SSLContext:
    """A client's side of TLS."""
    return ssl.create_default_context(cafile=str(relay.certificate))


def log_in(relay: Relay, username: str, password: str) -> tuple[smtplib.SMTP, int]:
    """A session that has tried to log in once, and the code that this was answered with."""
    client = smtplib.SMTP("127.0.0.1", relay.port, timeout=20)
    client.starttls(context=trusting(relay))
    client.ehlo()
    return client, client.docmd("AUTH PLAIN", b64encode(f"\0{username}\0{password}".encode()).decode())[0]


def session(relay: Relay, access: Access) -> smtplib.SMTP:
    """A session that has logged in."""
    client, code = log_in(relay, access.username, access.password)
    assert code == 235
    return client


def all_gone(relay: Relay) -> None:
    """Wait until the sessions of the test before are over."""

    def free() -> bool:
        with ExitStack() as stack:
            return [greeting(relay, stack) for _ in range(6)] == [b"220 "] * 6

    wait_until(free, 20, "six free sessions")
    time.sleep(0.3)  # for the server to see that they are over


def test_sessions_of_one_address_are_counted_over_all_workers(relay: Relay) -> None:
    all_gone(relay)
    with ExitStack() as stack:
        told = [greeting(relay, stack) for _ in range(10)]
        assert sorted(told) == [b"220 "] * 6 + [b"421 "] * 4
    all_gone(relay)


def test_sessions_of_one_connection_are_counted_over_all_workers(relay: Relay, access: Access) -> None:
    all_gone(relay)
    clients = [session(relay, access) for _ in range(4)]
    assert _try(relay, access) == 421
    clients.pop().quit()
    wait_until(lambda: _try(relay, access) == 235, 10, "room for one more")
    for client in clients:
        client.close()


def _try(relay: Relay, access: Access) -> int:
    client, code = log_in(relay, access.username, access.password)
    client.close()
    return code


def test_a_suppressed_recipient_is_accepted_shown_and_not_sent(relay: Relay, access: Access, sink: MailSink) -> None:
    relay.cli("suppression", "add", ACCOUNT, "gone@example.net", "--reason", "asked by phone")

    def counted() -> bool:  # what a log-in knows of the list may be a second old
        client = session(relay, access)
        client.sendmail(f"a@{DOMAIN}", ["gone@example.net", "here@example.net"], f"From: a@{DOMAIN}\r\n\r\nHi\r\n")
        client.quit()
        return bool(relay.stats()["suppressed"])

    wait_until(counted, 10, "a suppressed recipient")
    wait_until(lambda: not relay.queue()["total"], 10, "the end of the queue")
    assert sink.to("here@example.net")
    wait_until(lambda: sink.to(f"a@{DOMAIN}"), 10, "the notification")
    told = relay.stats()
    assert told["arrived"] == told["delivered"] + told["suppressed"]


def test_the_sessions_of_a_killed_worker_are_not_counted_any_more(relay: Relay) -> None:
    all_gone(relay)
    with ExitStack() as stack:
        assert [greeting(relay, stack) for _ in range(6)] == [b"220 "] * 6
        workers = relay.workers()
        for pid in workers:
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: len(set(relay.workers()) - set(workers)) == 2, 20, "two new workers")
        all_gone(relay)


def test_failed_log_ins_are_counted_over_all_workers(relay: Relay, access: Access) -> None:
    all_gone(relay)

    def failure() -> int:
        client, code = log_in(relay, "nobody-at-all", "wrong")
        client.close()
        return code

    assert [failure() for _ in range(7)] == [535, 535, 535, 535, 535, 454, 454]
    assert re.search(r"log-ins with one user name are refused for \d+ s: 5 failures, .* 127\.0\.0\.0/24", relay.log())
    session(relay, access).quit()


def test_a_ticket_is_taken_whichever_worker_the_session_comes_to(relay: Relay) -> None:
    all_gone(relay)
    context = trusting(relay)

    def visit(ticket: ssl.SSLSession | None) -> tuple[bool, ssl.SSLSession | None]:
        plain = socket.create_connection(("127.0.0.1", relay.tls_port), 10)
        with context.wrap_socket(plain, server_hostname="localhost", session=ticket) as link:
            assert link.recv(1000).startswith(b"220 ")
            link.sendall(b"QUIT\r\n")
            assert link.recv(1000).startswith(b"221 ")
            return bool(link.session_reused), link.session

    _, ticket = visit(None)
    for _ in range(12):
        resumed, ticket = visit(ticket)
        assert resumed
        time.sleep(0.02)


def test_no_secret_is_in_any_log(relay: Relay, access: Access) -> None:
    all_gone(relay)
    client = smtplib.SMTP("127.0.0.1", relay.port, timeout=20)
    client.starttls(context=trusting(relay))
    client.ehlo()
    for command in ("AUTH PLAIN ", "AUTH ", "", "NOOP "):
        client.docmd(command + access.password)
    client.close()
    session(relay, access).quit()
    assert access.password not in relay.log() + relay.out()


def refused(relay: Relay) -> bool:
    """Whether nobody listens any more."""
    try:
        socket.create_connection(("127.0.0.1", relay.port), 5).close()
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:  # the port closes just now
        pass
    return False


def test_a_message_that_is_coming_in_at_the_end_is_taken(relay: Relay, access: Access, sink: MailSink) -> None:
    all_gone(relay)
    late, never = session(relay, access), session(relay, access)
    for client in (late, never):
        client.mail(f"orders@{DOMAIN}")
        client.rcpt("late@kunde.example")
        assert client.docmd("DATA")[0] == 354
        client.send(f"From: orders@{DOMAIN}\r\nSubject: late\r\n\r\n")
    idle = session(relay, access)
    assert relay._process is not None
    began = time.monotonic()
    relay._process.terminate()
    assert idle.getreply()[0] == 421
    wait_until(lambda: refused(relay), DRAIN / 2, "new clients are refused")
    late.send("the rest of it\r\n.\r\n")
    code, text = late.getreply()
    assert (code, text[:20]) == (250, b"2.0.0 Ok: queued as ")
    assert late.getreply()[0] == 421
    assert never.getreply()[0] == 421  # that one has taken too long
    assert relay.wait() == 0
    assert DRAIN - 1 < time.monotonic() - began < DRAIN + 10
    for client in (late, never, idle):
        client.close()
    relay.start()
    wait_until(lambda: bool(sink.to("late@kunde.example")), 20, "the late mail")
    assert len(sink.to("late@kunde.example")) == 1


def test_a_worker_that_cannot_come_back_gets_no_clients(tmp_path: Path) -> None:
    relay = Relay(tmp_path, "127.0.0.1:1", settings={"smtp": "max_new_sessions_per_second = 1000"})
    try:
        relay.start()
        good = relay.certificate.read_bytes()
        relay.certificate.write_bytes(b"nothing\n")  # the one that lives keeps what it has, the next one cannot start
        relay.kill_worker()
        wait_until(lambda: len(re.findall(r"worker \d ended", relay.log())) >= 2, 20, relay.log)
        time.sleep(0.3)  # until its sockets are closed
        for _ in range(12):
            with socket.create_connection(("127.0.0.1", relay.port), 5) as link:
                assert link.recv(100).startswith(b"220 ")
        relay.certificate.write_bytes(good)
        wait_until(lambda: len(relay.workers()) == 2, 30, "both workers")
        for _ in range(12):
            with socket.create_connection(("127.0.0.1", relay.port), 10) as link:
                assert link.recv(100).startswith(b"220 ")
        assert relay.stop() == 0
    finally:
        relay.kill()
