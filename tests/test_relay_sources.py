"""The running relay with pools of source addresses: whose mail leaves from where, and what waits while they warm up."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from postmeter.store import sources
from postmeter.store.sources import DAY, Figures, Key, day_of
from postmeter.store.timeline import MessageFacts, message_facts
from postmeter.store.warm_up import ramp
from support.command import opened
from support.dns_thread import DnsThread
from support.mail_sink import MailSink
from support.relay import ACCOUNT, Relay, wait_until
from support.shop import Shop

TO = "anna@plain.example"
EVERY = 0.5  # seconds between two mails, so that a new address does not reach its cap of a day before all is seen
POOLS = """
transactional = "127.0.0.2=mx1.test 192.0.2.1=mx2.test"
probation = "127.0.0.3=mx3.test"
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A customer of a relay with two pools and an address that no machine has."""
    dns = DnsThread({("plain.example", "A"): ["127.0.0.1"]})
    sink = MailSink(tmp_path_factory.mktemp("sink"))
    lines = f'resolver = "127.0.0.1:{dns.port}"\nport = {sink.port}\nallow_private = true'
    folder = tmp_path_factory.mktemp("relay")
    relay = Relay(folder, "", workers=1, settings={"delivery": lines, "delivery.pools": POOLS})
    try:
        relay.start()
        yield Shop(relay, relay.set_up(block=0))
        assert relay.stop() == 0
        assert "Traceback" not in relay.log()
    finally:
        relay.kill()
        sink.close()
        dns.close()


def sent(shop: Shop) -> MessageFacts:
    """A new mail, once it has left or is put off."""
    identifier = shop.send(TO)

    def known() -> MessageFacts | None:
        with opened(shop.relay.data) as store, store.read() as session:
            found = message_facts(session, identifier)
        return found if found and found.recipients[0].reply else None

    made: MessageFacts = wait_until(known, 20, shop.relay.log)
    return made


def left_from(shop: Shop) -> tuple[str, str]:
    """The address that a new mail has left from, and the name that EHLO said there."""
    facts = sent(shop).events[-1].facts
    return facts["local_address"], facts["ehlo"]


def test_an_account_leaves_probation_with_its_first_paid_block(shop: Shop) -> None:
    assert left_from(shop) == ("127.0.0.3", "mx3.test")
    shop.relay.cli("quota", "book", ACCOUNT, "25000")
    wait_until(lambda: left_from(shop) == ("127.0.0.2", "mx1.test"), 20, shop.relay.log, EVERY)
    shop.relay.cli("account", "set", ACCOUNT, "--pool", "probation")
    wait_until(lambda: left_from(shop) == ("127.0.0.3", "mx3.test"), 20, shop.relay.log, EVERY)


def test_an_address_that_is_not_there_is_told_and_bounces_nothing(shop: Shop) -> None:
    assert "this machine has no address 192.0.2.1 (pool transactional)" in shop.relay.log()
    assert shop.relay.stats()["bounced"] == 0


def test_mail_beyond_the_cap_waits_and_leaves_at_once_when_the_address_is_declared_warm(shop: Shop) -> None:
    today, full = day_of(time.time()), [Figures(ramp(day), ramp(day), last_at=time.time()) for day in (1, 2)]
    keys = [Key("127.0.0.3", day, "other") for day in (today, today + DAY)]  # midnight may be near
    with opened(shop.relay.data) as store, store.write() as session:
        sources.add(session, [dict(zip(keys, full, strict=True))])

    def waits() -> bool:
        [recipient] = sent(shop).recipients
        return recipient.state == "queued" and "has sent other enough" in recipient.reply

    wait_until(waits, 20, shop.relay.log, EVERY)
    shop.relay.cli("source", "warm", "127.0.0.3")
    wait_until(lambda: not waits(), 20, shop.relay.log, EVERY)
