"""The running relay in a signed DNS: a mail server that is not the one that the DNS means gets no mail (DANE)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from postmeter.testing.waiting import wait_until
from support.dns_thread import DnsThread
from support.mail_sink import MailSink
from support.relay import Relay
from support.shop import Shop
from support.tls_network import tlsa

DOMAINS = ("right", "wrong", "silent")


@pytest.fixture
def sink(tmp_path: Path) -> Iterator[MailSink]:
    """The mail server of all domains."""
    made = MailSink(tmp_path)
    yield made
    made.close()


def zone(sink: MailSink, folder: Path) -> dict[tuple[str, str], list[str] | str]:
    """Each domain has a mail server of its own name, of which the DNS says something else."""
    own = x509.load_pem_x509_certificate((folder / "sink.pem").read_bytes())
    said: dict[str, list[str] | str] = {
        "right": [tlsa(own)],
        "wrong": ["3 1 1 " + "00" * 32],
        "silent": "SERVFAIL",
    }
    made: dict[tuple[str, str], list[str] | str] = {}
    for name in DOMAINS:
        made[f"{name}.example", "MX"] = [f"10 mx.{name}.example."]
        made[f"mx.{name}.example", "A"] = ["127.0.0.1"]
        made[f"_{sink.port}._tcp.mx.{name}.example", "TLSA"] = said[name]
    return made


def last_event(relay: Relay, identifier: str) -> Any:
    """What the first attempt came to."""

    def found() -> Any:
        message = relay.message(identifier)
        return message if message["recipients"][0]["state"] in ("delivered", "deferred") else None

    return wait_until(found, 20, "an attempt has ended")["events"][-1]["facts"]


def test_mail_leaves_only_for_the_mail_server_that_the_dns_means(sink: MailSink, tmp_path: Path) -> None:
    dns = DnsThread(zone(sink, tmp_path), ad=True)
    lines = f'resolver = "127.0.0.1:{dns.port}"\nport = {sink.port}\nallow_private = true'
    relay = Relay(tmp_path, "", workers=1, settings={"delivery": lines})
    try:
        relay.start()
        shop = Shop(relay, relay.set_up())
        right, wrong, silent = [last_event(relay, shop.send(f"anna@{name}.example")) for name in DOMAINS]
        assert (right["tls_policy"], right["authenticated"], right["certificate"]) == (
            "dane",
            True,
            "it is self-signed",
        )
        assert (wrong["reply"][:9], wrong["stage"], wrong["tls_policy"]) == ("451 4.7.5", "starttls", "dane")
        assert (silent["reply"][:9], silent["stage"]) == ("451 4.7.5", "route")
        assert [one.recipients for one in sink.received] == [["anna@right.example"]]
        assert relay.stop() == 0
        assert "Traceback" not in relay.log()
    finally:
        relay.kill()
        dns.close()
