"""The daily look at customers' DKIM records: against a scripted DNS server, by a clock that the test sets forward."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import pytest_twisted
from sqlalchemy import select
from twisted.internet import reactor
from twisted.internet.defer import Deferred, ensureDeferred, gatherResults, succeed

from postmeter.delivery.domain_watch import DomainWatch
from postmeter.delivery.resolver import Resolver, Server
from postmeter.store import rotation
from postmeter.store.domain_checks import AGAIN, EVERY, MOST, SOON, record_check
from postmeter.store.domains import account_keys, add_operator_key, domain_keys, domains_of
from postmeter.store.engine import Store
from postmeter.store.tables import Event
from support.dns_server import NXDOMAIN, SERVFAIL, DnsServer
from support.tenants import NOW, SECRETS, make_account, make_domain, new_key

NewServer = Callable[..., DnsServer]


class Hours:
    """The real reactor and the time of day, both set forward by the test."""

    def __init__(self) -> None:
        self.later = 0.0

    def seconds(self) -> float:
        return 1000.0 + self.later

    def time(self) -> float:
        return NOW + self.later

    def __getattr__(self, name: str) -> Any:
        return getattr(reactor, name)


class Watched:
    """Verified domains with their records in a scripted DNS, and who looks them up, between a store and its threads."""

    def __init__(self, store: Store, server: DnsServer, names: tuple[str, ...] = ("shop.example",)) -> None:
        self.store, self.server, self.clock = store, server, Hours()
        self.trouble: Exception | None = None
        self.records: dict[str, tuple[str, str]] = {}
        with store.write() as session:
            account = make_account(session)
            for name in names:
                make_domain(session, account, name, trust=False)
                record_check(session, account.id, name, [], NOW)
                (key,) = account_keys(session, SECRETS, account.id, name)
                self.records[name] = (key.dns_name, key.dns_value())
        for name in names:
            self.publish(name)
        self.watch = self.another()

    def another(self) -> DomainWatch:
        """A second worker's."""
        found = Resolver(self.clock, (Server("127.0.0.1", self.server.port),))
        return DomainWatch(found, SECRETS, self._read, self._submit, self.clock.time)

    def publish(self, name: str, record: str | None = None) -> None:
        """The right record of a domain, or a mishap."""
        self.publish_at(*self.records[name], record)

    def publish_at(self, where: str, value: str, record: str | None = None) -> None:
        """A TXT record, cut into strings, or a mishap."""
        strings = " ".join(f'"{value[place : place + 255]}"' for place in range(0, len(value), 255))
        self.server.zone[where, "TXT"] = record or [strings]

    async def after(self, seconds: float) -> dict[str, str]:
        """Look when so much time has passed; what is wrong with each domain that is on, "off" for the others."""
        self.clock.later += seconds
        await self.watch.look()
        with self.store.read() as session:
            return {one.name: one.problem if one.verified else "off" for one in domains_of(session, None)}

    def _read(self, function: Callable[[Any], Any]) -> Deferred[Any]:
        with self.store.read() as session:
            return succeed(function(session))

    def _submit(self, change: Any, item: Any, done: Callable[[Any], None]) -> None:
        if self.trouble is not None:
            done(self.trouble)
            return
        with self.store.write() as session:
            (result,) = change(session, [item])
        done(result)

    @property
    def kinds(self) -> list[str]:
        """The events after the first verification of one domain."""
        with self.store.read() as session:
            return list(session.scalars(select(Event.kind).where(Event.kind.like("domain_%")).order_by(Event.id)))[1:]


@pytest.fixture
def store(sqlite_url: str) -> Iterator[Store]:
    """A store of this test's own."""
    opened = Store.open(sqlite_url)
    yield opened
    opened.close()


@pytest_twisted.ensureDeferred
async def test_a_verified_domain_is_looked_up_once_a_day(store: Store, dns_server: NewServer) -> None:
    shop = Watched(store, dns_server({}))
    for _ in range(23):
        await shop.after(3_600)
    assert shop.server.questions == []
    assert await shop.after(3_600) == {"shop.example": ""}
    assert shop.server.questions == [(shop.records["shop.example"][0], "TXT", "udp")]
    await shop.after(EVERY - 1)
    assert len(shop.server.questions) == 1
    assert shop.kinds == []


@pytest_twisted.ensureDeferred
async def test_a_record_that_is_gone_leads_to_a_warning_and_then_to_the_end(
    store: Store, dns_server: NewServer, caplog: pytest.LogCaptureFixture
) -> None:
    shop = Watched(store, dns_server({}))
    shop.publish("shop.example", NXDOMAIN)
    problem = f"{shop.records['shop.example'][0]}: There is no TXT record."
    assert await shop.after(EVERY) == {"shop.example": problem}
    assert f"the domain shop.example of account 1 is still active: {problem}" in caplog.text
    for _ in range(24):
        assert await shop.after(AGAIN) == {"shop.example": problem}
    assert shop.kinds == ["domain_broken"]
    for _ in range(23):
        assert await shop.after(AGAIN) == {"shop.example": problem}
    assert await shop.after(AGAIN) == {"shop.example": "off"}
    assert shop.kinds == ["domain_broken"] * 2
    shop.publish("shop.example")
    assert await shop.after(AGAIN) == {"shop.example": ""}
    assert shop.kinds == ["domain_broken", "domain_broken", "domain_verified"]


@pytest_twisted.ensureDeferred
async def test_a_dns_that_gives_no_answer_counts_neither_way(store: Store, dns_server: NewServer) -> None:
    shop = Watched(store, dns_server({}))
    shop.publish("shop.example", NXDOMAIN)
    failing = await shop.after(EVERY)
    shop.publish("shop.example", SERVFAIL)
    for _ in range(100):
        assert await shop.after(AGAIN) == failing  # neither mended nor worse
    assert shop.kinds == []
    shop.publish("shop.example", NXDOMAIN)
    assert await shop.after(AGAIN) == failing
    assert await shop.after(AGAIN) == failing
    assert shop.kinds == ["domain_broken"]  # the third failure in a row


@pytest_twisted.ensureDeferred
async def test_what_is_no_text_of_ours_is_a_fault_and_no_defect(store: Store, dns_server: NewServer) -> None:
    shop = Watched(store, dns_server({}))
    where = shop.records["shop.example"][0]
    for record, told in (('"\\255\\254 p="', "not a DKIM key record"), ('"v=DKIM1; p="', "revoked")):
        shop.server.zone[where, "TXT"] = [record]
        assert told in (await shop.after(EVERY))["shop.example"]


@pytest_twisted.ensureDeferred
async def test_many_domains_are_taken_a_handful_at_a_time_and_by_one_worker_each(
    store: Store, dns_server: NewServer
) -> None:
    names = tuple(f"d{n}.example" for n in range(2 * MOST + 3))
    shop = Watched(store, dns_server({}), names)
    shop.clock.later += EVERY
    await gatherResults([ensureDeferred(one.look()) for one in (shop.watch, shop.another(), shop.another())])
    assert sorted(name for name, _, _ in shop.server.questions) == sorted(where for where, _ in shop.records.values())


@pytest_twisted.ensureDeferred
async def test_a_store_in_trouble_ends_the_round_and_the_next_one_goes_on(store: Store, dns_server: NewServer) -> None:
    shop = Watched(store, dns_server({}))
    shop.trouble = OSError("the database is gone")
    with pytest.raises(OSError, match="gone"):
        await shop.after(EVERY)
    shop.trouble = None
    assert await shop.after(60) == {"shop.example": ""}
    assert len(shop.server.questions) == 1


@pytest_twisted.ensureDeferred
async def test_a_new_key_takes_over_by_itself_once_its_record_is_there(store: Store, dns_server: NewServer) -> None:
    shop = Watched(store, dns_server({}))
    with store.write() as session:
        record = rotation.rotate(session, SECRETS, 1, "shop.example", new_key(), shop.clock.time())
    for state in (NXDOMAIN, SERVFAIL):  # not there yet, and nobody knows: neither harms the domain
        shop.publish_at(record.name, record.value, state)
        assert await shop.after(AGAIN) == {"shop.example": ""}
    assert signing(store) == [shop.records["shop.example"][0]]
    shop.publish_at(record.name, record.value)
    assert await shop.after(AGAIN) == {"shop.example": ""}
    assert signing(store) == [record.name]
    shop.publish("shop.example", NXDOMAIN)  # the old record goes
    assert await shop.after(EVERY) == {"shop.example": ""}
    assert shop.kinds == []


@pytest_twisted.ensureDeferred
async def test_a_new_key_of_the_operators_takes_over_by_itself_as_well(store: Store, dns_server: NewServer) -> None:
    shop = Watched(store, dns_server({}), ())
    with store.write() as session:
        add_operator_key(session, SECRETS, "relay.example", new_key(), NOW)
        record = rotation.rotate(session, SECRETS, None, "relay.example", new_key(), NOW)
    await shop.after(SOON)
    shop.publish_at(record.name, record.value)
    await shop.after(AGAIN)
    with store.read() as session:
        active, retired = rotation.keys_of(session, None)
    assert (active.record, active.state, retired.state) == (record, "active", "retired")


def signing(store: Store) -> list[str]:
    """Where the keys are published that sign."""
    with store.read() as session:
        return [key.dns_name for key in domain_keys(session, SECRETS, 1, "shop.example").active]
