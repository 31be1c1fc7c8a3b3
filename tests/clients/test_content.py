"""Contents of all kinds through the running relay: what the recipient gets is what the shop has handed over."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Iterator

import pytest

from support.corpus import MESSAGES, NEEDS_SMTPUTF8, thirty_megabytes
from support.mail_sink import MailSink
from support.relay import Access, Relay, wait_until
from support.transit import Parts, check_transit


@pytest.fixture(scope="module")
def client(relay: Relay, access: Access) -> Iterator[smtplib.SMTP]:
    """A session that is logged in."""
    trusted = ssl.create_default_context(cafile=str(relay.certificate))
    with smtplib.SMTP_SSL(access.host, access.tls_port, context=trusted, timeout=60) as session:
        session.login(access.username, access.password)
        yield session


def send(client: smtplib.SMTP, recipient: str, content: bytes, utf8: bool) -> None:
    """Send one message octet for octet."""
    options = ["BODY=8BITMIME", *(["SMTPUTF8"] if utf8 else [])]
    refused = client.sendmail("bounces@shop.example", [recipient], content, mail_options=options)
    assert refused == {}


@pytest.mark.parametrize("name", MESSAGES)
def test_a_content_arrives_as_it_was_handed_over(
    name: str, client: smtplib.SMTP, sink: MailSink, access: Access
) -> None:
    recipient = f"content-{list(MESSAGES).index(name)}@kunde.example"
    send(client, recipient, MESSAGES[name], name in NEEDS_SMTPUTF8)
    (arrived,) = wait_until(lambda: sink.to(recipient), 20, f"delivery of {name}")
    check_transit(MESSAGES[name], arrived.content, access.records)
    assert arrived.tls
    assert (b"SMTPUTF8" in arrived.mail_from) == (name in NEEDS_SMTPUTF8)


def test_thirty_megabytes_arrive_as_they_were_handed_over(client: smtplib.SMTP, sink: MailSink, access: Access) -> None:
    content, recipient = thirty_megabytes(), "large@kunde.example"
    assert len(content) == 31_457_280
    send(client, recipient, content, utf8=False)
    (arrived,) = wait_until(lambda: sink.to(recipient), 60, "delivery of 30 MB")
    check_transit(content, arrived.content, access.records)


def test_one_octet_above_the_limit_is_refused(client: smtplib.SMTP, sink: MailSink) -> None:
    content = thirty_megabytes()[:-2] + b"x\r\n"
    with pytest.raises(smtplib.SMTPSenderRefused) as refused:
        client.sendmail("bounces@shop.example", ["larger@kunde.example"], content)
    assert refused.value.smtp_code == 552
    assert refused.value.smtp_error.startswith(b"5.3.4")
    assert sink.to("larger@kunde.example") == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("existing List-Help", b"List-Help: <https://shop.example/why>\r\n"),
        ("password reset", b"List-Help: <https://shop.example/help>\r\n"),
    ],
)
def test_the_list_help_is_the_messages_own_or_else_the_domains(
    name: str, expected: bytes, client: smtplib.SMTP, sink: MailSink
) -> None:
    recipient = f"help-{len(name)}@kunde.example"
    send(client, recipient, MESSAGES[name], utf8=False)
    (arrived,) = wait_until(lambda: sink.to(recipient), 20, f"delivery of {name}")
    assert Parts.of(arrived.content).named(b"list-help") == [expected]
