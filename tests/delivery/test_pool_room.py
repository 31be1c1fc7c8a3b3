"""Who gets the sessions of the process, when there are more destinations than that, and when none begins."""

from __future__ import annotations

import pytest
import pytest_twisted
from twisted.internet.defer import gatherResults

from postmeter.delivery import destination as destination_module
from postmeter.delivery import pool as pool_module
from postmeter.delivery.fair_queue import Turn
from postmeter.delivery.route import Route
from support.delivering import NewPool, NewServer, limits, mail, pause, route
from support.mail_server import Later, Silence


@pytest_twisted.ensureDeferred
async def test_more_destinations_than_sessions_take_turns(mail_server: NewServer, new_pool: NewPool) -> None:
    server = mail_server()
    pool = new_pool(most_sessions=3)
    hosts = route(server).hosts
    deliveries = await gatherResults([pool.deliver(Route(f"mx{n}.", hosts), mail()) for n in range(12)])
    assert all(delivery.outcomes[0].delivered for delivery in deliveries)
    assert server.most_open <= 3


@pytest_twisted.ensureDeferred
async def test_accounts_take_turns_at_the_sessions_of_the_process(mail_server: NewServer, new_pool: NewPool) -> None:
    server = mail_server()
    pool, order = new_pool(most_sessions=1), list[int]()
    hosts = route(server).hosts
    wishes = [(f"mx{n}.", 1) for n in range(6)] + [("mx5.", 2), ("other.", 3)]  # one of them for the first one's last
    sent = [
        pool.deliver(Route(key, hosts), mail(), Turn(account)).addCallback(lambda _, a=account: order.append(a))
        for key, account in wishes
    ]
    await gatherResults(sent)
    assert sorted(order[:5]) == [1, 1, 1, 2, 3]
    while pool._asking:
        await pause(0.01)


@pytest_twisted.ensureDeferred
async def test_what_waits_when_the_leases_are_not_held_waits_until_they_are(
    mail_server: NewServer, new_pool: NewPool
) -> None:
    held = True
    server, other = mail_server(script={".": Later(0.02, b"250 ok\r\n")}), mail_server()
    pool = new_pool(limits=limits(first_sessions=1, most_sessions=1), may_send=lambda: held)
    first, second = [pool.deliver(route(server), mail()) for _ in range(2)]
    while not server.started:
        await pause(0.005)
    held = False
    third = pool.deliver(Route("other.", route(other).hosts), mail())
    assert (await first).outcomes[0].delivered
    await pause(0.02)
    assert (len(server.started), other.sessions, second.called, third.called) == (1, [], False, False)
    held = True
    pool.resume()
    assert (await second).outcomes[0].delivered
    assert (await third).outcomes[0].delivered


@pytest_twisted.ensureDeferred
async def test_sessions_that_wait_for_slow_servers_take_nobodys_place(
    mail_server: NewServer, new_pool: NewPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(destination_module, "SLOW", 0.05)
    monkeypatch.setattr(pool_module, "LOOK", 0.05)
    tarpit, good = mail_server(script={"banner": Silence()}), mail_server()
    pool = new_pool(most_sessions=3)
    hosts = route(tarpit).hosts
    held = [pool.deliver(Route(f"tarpit{n}.", hosts), mail()) for n in range(8)]
    assert (await pool.deliver(route(good), mail())).outcomes[0].delivered
    while tarpit.open < 8:
        await pause(0.01)
    more = [pool.deliver(Route(f"more{n}.", hosts), mail()) for n in range(12)]
    await pause(0.3)
    assert tarpit.open <= 15  # five times as many as others may have
    stopped = pool.stop()
    pool.abort()
    await stopped
    await gatherResults(held + more)
