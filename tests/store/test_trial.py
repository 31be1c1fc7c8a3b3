"""A test mail is a mail of its connection: accepted, paid, counted and signed like any other."""

from __future__ import annotations

import email
from email import policy
from typing import Any

import pytest

from postmeter.config import Server, Settings
from postmeter.errors import UsageError
from postmeter.store import connections, pauses, queue, suppressions, trial
from postmeter.store.connections import Caps, add_connection
from postmeter.store.engine import Store
from postmeter.store.quota import quota_of
from postmeter.store.tables import Account, Connection
from postmeter.store.timeline import message_facts
from support.postage import add_worker, audit, kinds, lease
from support.tenants import NOW, SECRETS, make_account, make_domain

SETTINGS = Settings(server=Server(hostname="mail.test"))


@pytest.fixture
def username(store: Store) -> str:
    """A connection of account 1 that is on."""
    with store.write() as session:
        account = make_account(session)
        make_domain(session, account)
        return add_connection(session, SECRETS, account, "web shop", ["shop.example"], NOW).username


def send(store: Store, username: str, to: str = "ann@acme.example", subject: str = "Größe ✓") -> str:
    with store.write() as session:
        return trial.send(session, SETTINGS, username, to, subject, "It works.\n.\n", NOW)


def sent(store: Store, identifier: str) -> Any:
    with store.read() as session:
        return email.message_from_bytes(queue.content(session, 1, identifier), policy=policy.default)


def test_it_has_what_every_mail_of_the_connection_gets(store: Store, username: str) -> None:
    mail = sent(store, send(store, username))
    assert (mail["From"], mail["To"], mail["Subject"]) == ("noreply@shop.example", "ann@acme.example", "Größe ✓")
    assert mail["List-Help"] == "<https://shop.example/help>"
    assert mail["Message-ID"].endswith("@mail.test>")
    assert mail["Received"].startswith("from [AUTH:1] by mail.test with ESMTPSA")
    assert mail["Date"]
    assert mail.get_content().splitlines() == ["It works.", "."]


def test_it_is_paid_and_counted_and_waits_for_any_worker(store: Store, username: str) -> None:
    with store.read() as session:
        before = quota_of(session, 1, NOW).left
    identifier = send(store, username)
    with store.read() as session:
        facts = message_facts(session, identifier, 1)
        assert quota_of(session, 1, NOW).left == before - 1
        used = session.get_one(Connection, 1).last_used_at
    assert facts is not None
    assert (facts.connection_id, facts.domain, facts.header_from) == (1, "shop.example", "shop.example")
    assert (facts.reverse_path, facts.subject) == ("noreply@shop.example", "Größe ✓")
    assert (used, kinds(store)[-1]) == (NOW, "accepted")
    [leased] = lease(store, add_worker(store))
    assert (leased.message.id, leased.recipients[0].path.forward_path) == (identifier, "ann@acme.example")
    audit(store)


def test_an_address_beyond_ascii_is_sent_to_as_it_is(store: Store, username: str) -> None:
    identifier = send(store, username, "jürgen@acme.example")
    with store.read() as session:
        octets = b"".join([queue.content(session, 1, identifier)])
        found = message_facts(session, identifier, 1)
    assert found is not None
    assert found.recipients[0].forward_path == "jürgen@acme.example"
    assert "To: jürgen@acme.example\r\n".encode() in octets


@pytest.mark.parametrize(
    ("to", "problem"),
    [
        ("nobody", "'nobody' is not an address"),
        ("a@b.example>\r\nBcc: x@y.example", "is not an address"),
        ("", "'' is not"),
    ],
)
def test_what_is_no_address_gets_no_mail(store: Store, username: str, to: str, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        send(store, username, to)


def test_a_suppressed_address_gets_none(store: Store, username: str) -> None:
    with store.write() as session:
        suppressions.suppress(session, 1, "ann@acme.example", suppressions.MANUAL, NOW)
    with pytest.raises(UsageError, match=r"ann@ACME\.example is on the suppression list"):
        send(store, username, "ann@ACME.example")


def test_a_connection_that_is_off_sends_none(store: Store, username: str) -> None:
    with store.write() as session:
        pauses.pause(session, session.get_one(Account, 1), "web shop", "sold", NOW)
    with pytest.raises(UsageError, match="This connection is paused: sold"):
        send(store, username)
    with pytest.raises(UsageError, match="there is no connection 'nobody'"):
        send(store, "nobody")


def test_the_caps_of_the_connection_hold(store: Store, username: str) -> None:
    with store.write() as session:
        connections.set_caps(session, session.get_one(Connection, 1), Caps(per_hour=1))
    send(store, username)
    with pytest.raises(UsageError, match="hour"):
        send(store, username)
