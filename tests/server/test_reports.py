"""The port for reports: whom it takes mail for, what it says, and that it relays for nobody."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import fail
from twisted.internet.task import Clock

from postmeter.message.identifier import new_id
from postmeter.message.return_path import Returned
from postmeter.server.report_mailboxes import Mailboxes
from postmeter.server.report_office import MOST_AN_HOUR
from postmeter.server.reports import ReportsProtocol
from support.reception import Client
from support.reporting import (
    BOUNCES,
    CUSTOMERS,
    GONE,
    HELLO,
    HOSTNAME,
    IDENTIFIER,
    NOW,
    PATH,
    PATHS,
    Desk,
    codes,
    greeted,
    report,
    reports,
    send,
)


@pytest.fixture
def desk() -> Desk:
    """A writer."""
    return Desk()


@pytest.fixture
def client(desk: Desk, tmp_path: Path) -> Client:
    """A server that has said hello."""
    return greeted(reports(desk, tmp_path))


def test_it_offers_tls_and_no_login(desk: Desk, tmp_path: Path) -> None:
    client = Client(partial(ReportsProtocol, reports(desk, tmp_path)), implicit_tls=False)
    assert client.greeting == b"220 mail.example.net ESMTP\r\n"
    said = client.send(HELLO)
    assert said == (
        b"250-mail.example.net\r\n250-SIZE 8388608\r\n250-8BITMIME\r\n250-PIPELINING\r\n"
        b"250-ENHANCEDSTATUSCODES\r\n250-SMTPUTF8\r\n250 STARTTLS\r\n"
    )
    assert codes(client.send(b"AUTH PLAIN AGEAYg==\r\n")) == [502]
    assert codes(client.send(b"STARTTLS\r\n")) == [220]
    client.shake_hands()
    assert b"STARTTLS" not in client.send(HELLO)
    assert codes(client.send(b"STARTTLS\r\n")) == [503]
    assert codes(client.send(f"MAIL FROM:<>\r\nRCPT TO:<{PATH}>\r\n".encode())) == [250, 250]


@pytest.mark.parametrize(
    ("said", "code"),
    [(b"STARTTLS", 503), (b"MAIL FROM:<>", 503), (b"AUTH LOGIN", 502), (b"RCPT TO:<abuse@mail.example.net>", 503)],
)
def test_nothing_goes_before_the_hello(said: bytes, code: int, desk: Desk, tmp_path: Path) -> None:
    client = Client(partial(ReportsProtocol, reports(desk, tmp_path)), implicit_tls=False)
    assert codes(client.send(said + b"\r\n")) == [code]


def test_helo_is_enough(desk: Desk, tmp_path: Path) -> None:
    client = Client(partial(ReportsProtocol, reports(desk, tmp_path)), implicit_tls=False)
    client.send(b"HELO old.example.org\r\n")
    assert send(client, report("qmail_no_mailbox"), PATH).startswith(b"250")


def test_what_was_said_before_tls_is_forgotten(client: Client) -> None:
    client.send(b"MAIL FROM:<>\r\n")
    assert codes(client.send(b"RSET\r\nSTARTTLS\r\n"))[-1] == 220
    client.shake_hands()
    assert codes(client.send(b"MAIL FROM:<>\r\n")) == [503]


@pytest.mark.parametrize(
    "address",
    [
        PATH,
        PATH.upper(),
        PATHS.write(Returned(IDENTIFIER, None), CUSTOMERS),
        f"abuse@{HOSTNAME}",
        f"postmaster@{BOUNCES}",
        f"POSTMASTER@{HOSTNAME.upper()}",
        f"fbl@{BOUNCES}",
        f"abuse@{CUSTOMERS}",
        "postmaster",
    ],
)
def test_these_addresses_are_taken(client: Client, address: str) -> None:
    assert codes(client.send(f"MAIL FROM:<a@b.example>\r\nRCPT TO:<{address}>\r\n".encode())) == [250, 250]


FOREIGN = (  # R48: what open relays fall for
    "<joe@victim.example>",
    "<abuse@victim.example>",
    "<postmaster@victim.example>",
    "<joe%victim.example@mail.example.net>",
    "<joe@victim.example@mail.example.net>",
    '<"joe@victim.example"@mail.example.net>',
    '<"joe%victim.example"@mail.example.net>',
    '<"abuse"@victim.example>',
    "<@mail.example.net:joe@victim.example>",
    "<@mail.example.net,@b.example:joe@victim.example>",
    "<victim.example!joe@mail.example.net>",
    "<joe@victim.example!mail.example.net>",
    "<mail.example.net!victim.example!joe>",
    "<joe@[192.0.2.1]>",
    "<joe@mail.example.net>",
    "<abuse+joe=victim.example@mail.example.net>",
    "<abuse@mail.example.net.victim.example>",
    "<abuse@[127.0.0.1]>",
    "<joe>",
    "joe@victim.example",
    '<"joe@victim.example">',
    "<abuse@victim.example%mail.example.net>",
    "<joe\\@victim.example@mail.example.net>",
    "<;joe@victim.example>",
    "< joe@victim.example>",
)


@pytest.mark.parametrize("path", FOREIGN)
def test_nobodys_mail_is_relayed(client: Client, desk: Desk, path: str) -> None:
    said = codes(client.send(f"MAIL FROM:<spam@mail.example.net>\r\nRCPT TO:{path}\r\nDATA\r\n".encode()))
    assert said[0] == 250
    assert said[1] in (501, 550)
    assert said[2] in (503, 554)
    assert desk.items == []


def test_a_foreign_address_is_told_that_nothing_is_relayed(client: Client) -> None:
    assert client.send(b"MAIL FROM:<>\r\nRCPT TO:<joe@victim.example>\r\n").splitlines()[1].startswith(b"550 5.7.1")


@pytest.mark.parametrize("domain", [BOUNCES, HOSTNAME, "victim.example"])
def test_a_forged_return_path_is_no_address(client: Client, domain: str) -> None:
    forged = f"{PATH.partition('@')[0][:-1]}{'a' if PATH.partition('@')[0][-1] != 'a' else 'b'}@{domain}"
    said = client.send(f"MAIL FROM:<>\r\nRCPT TO:<{forged}>\r\n".encode())
    assert said.splitlines()[1].startswith(b"550 5.1.1")


def test_an_old_return_path_is_no_address(client: Client) -> None:
    old = PATHS.write(Returned(new_id(int((NOW - 32 * 86_400) * 1000), bytes(10)), 0), BOUNCES)
    assert client.send(f"MAIL FROM:<>\r\nRCPT TO:<{old}>\r\n".encode()).splitlines()[1].startswith(b"550 5.1.1")


def test_a_bounce_is_recorded_for_its_message(client: Client, desk: Desk) -> None:
    assert send(client, report("postfix_user_unknown"), PATH) == b"250 2.0.0 Thank you for the report\r\n"
    [news] = desk.items
    assert (news.message_id, news.recipient, news.statements[0].status) == (IDENTIFIER, 0, "5.1.1")


@pytest.mark.parametrize("name", ["vacation_german", "read_receipt", "challenge_boxed"])
def test_what_machines_answer_is_taken_and_means_nothing(client: Client, desk: Desk, name: str) -> None:
    assert send(client, report(name), PATH, sender="joe@example.org").startswith(b"250")
    assert desk.items == []


@pytest.mark.parametrize("recipient", [PATH, f"fbl@{BOUNCES}"])
def test_what_is_no_report_is_refused(client: Client, desk: Desk, recipient: str) -> None:
    assert send(client, report("spam_to_a_return_path"), recipient, sender="a@b.example").startswith(b"550 5.6.0")
    assert desk.items == []


@pytest.mark.parametrize("recipient", [f"fbl@{BOUNCES}", f"abuse@{HOSTNAME}", PATH])
def test_a_complaint_is_recorded_for_the_mail_in_it(client: Client, desk: Desk, recipient: str) -> None:
    content = report("arf_abuse").replace(b"b+01kxexample@bounce.relay.example", PATH.encode())
    assert send(client, content, recipient).startswith(b"250")
    [news] = desk.items
    assert (news.message_id, news.recipient, news.feedback.type) == (IDENTIFIER, 0, "abuse")


@pytest.mark.parametrize("name", ["arf_not_spam", "arf_auth_failure"])
def test_other_feedback_is_no_complaint(client: Client, desk: Desk, name: str) -> None:
    assert send(client, report(name), f"fbl@{BOUNCES}").startswith(b"250")
    assert desk.items == []


def test_a_complaint_about_unknown_mail_is_passed_on_to_a_person(client: Client, desk: Desk) -> None:
    assert send(client, report("arf_fraud"), f"abuse@{HOSTNAME}").startswith(b"250")
    [(mail, _)] = desk.items
    assert mail.original.startswith(report("arf_fraud").rstrip())


def test_mail_to_the_operator_is_passed_on_and_not_in_circles(client: Client, desk: Desk) -> None:
    assert b"passed on" in send(client, report("a_person_answers"), f"abuse@{HOSTNAME}", sender="joe@example.org")
    [(mail, _)] = desk.items
    again = mail.content(to=f"abuse@{HOSTNAME}", hostname=HOSTNAME, identifier=IDENTIFIER, seconds=int(NOW))
    assert send(client, again, f"abuse@{HOSTNAME}").startswith(b"554 5.4.6")
    assert len(desk.items) == 1


def test_only_so_much_is_passed_on_in_an_hour(desk: Desk, tmp_path: Path) -> None:
    clock = Clock()
    client = greeted(reports(desk, tmp_path, clock))
    said = [send(client, report("a_person_answers"), f"abuse@{HOSTNAME}")[:9] for _ in range(MOST_AN_HOUR + 1)]
    assert said[-2:] == [b"250 2.0.0", b"450 4.7.1"]
    client.protocol.connectionLost()
    clock.advance(3_601)
    client = greeted(reports(desk, tmp_path, clock))
    assert send(client, report("a_person_answers"), f"abuse@{HOSTNAME}").startswith(b"250")


@pytest.mark.parametrize(("recipient", "result"), [(PATH, GONE), (f"abuse@{HOSTNAME}", GONE), (PATH, None)])
def test_what_is_not_committed_or_comes_too_early_is_asked_for_again(
    recipient: str, result: object, tmp_path: Path
) -> None:
    client = greeted(reports(Desk(result), tmp_path))
    assert send(client, report("postfix_user_unknown"), recipient).startswith(b"451")


def test_mail_that_nobody_reads_is_not_taken(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert send(greeted(reports(Desk(0), tmp_path)), report("a_person_answers"), "postmaster").startswith(b"451")
    assert "set smtp.postmaster" in caplog.text


def test_on_a_full_disk_nothing_is_taken(desk: Desk, tmp_path: Path) -> None:
    client = greeted(reports(desk, tmp_path, disk_is_low=lambda: True))
    assert codes(client.send(b"MAIL FROM:<>\r\n")) == [452]


def test_a_customers_domain_that_cannot_be_looked_up_is_trouble_of_ours(
    desk: Desk, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    boxes = Mailboxes(PATHS, frozenset(), lambda _: fail(OSError("gone")), lambda: NOW)
    client = greeted(reports(desk, tmp_path, mailboxes=boxes))
    assert codes(client.send(b"MAIL FROM:<>\r\nRCPT TO:<abuse@x.example>\r\n")) == [250, 451]
    assert "could not be checked" in caplog.text


def test_a_session_without_login_lasts_as_long_as_it_is_used(desk: Desk, tmp_path: Path) -> None:
    clock = Clock()
    client = Client(partial(ReportsProtocol, reports(desk, tmp_path, clock)), implicit_tls=False)
    for _ in range(5):
        clock.pump([10.0] * 6)
        assert codes(client.send(b"NOOP\r\n")) == [250]
    clock.pump([10.0] * 32)
    assert codes(client.take()) == [421]
    client.protocol.connectionLost()


def test_reports_take_no_more_than_their_share_of_all_sessions(desk: Desk, tmp_path: Path) -> None:
    shared = reports(desk, tmp_path)
    here = [Client(partial(ReportsProtocol, shared), implicit_tls=False) for _ in range(3)]
    assert [codes(one.greeting) for one in here] == [[220], [220], [421]]
    here[0].protocol.connectionLost()
    assert codes(Client(partial(ReportsProtocol, shared), implicit_tls=False).greeting) == [220]


@pytest.fixture(autouse=True)
def nothing_is_left(tmp_path: Path) -> Any:
    """No file stays behind."""
    yield
    assert os.listdir(tmp_path) == []
