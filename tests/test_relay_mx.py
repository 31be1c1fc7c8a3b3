"""The running relay without static routes: it asks the DNS where mail goes, and obeys what it says (RFC 5321, 5.1)."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.dns_thread import DnsThread
from support.mail_sink import MailSink
from support.relay import ACCOUNT, Relay, wait_until
from support.shop import SENDER, Shop

# The mail sink is at 127.0.0.1; at 127.0.0.2 nobody listens.
ZONE: dict[tuple[str, str], list[str] | str] = {
    ("preferring.example", "MX"): [
        "40 fourth.mx.example.",
        "30 third.mx.example.",
        "10 first.mx.example.",
        "20 second.mx.example.",
    ],
    ("half.example", "MX"): ["10 dead.mx.example.", "20 second.mx.example."],
    ("plain.example", "A"): ["127.0.0.1"],
    ("nothing.example", "MX"): ["0 ."],
    ("nothing.example", "A"): ["127.0.0.1"],
    ("first.mx.example", "A"): ["127.0.0.1"],
    ("second.mx.example", "A"): ["127.0.0.1"],
    ("third.mx.example", "A"): ["127.0.0.1"],
    ("fourth.mx.example", "A"): ["127.0.0.1"],
    ("dead.mx.example", "A"): ["127.0.0.2"],
}


@pytest.fixture(scope="module")
def dns() -> Iterator[DnsThread]:
    """The resolver that the relay asks."""
    made = DnsThread(ZONE)
    yield made
    made.close()


@pytest.fixture(scope="module")
def sink(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailSink]:
    """The mail server of all domains."""
    made = MailSink(tmp_path_factory.mktemp("sink"))
    yield made
    made.close()


def relay_with(dns: DnsThread, sink: MailSink, folder: Path, allow_private: str) -> Relay:
    """A relay, not started yet, that finds its way by the DNS."""
    lines = f'resolver = "127.0.0.1:{dns.port}"\nport = {sink.port}\nallow_private = {allow_private}'
    return Relay(folder, "", workers=1, settings={"delivery": lines})


@pytest.fixture(scope="module")
def shop(dns: DnsThread, sink: MailSink, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A customer of a relay that may deliver to private addresses."""
    relay = relay_with(dns, sink, tmp_path_factory.mktemp("relay"), "true")
    try:
        relay.start()
        yield Shop(relay, relay.set_up())
        assert relay.stop() == 0
        assert "Traceback" not in relay.log()
    finally:
        relay.kill()


def last_event(relay: Relay, identifier: str, state: str) -> Any:
    """The last event of a message with one recipient, once that is in this state."""

    def found() -> Any:
        message = relay.message(identifier)
        return message if message["recipients"][0]["state"] == state else None

    message = wait_until(found, 20, lambda: f"{state}: {relay.message(identifier)}")
    assert message["events"][-1]["kind"] == state
    return message["events"][-1]["facts"]


def test_the_most_preferred_mail_server_gets_the_mail(shop: Shop, sink: MailSink) -> None:
    facts = last_event(shop.relay, shop.send("anna@preferring.example"), "delivered")
    assert (facts["remote"], facts["address"], facts["port"]) == ("first.mx.example", "127.0.0.1", sink.port)
    assert sink.copies()["anna@preferring.example"] == 1


def test_a_domain_without_mx_is_its_own_mail_server(shop: Shop, sink: MailSink, dns: DnsThread) -> None:
    facts = last_event(shop.relay, shop.send("anna@plain.example"), "delivered")
    assert (facts["remote"], facts["address"]) == ("plain.example", "127.0.0.1")
    assert ("plain.example", "MX", "udp") in dns.questions
    assert sink.copies()["anna@plain.example"] == 1


def test_the_next_mail_server_gets_the_mail_when_the_first_takes_no_connection(shop: Shop, sink: MailSink) -> None:
    facts = last_event(shop.relay, shop.send("anna@half.example"), "delivered")
    assert (facts["remote"], facts["address"], facts["attempt"]) == ("second.mx.example", "127.0.0.1", 1)
    assert sink.copies()["anna@half.example"] == 1


def test_a_domain_that_takes_no_mail_is_refused_in_the_dialogue_and_nothing_is_charged(
    shop: Shop, sink: MailSink
) -> None:
    before = shop.relay.stats(), shop.relay.cli("quota", "show", ACCOUNT)["left"]
    trusted = ssl.create_default_context(cafile=str(shop.relay.certificate))
    with smtplib.SMTP_SSL(shop.access.host, shop.access.tls_port, context=trusted, timeout=30) as client:
        client.login(shop.access.username, shop.access.password)
        client.mail(SENDER)
        for _ in range(2):  # by a look-up, and from memory
            code, text = client.rcpt("anna@nothing.example")
            assert (code, text[:7]) == (556, b"5.1.10 ")
        assert client.docmd("DATA")[0] == 554
    assert (shop.relay.stats(), shop.relay.cli("quota", "show", ACCOUNT)["left"]) == before
    assert sink.to("anna@nothing.example") == []


def test_mail_servers_at_private_addresses_are_not_connected_to(dns: DnsThread, sink: MailSink, tmp_path: Path) -> None:
    relay = relay_with(dns, sink, tmp_path, "false")
    try:
        relay.start()
        facts = last_event(relay, Shop(relay, relay.set_up()).send("bert@preferring.example"), "deferred")
        assert facts["reply"] == "451 4.4.4 The domain's mail servers have no public address"
        assert facts["stage"] == "route"
        assert relay.stop() == 0
    finally:
        relay.kill()
    assert sink.to("bert@preferring.example") == []
