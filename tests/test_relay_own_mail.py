"""Mail of the relay's own through the running relay: to the admins' mail server, for nobody's money, and no echo."""

from __future__ import annotations

import re
import smtplib
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dkim
import pytest

from support.mail_sink import MailSink, Received
from support.relay import ACCOUNT, DOMAIN, HOSTNAME, Relay, wait_until
from support.shop import SENDER, Shop
from support.transit import Parts

OWNER = f"owner@{DOMAIN}"
OPERATOR = "operator.example"


@dataclass(frozen=True)
class Scene:
    """A customer of a running relay that notifies, and the mail server of everybody."""

    shop: Shop
    sink: MailSink

    @property
    def relay(self) -> Relay:
        """The relay."""
        return self.shop.relay

    def notify(self, *arguments: str) -> tuple[str, Received]:
        """Have a test notice sent; its id, and how it arrived."""
        before = len(self.sink.to(OWNER))
        answer = self.relay.cli("notify", "test", ACCOUNT)
        (one,) = answer["sent"]
        arrived = wait_until(lambda: self.sink.to(OWNER)[before:], 20, self.relay.log)
        return one["message"], arrived[0]

    def books(self) -> Any:
        """What the customer has used and is told."""
        return self.relay.stats(), self.relay.cli("quota", "show", ACCOUNT)["left"]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """One worker, so that all is in one process."""
    sink = MailSink(tmp_path_factory.mktemp("sink"))
    folder: Path = tmp_path_factory.mktemp("relay")
    relay = Relay(folder, f"127.0.0.1:{sink.port}", workers=1, plugins=["notify"])
    try:
        relay.start()
        yield Scene(Shop(relay, relay.set_up()), sink)
        assert relay.stop() == 0
        assert "Traceback" not in relay.log()
    finally:
        relay.kill()
        sink.close()


def test_a_notice_arrives_from_nobody_and_costs_the_customer_nothing(scene: Scene) -> None:
    before = scene.books()
    identifier, arrived = scene.notify()
    parts = Parts.of(arrived.content)
    assert arrived.mail_from.partition(b" ")[0] == b"<>"
    assert arrived.recipients == [OWNER]
    assert parts.named(b"auto-submitted") == [b"Auto-Submitted: auto-generated\r\n"]
    assert parts.named(b"message-id") == [f"Message-ID: <{identifier}@{HOSTNAME}>\r\n".encode()]
    assert parts.named(b"subject") == [b"Subject: shop: This is a test\r\n"]
    assert parts.named(b"dkim-signature") == []  # the operator has no key
    assert scene.books() == before


def test_its_timeline_can_be_shown(scene: Scene) -> None:
    identifier, _ = scene.notify()
    message = wait_until(lambda: delivered(scene.relay.message(identifier)), 20, scene.relay.log)
    assert (message["account_id"], message["reverse_path"], message["header_from"]) == (0, "", HOSTNAME)
    assert [event["kind"] for event in message["events"]] == ["accepted", "delivered"]
    assert [(one["forward_path"], one["charge"]) for one in message["recipients"]] == [(OWNER, "free")]
    assert scene.relay.queue()["total"] == 0


def delivered(message: Any) -> Any:
    """The message once it is."""
    return message if all(one["state"] == "delivered" for one in message["recipients"]) else None


def test_a_notice_that_bounces_leads_to_no_other_mail(scene: Scene) -> None:
    before = scene.books()
    scene.relay.cli("account", "add", "gone", "--owner", f"unknown@{DOMAIN}")
    (one,) = scene.relay.cli("notify", "test", "gone")["sent"]
    message = wait_until(lambda: bounced(scene.relay.message(one["message"])), 20, scene.relay.log)
    assert [event["kind"] for event in message["events"]] == ["accepted", "bounced"]
    arrived = len(scene.sink.received)
    time.sleep(1.5)  # the plugins are told twice meanwhile
    assert len(scene.sink.received) == arrived
    assert scene.relay.queue()["total"] == 0
    assert scene.books() == before


def bounced(message: Any) -> Any:
    """The message once it has."""
    return message if all(one["state"] == "bounced" for one in message["recipients"]) else None


def test_who_sent_what_has_failed_is_notified_and_nobody_is_of_the_notification(scene: Scene) -> None:
    before = scene.relay.stats()
    identifier = scene.shop.send("unknown@kunde.example")
    (arrived,) = wait_until(lambda: scene.sink.to(SENDER), 20, scene.relay.log)
    assert arrived.mail_from.startswith(b"<>")
    for text in (
        b"report-type=delivery-status",
        b"Action: failed\r\nStatus: 5.1.1\r\n",
        b"Diagnostic-Code: smtp; 550 5.1.1",
    ):
        assert text in arrived.content
    told = scene.relay.message(identifier)["events"][-1]
    assert (told["kind"], told["facts"]["to"]) == ("notification_sent", SENDER)
    notification = wait_until(lambda: ended(scene.relay.message(told["facts"]["notification"])), 20, scene.relay.log)
    assert [one["kind"] for one in notification["events"]] == ["accepted", "delivered"]
    assert scene.relay.stats() == {**before, "arrived": before["arrived"] + 1, "bounced": before["bounced"] + 1}


def ended(message: Any) -> Any:
    """The message once its only recipient has."""
    return message if message["recipients"][0]["state"] == "delivered" else None


def test_it_is_signed_with_the_operators_key_when_there_is_one(scene: Scene) -> None:
    (record,) = scene.relay.cli("key", "add", OPERATOR)["records"]
    time.sleep(5.1)  # so long the signer remembers that there is none
    _, arrived = scene.notify()
    (field,) = Parts.of(arrived.content).named(b"dkim-signature")
    assert re.search(rb"\bd=operator\.example;", field)
    assert dkim.verify(arrived.content, dnsfunc=lambda name, timeout=5: record["value"].encode())


def test_a_paused_connection_sends_nothing_more_also_in_an_open_session(scene: Scene) -> None:
    trusted = ssl.create_default_context(cafile=str(scene.relay.certificate))
    access = scene.shop.access
    with smtplib.SMTP_SSL(access.host, access.tls_port, context=trusted, timeout=30) as client:
        client.login(access.username, access.password)
        assert client.mail(SENDER)[0] == 250
        client.rset()
        scene.relay.cli("connection", "pause", ACCOUNT, "web shop", "--reason", "unpaid")
        time.sleep(1.1)  # so long an access is remembered
        refused = (550, b"5.7.1 Connection inactive: This connection is paused: unpaid")
        assert client.mail(SENDER) == refused
        with pytest.raises(smtplib.SMTPAuthenticationError, match="This connection is paused: unpaid"):
            scene.shop.send("anna@kunde.example")
        scene.relay.cli("connection", "resume", ACCOUNT, "web shop")
        time.sleep(1.1)
        assert client.mail(SENDER)[0] == 250
        client.rset()
    scene.shop.send("anna@kunde.example")
