"""Mail servers, DNS servers and pools on loopback, closed after each test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest_twisted
from twisted.internet import reactor

from postmeter.delivery.pool import Pool
from support.dns_server import DnsServer
from support.mail_server import MailServer
from support.tls_network import Network


@pytest_twisted.async_yield_fixture
async def mail_server() -> AsyncIterator[Callable[..., MailServer]]:
    """Makes listening mail servers; the arguments are ``MailServer``'s."""
    servers: list[MailServer] = []

    def make(interface: str = "127.0.0.1", **script: Any) -> MailServer:
        servers.append(MailServer(**script).listen(reactor, interface))
        return servers[-1]

    yield make
    for server in servers:
        await server.stop()


@pytest_twisted.async_yield_fixture
async def dns_server() -> AsyncIterator[Callable[..., DnsServer]]:
    """Makes listening DNS servers; the arguments are ``DnsServer``'s."""
    servers: list[DnsServer] = []

    def make(*zone: Any, **settings: Any) -> DnsServer:
        servers.append(DnsServer(*zone, **settings).listen(reactor))
        return servers[-1]

    yield make
    for server in servers:
        await server.stop()


@pytest_twisted.async_yield_fixture
async def new_pool() -> AsyncIterator[Callable[..., Pool]]:
    """Makes pools; the arguments are ``Pool``'s behind the name."""
    pools: list[Pool] = []

    def make(**settings: Any) -> Pool:
        pools.append(Pool(reactor, "relay.test", **settings))
        return pools[-1]

    yield make
    for pool in pools:
        pool.abort()
        await pool.stop()


@pytest_twisted.async_yield_fixture
async def network() -> AsyncIterator[Callable[..., Network]]:
    """Makes networks; the arguments are ``Network``'s."""
    made: list[Network] = []

    def make(**given: Any) -> Network:
        made.append(Network(**given))
        return made[-1]

    yield make
    for one in made:
        await one.close()
