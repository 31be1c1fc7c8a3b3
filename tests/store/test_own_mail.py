"""Mail of the relay's own: complete, nobody's, free of charge, and answered by nobody."""

from __future__ import annotations

import email
from email import policy
from email.message import EmailMessage
from typing import Any

import pytest
from sqlalchemy import select

from postmeter.errors import UsageError
from postmeter.store import own_mail, queue
from postmeter.store.engine import Store
from postmeter.store.own_mail import OPERATOR
from postmeter.store.quota import quota_of
from postmeter.store.quota_tables import Ledger
from postmeter.store.statistics import totals
from postmeter.store.tables import Account
from postmeter.store.timeline import message_facts, queue_facts
from support.postage import (
    accept,
    add_worker,
    audit,
    funded,
    kinds,
    lease,
    recipients,
    rows,
    settle_all,
    submission,
)
from support.tenants import NOW

HOSTNAME = "mail.test"


def letter(text: str = "Hello", **fields: str) -> EmailMessage:
    """A mail with a subject and a text."""
    mail = EmailMessage()
    mail["Subject"] = "Your quota"
    for name, value in fields.items():
        mail[name.replace("_", "-")] = value
    mail.set_content(text)
    return mail


def send(store: Store, mail: EmailMessage, to: str = "ann@acme.example") -> str:
    with store.write() as session:
        return own_mail.send(session, mail, to, HOSTNAME, NOW)


def sent(store: Store, identifier: str) -> Any:
    """The mail as it is stored."""
    with store.read() as session:
        return email.message_from_bytes(queue.content(session, OPERATOR, identifier), policy=policy.default)


def test_what_a_mail_needs_is_added(store: Store) -> None:
    identifier = send(store, letter())
    mail = sent(store, identifier)
    assert (mail["From"], mail["To"]) == ("Postmeter <postmaster@mail.test>", "ann@acme.example")
    assert mail["Message-ID"] == f"<{identifier}@mail.test>"
    assert mail["Date"].datetime.timestamp() == NOW
    assert (mail["Auto-Submitted"], mail["X-Auto-Response-Suppress"]) == ("auto-generated", "All")
    with store.read() as session:
        facts = message_facts(session, identifier)
    assert facts is not None
    assert (facts.account_id, facts.reverse_path, facts.header_from) == (OPERATOR, "", HOSTNAME)
    assert facts.subject == "Your quota"
    assert [(one.forward_path, one.state, one.charge) for one in facts.recipients] == [
        ("ann@acme.example", "queued", "free")
    ]
    audit(store)


def test_what_the_sender_has_said_stays(store: Store) -> None:
    mine = letter(From="Shops <help@Operator.example>", Message_ID="<mine@operator.example>", Auto_Submitted="no")
    identifier = send(store, mine)
    mail = sent(store, identifier)
    assert (mail["From"], mail["Message-ID"]) == ("Shops <help@Operator.example>", "<mine@operator.example>")
    assert mail.get_all("Auto-Submitted") == ["no"]
    with store.read() as session:
        facts = message_facts(session, identifier)
    assert facts is not None
    assert (facts.header_from, facts.domain) == ("operator.example", HOSTNAME)


def test_one_mail_to_two_people_is_two_mails(store: Store) -> None:
    mail = letter()
    one, two = send(store, mail), send(store, mail, "ben@acme.example")
    assert (sent(store, one)["To"], sent(store, two)["To"]) == ("ann@acme.example", "ben@acme.example")
    assert sent(store, one)["Message-ID"] != sent(store, two)["Message-ID"]
    assert mail.keys() == ["Subject", "Content-Type", "Content-Transfer-Encoding", "MIME-Version"]


def test_text_of_any_kind_is_seven_bit_on_the_wire_and_arrives_whole(store: Store) -> None:
    text = "Grüße 📯\n.\nFrom here\n" + "x" * 3000 + "\n"
    identifier = send(store, letter(text))
    with store.read() as session:
        content = queue.content(session, OPERATOR, identifier)
    assert content.isascii()
    assert max(map(len, content.split(b"\r\n"))) <= 998
    assert b"\n" not in content.replace(b"\r\n", b"")
    assert sent(store, identifier).get_content().replace("\r\n", "\n") == text


def test_an_address_with_umlauts_is_not_encoded_and_needs_smtputf8(store: Store) -> None:
    identifier = send(store, letter(), "jörg@bücher.example")
    with store.read() as session:
        content = queue.content(session, OPERATOR, identifier)
    assert "\r\nTo: jörg@bücher.example\r\n".encode() in content
    (leased,) = lease(store, add_worker(store))
    assert leased.message.envelope.smtputf8


@pytest.mark.parametrize(
    "to",
    ["", "ann", "a b@x.example", "ann@x.example>\r\nRCPT TO:<b@x.example", "a@x.example\r\nBcc: b@x", "<>"],
)
def test_what_is_no_address_is_refused(store: Store, to: str) -> None:
    with pytest.raises(UsageError, match="is not an address"):
        send(store, letter(), to)
    assert recipients(store) == []


@pytest.mark.parametrize(
    "word", ["=?utf-8?q?x=0D=0ABcc=3A_evil=40example.net?=", "=?utf-8?q?x=0ABcc=3A_e?=", "=?utf-8?b?eA0KDQpib2R5?="]
)
def test_an_encoded_word_brings_in_no_line_break(store: Store, word: str) -> None:
    for mail in (letter(X_Shop=word), letter(X_Shop=f"{word} und ü")):
        with pytest.raises(UsageError, match="has a line break"):
            send(store, mail)
    with pytest.raises(UsageError, match="is not an address"):
        send(store, letter(), "=?utf-8?q?x=0D=0ABcc=3A_evil?=@example.net")
    assert recipients(store) == []


def test_nothing_is_sent_when_the_transaction_fails(store: Store) -> None:
    with pytest.raises(OSError, match="later"), store.write() as session:
        own_mail.send(session, letter(), "ann@acme.example", HOSTNAME, NOW)
        raise OSError("something later failed")
    assert recipients(store) == []


@pytest.mark.parametrize("state", ["delivered", "bounced", "expired"])
def test_it_costs_nobody_anything_and_counts_for_nobody_whatever_becomes_of_it(store: Store, state: str) -> None:
    funded(store, 100)
    accept(store, submission(3))
    entries = len(rows(store, Ledger))
    identifier, worker = send(store, letter()), add_worker(store)
    audit(store)
    leases = [one for one in lease(store, worker) if one.message.account_id == OPERATOR]
    assert [(one.message.id, one.message.envelope.reverse_path) for one in leases] == [(identifier, "")]
    settle_all(store, leases, worker, "deferred", again=NOW)
    audit(store)
    settle_all(store, [one for one in lease(store, worker) if one.message.account_id == OPERATOR], worker, state)
    audit(store)
    assert len(rows(store, Ledger)) == entries
    with store.read() as session:
        account = session.scalars(select(Account)).one()
        assert (quota_of(session, account.id, NOW).left, account.overdraft) == (97, 0)
        assert totals(session, account.id).arrived == 3
    assert [kind for kind in kinds(store) if not kind.startswith("quota")] == [
        "accepted",
        "accepted",
        "deferred",
        state,
    ]
    assert len(recipients(store)) == 4  # a bounce makes no further mail


def test_the_queue_and_the_timeline_tell_of_it(store: Store) -> None:
    funded(store)
    identifier = send(store, letter())
    with store.read() as session:
        assert [one.message_id for one in queue_facts(session).waiting] == [identifier]
        assert queue_facts(session, account_id=1).total == 0
        facts = message_facts(session, identifier)
    assert facts is not None
    assert [event.kind for event in facts.events] == ["accepted"]
