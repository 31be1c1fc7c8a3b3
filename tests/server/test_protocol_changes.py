"""Changes of a connection reach the sessions that have logged in before: they hold for the next message."""

from __future__ import annotations

from dataclasses import replace

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from postmeter.store.connections import Access, AllowedDomain
from support.reception import ACCESS, Client, FakeAcceptance, logged_in, reception

MAIL = b"MAIL FROM:<orders@shop.example>\r\nRCPT TO:<joe@example.org>\r\nDATA\r\n"
CONTENT = b"From: orders@shop.example\r\n\r\nHello\r\n"


def codes(said: bytes) -> list[int]:
    """The codes of the replies."""
    return [int(line[:3]) for line in said.splitlines() if line[3:4] == b" "]


class Shelf:
    """A store whose connection changes while a session is open."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.access: Access | None = ACCESS
        self.late: list[Deferred[Access | None]] | None = None  # a list: look-ups wait in it
        self.asked = 0

    def look_up(self, _username: str) -> Deferred[Access | None]:
        """What the directory calls."""
        self.asked += 1
        if self.late is None:
            return succeed(self.access)
        self.late.append(Deferred())
        return self.late[-1]

    def client(self, acceptance: FakeAcceptance | None = None) -> Client:
        """A session that has logged in a second ago."""
        client = logged_in(reception(self.clock, acceptance, look_up=self.look_up))
        self.clock.advance(1)
        return client


@pytest.mark.parametrize("access", [replace(ACCESS, secret=b"renewed"), None])
def test_a_session_with_an_old_secret_ends_at_its_next_message(access: Access | None) -> None:
    shelf = Shelf()
    client = shelf.client()
    shelf.access = access
    assert client.send(MAIL).startswith(b"421 4.7.0 The access data were changed")
    assert client.closing


def test_a_renewed_secret_ends_no_session_while_the_old_one_is_good() -> None:
    shelf, acceptance = Shelf(), FakeAcceptance()
    client = shelf.client(acceptance)
    shelf.access = replace(ACCESS, secret=b"renewed", previous=ACCESS.secret)
    assert codes(client.send(MAIL + CONTENT + b".\r\n")) == [250, 250, 354, 250]
    assert acceptance.taken[0].access == replace(shelf.access, aged=True)
    shelf.access = replace(shelf.access, previous=b"")
    shelf.clock.advance(1)
    assert client.send(MAIL).startswith(b"421 4.7.0 The access data were changed")


def test_a_paused_connection_sends_no_further_message_until_it_is_active_again() -> None:
    shelf, acceptance = Shelf(), FakeAcceptance()
    client = shelf.client(acceptance)
    shelf.access = replace(ACCESS, reason="This connection is paused: holidays")
    said = client.send(MAIL).splitlines()
    assert said[0] == b"550 5.7.1 Connection inactive: This connection is paused: holidays"
    assert not client.closing
    shelf.access = ACCESS
    shelf.clock.advance(1)
    assert codes(client.send(MAIL + CONTENT + b".\r\n")) == [250, 250, 354, 250]
    assert len(acceptance.taken) == 1


def test_domains_verified_meanwhile_hold_for_the_next_message() -> None:
    shelf, acceptance = Shelf(), FakeAcceptance()
    client = shelf.client(acceptance)
    shelf.access = replace(ACCESS, domains=(*ACCESS.domains, AllowedDomain("new.example", "<https://new.example>")))
    client.send(MAIL + CONTENT + b".\r\n")
    assert acceptance.taken[0].access == shelf.access


def test_messages_within_a_second_ask_the_store_once() -> None:
    shelf = Shelf()
    client = shelf.client()
    for _ in range(5):
        assert codes(client.send(MAIL + CONTENT + b".\r\n")) == [250, 250, 354, 250]
    assert shelf.asked == 2  # at log-in, and a second later


def test_what_is_pipelined_behind_mail_waits_for_the_look_up() -> None:
    shelf = Shelf()
    client = shelf.client()
    shelf.late = []
    assert client.send(MAIL) == b""
    shelf.late[0].callback(ACCESS)
    assert codes(client.take()) == [250, 250, 354]


def test_a_client_lost_during_the_look_up_leaves_nothing_behind() -> None:
    shelf = Shelf()
    client = shelf.client()
    shelf.late = []
    client.send(MAIL)
    client.hang_up()
    shelf.late[0].callback(ACCESS)
    assert client.take() == b""
    assert not shelf.clock.getDelayedCalls()


def test_a_store_that_is_down_at_mail_is_451(caplog: pytest.LogCaptureFixture) -> None:
    shelf = Shelf()
    client = shelf.client()
    shelf.late = []
    client.send(MAIL)
    shelf.late[0].errback(OSError("database is gone"))
    assert codes(client.take())[0] == 451
    assert not client.closing
    assert "database is gone" in caplog.text
