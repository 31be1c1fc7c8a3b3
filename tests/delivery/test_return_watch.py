"""The look at return paths: against a scripted DNS server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred, ensureDeferred, succeed

from postmeter.delivery.resolver import Resolver, Server
from postmeter.delivery.return_watch import ReturnWatch
from postmeter.store import returning
from postmeter.store.engine import Store
from postmeter.store.tables import SendingDomain
from support.dns_server import SERVFAIL, DnsServer
from support.tenants import NOW, make_account, make_domain

NewServer = Callable[..., DnsServer]
SHOP, BOUNCE, RELAY = "shop.example", "bounce.shop.example", "bounce.relay.example"
HOSTNAME = "mx.relay.example"


@pytest.fixture
def account(store: Store) -> int:
    """An account whose domain is to have a return path."""
    with store.write() as session:
        made = make_account(session)
        make_domain(session, made, SHOP, trust=True)
        returning.set_return_path(session, made.id, SHOP, BOUNCE, NOW)
        return made.id


def watch(store: Store, server: DnsServer, own: str = "") -> ReturnWatch:
    def read(function: Callable[..., Any]) -> Deferred[Any]:
        with store.read() as session:
            return succeed(function(session))

    def submit(change: Any, item: Any, done: Callable[[Any], None]) -> None:
        with store.write() as session:
            [result] = change(session, [item])
        done(result)

    resolver = Resolver(reactor, (Server("127.0.0.1", server.port),))
    return ReturnWatch(resolver, read, submit, lambda: NOW, HOSTNAME, own)


def in_use(store: Store, account: int) -> bool:
    with store.read() as session:
        return session.get_one(SendingDomain, (account, SHOP)).return_path_verified_at is not None


@pytest.mark.parametrize(
    ("zone", "own", "good"),
    [
        ({(BOUNCE, "MX"): [f"10 {HOSTNAME}."]}, "", True),
        ({(BOUNCE, "MX"): ["10 mx.other.example."]}, "", False),
        ({}, "", False),
        ({(BOUNCE, "MX"): [f"10 mx2.{RELAY}."], (RELAY, "MX"): [f"10 mx2.{RELAY}."]}, RELAY, True),
        ({(BOUNCE, "CNAME"): [f"{RELAY}."], (RELAY, "MX"): [f"10 mx2.{RELAY}."]}, RELAY, True),
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_return_path_is_used_once_its_mx_leads_here(
    store: Store, account: int, dns_server: NewServer, zone: dict[tuple[str, str], Any], own: str, good: bool
) -> None:
    await ensureDeferred(watch(store, dns_server(zone), own).look(account, SHOP))
    assert in_use(store, account) is good


@pytest_twisted.ensureDeferred
async def test_when_the_dns_gives_no_answer_nothing_changes(store: Store, account: int, dns_server: NewServer) -> None:
    good, broken = dns_server({(BOUNCE, "MX"): [f"10 {HOSTNAME}."]}), dns_server({(BOUNCE, "MX"): SERVFAIL})
    await ensureDeferred(watch(store, good).look(account, SHOP))
    await ensureDeferred(watch(store, broken).look(account, SHOP))
    with store.read() as session:
        row = session.get_one(SendingDomain, (account, SHOP))
        assert (row.return_path_verified_at, row.return_path_failing_since) == (NOW, None)


@pytest_twisted.ensureDeferred
async def test_a_domain_without_return_path_is_not_asked_about(
    store: Store, account: int, dns_server: NewServer
) -> None:
    server = dns_server({})
    with store.write() as session:
        returning.set_return_path(session, account, SHOP, "", NOW)
    await ensureDeferred(watch(store, server).look(account, SHOP))
    assert not in_use(store, account)
