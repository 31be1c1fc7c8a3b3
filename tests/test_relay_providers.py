"""The running relay and its receiving providers: a reply that suspends one for all workers, and how that ends."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from postmeter.service import DESK_EVERY
from support import mail_sink
from support.dns_thread import DnsThread
from support.mail_sink import MailSink
from support.relay import Relay, wait_until
from support.shop import Shop

ZONE: dict[tuple[str, str], list[str] | str] = {
    ("yahoo.example", "MX"): ["1 mta5.am0.yahoodns.net."],
    ("ymail.example", "MX"): ["1 mta6.am0.yahoodns.net."],
    ("plain.example", "MX"): ["1 mx.plain.example."],
    **{(name, "A"): ["127.0.0.1"] for name in ("mta5.am0.yahoodns.net", "mta6.am0.yahoodns.net", "mx.plain.example")},
}
OWN = '[Yahoo]\nconnections = 1\nrules = [{ name = "TSS04", text = "[TSS04]", for = "3 h" }]'


@pytest.fixture
def sink(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MailSink]:
    """The mail server of all domains, which has enough of who writes to busy@."""
    monkeypatch.setitem(mail_sink.REFUSED, b"busy", b"421 4.7.0 [TSS04] Messages temporarily deferred")
    made = MailSink(tmp_path)
    yield made
    made.close()


@pytest.fixture
def shop(sink: MailSink, tmp_path: Path) -> Iterator[Shop]:
    """A customer of a relay with two workers."""
    dns = DnsThread(ZONE)
    lines = f'resolver = "127.0.0.1:{dns.port}"\nport = {sink.port}\nallow_private = true\nproviders = "own.toml"'
    relay = Relay(tmp_path, "", workers=2, settings={"delivery": lines})
    try:
        (relay.folder / "data").mkdir(parents=True, exist_ok=True)
        (relay.folder / "data" / "own.toml").write_text(OWN)
        relay.start()
        yield Shop(relay, relay.set_up())
        assert relay.stop() == 0
        assert "Traceback" not in relay.log()
    finally:
        relay.kill()
        dns.close()


def yahoo(relay: Relay, what: str) -> Any:
    """Its ``suspension``, or its ``sessions``."""
    found = {one["provider"]: one[what] for one in relay.cli("provider", "list")}
    return found.get("Yahoo")


def put_off(relay: Relay, identifier: str) -> bool:
    """Whether a mail waits without an attempt, since its provider is suspended."""
    [recipient] = relay.message(identifier)["recipients"]
    return (recipient["state"], recipient["attempts"]) == ("queued", 0) and "suspended" in recipient["reply"]


def test_a_provider_that_has_enough_is_left_alone_by_all_workers_until_it_is_resumed(
    shop: Shop, sink: MailSink
) -> None:
    relay = shop.relay
    shop.send("anna@yahoo.example")
    wait_until(lambda: sink.to("anna@yahoo.example"), 20, "the first mail")
    told = wait_until(lambda: yahoo(relay, "sessions"), 20, "what a worker tells of its session")
    assert told == {"open": 1, "allowed": 1}
    shop.send("busy@yahoo.example")
    made = wait_until(lambda: yahoo(relay, "suspension"), 20, "the suspension")
    assert (made["rule"], made["by"], made["until"] - made["since"]) == ("TSS04", "reply rule", 10_800)
    assert "[TSS04] Messages temporarily deferred" in made["reason"]
    wait_until(lambda: "Yahoo is suspended for 10800 s by rule 'TSS04'" in relay.log(), 20, "a line in the log")

    time.sleep(2 * DESK_EVERY)  # by then every worker knows
    waiting = [shop.send(f"r{n}@ymail.example") for n in range(6)]  # to either worker
    shop.send("bert@plain.example")
    wait_until(lambda: sink.to("bert@plain.example"), 20, "mail for others")
    for identifier in waiting:
        wait_until(partial(put_off, relay, identifier), 20, "each is put off")
    assert not any(sink.to(f"r{n}@ymail.example") for n in range(6))

    del mail_sink.REFUSED[b"busy"]
    relay.cli("provider", "resume", "Yahoo")
    wait_until(lambda: all(sink.to(f"r{n}@ymail.example") for n in range(6)), 30, "what had waited")
    assert yahoo(relay, "suspension") is None
