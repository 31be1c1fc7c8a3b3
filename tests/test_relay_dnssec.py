"""The running relay behind a real validating resolver (unbound): what DNSSEC proves counts, and nothing else (DANE)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from cryptography import x509
from twisted.internet import reactor

from postmeter.delivery.resolver import Resolver, Server
from postmeter.testing.waiting import wait_until
from support.mail_sink import MailSink
from support.relay import Relay
from support.shop import Shop
from support.tls_network import tlsa
from support.unbound import Zone, unbound

ANOTHERS = ["3 1 1 " + "00" * 32]  # a key that the mail server does not have
Records = dict[tuple[str, str], list[str]]


@pytest.fixture
def sink(tmp_path: Path) -> Iterator[MailSink]:
    """The mail server of all domains."""
    made = MailSink(tmp_path)
    yield made
    made.close()


@pytest.fixture
def port(sink: MailSink, tmp_path: Path) -> Iterator[int]:
    """Where the resolver listens that knows all domains."""
    own = [tlsa(x509.load_pem_x509_certificate((tmp_path / "sink.pem").read_bytes()))]

    def records(name: str, said: list[str]) -> Records:
        found = {(name, "MX"): [f"10 mx.{name}."], (f"mx.{name}", "A"): ["127.0.0.1"]}
        return {**found, about(name, sink): said} if said else found

    zones = {
        "right.example": Zone(records("right.example", own)),
        "wrong.example": Zone(records("wrong.example", ANOTHERS)),
        "silent.example": Zone(records("silent.example", [])),
        "plain.example": Zone(records("plain.example", ANOTHERS), signed=False),
        "elsewhere.example": Zone({("elsewhere.example", "MX"): ["10 mx.plain.example."]}),
        "forged-mx.example": Zone(
            records("forged-mx.example", own), forged={("forged-mx.example", "MX"): ["10 mx.right.example."]}
        ),
        "forged-tlsa.example": Zone(
            records("forged-tlsa.example", ANOTHERS), forged={about("forged-tlsa.example", sink): own}
        ),
        "forged-unsigned.example": Zone(  # as if it had been unsigned: but the zone above has its key
            {}, forged=records("forged-unsigned.example", [])
        ),
    }
    with unbound(tmp_path / "unbound", zones) as found:
        yield found


@pytest.fixture
def shop(sink: MailSink, port: int, tmp_path: Path) -> Iterator[Shop]:
    """A customer of a relay that asks this resolver."""
    lines = f'resolver = "127.0.0.1:{port}"\nport = {sink.port}\nallow_private = true'
    relay = Relay(tmp_path, "", workers=1, settings={"delivery": lines})
    with contextlib.ExitStack() as ending:
        ending.callback(relay.kill)
        relay.start()
        yield Shop(relay, relay.set_up())
        assert relay.stop() == 0
        assert "Traceback" not in relay.log()


def about(name: str, sink: MailSink) -> tuple[str, str]:
    """What the DNS calls what it says about the certificate of a domain's mail server."""
    return f"_{sink.port}._tcp.mx.{name}", "TLSA"


def first_attempt(shop: Shop, identifier: str) -> Any:
    """What it came to."""

    def found() -> Any:
        message = shop.relay.message(identifier)
        return message if message["recipients"][0]["state"] in ("delivered", "deferred") else None

    return wait_until(found, 20, "an attempt has ended")["events"][-1]


def test_mail_leaves_as_the_signed_dns_says(shop: Shop, sink: MailSink) -> None:
    expected = {  # TLS policy; what has the mail server been proved by, or the answer and the stage of who got nothing
        "right": ("dane", True),
        "wrong": ("451 4.7.5", "starttls"),
        "silent": ("opportunistic", False),
        "plain": ("opportunistic", False),
        "elsewhere": ("opportunistic", False),
        "forged-mx": ("451 4.4.3", "route"),
        "forged-tlsa": ("451 4.7.5", "route"),
        "forged-unsigned": ("451 4.4.3", "route"),
    }
    sent = {name: shop.send(f"anna@{name}.example") for name in expected}
    told: dict[str, tuple[Any, Any]] = {}
    for name, identifier in sent.items():
        event = first_attempt(shop, identifier)
        facts = event["facts"]
        if event["kind"] == "delivered":
            told[name] = facts["tls_policy"], facts["authenticated"]
        else:
            told[name] = facts["reply"][:9], facts["stage"]
    assert told == expected
    got = sorted(path for one in sink.received for path in one.recipients)
    assert got == [f"anna@{name}.example" for name in ("elsewhere", "plain", "right", "silent")]


@pytest_twisted.ensureDeferred
async def test_our_resolver_believes_what_the_validating_one_has_proved(sink: MailSink, port: int) -> None:
    here = Resolver(reactor, (Server("127.0.0.1", port),))
    for name, type, status, proved in (
        ("right.example", "MX", "ok", True),
        (*about("right.example", sink), "ok", True),
        (*about("silent.example", sink), "nxdomain", True),
        ("nowhere.right.example", "A", "nxdomain", True),
        ("right.example", "TXT", "nodata", True),
        ("plain.example", "MX", "ok", False),
        (*about("plain.example", sink), "ok", False),
        ("nowhere.plain.example", "A", "nxdomain", False),
        ("forged-mx.example", "MX", "failure", False),
        ("mx.forged-mx.example", "A", "ok", True),
        (*about("forged-tlsa.example", sink), "failure", False),
        ("forged-unsigned.example", "MX", "failure", False),
        ("elsewhere.org", "MX", "failure", False),  # of which it knows nothing, and asks nobody
    ):
        answer = await here.lookup(name, type)
        assert (answer.status, answer.authenticated) == (status, proved), f"{name} {type}"
