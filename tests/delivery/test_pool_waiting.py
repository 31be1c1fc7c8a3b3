"""How long a mail waits in the pool: its time to begin, and its place in memory, are over some day."""

from __future__ import annotations

import pytest
import pytest_twisted
from twisted.internet.defer import gatherResults

from postmeter.delivery import destination as destination_module
from postmeter.delivery import job as job_module
from postmeter.delivery import opening as opening_module
from postmeter.delivery import pool as pool_module
from postmeter.delivery.destination import AWAY
from postmeter.delivery.fair_queue import ANYBODY
from postmeter.delivery.job import BUSY, MOST_WAIT, SHORT, Job
from support.delivering import NewPool, NewServer, limits, mail, pause, route, told
from support.mail_server import Later, Silence

ONE = limits(first_sessions=1, most_sessions=1)


def test_a_job_waits_some_minutes_or_to_its_end_if_that_is_near() -> None:
    short = Job(mail(), 100.0, ANYBODY, 100.0 + MOST_WAIT + SHORT)
    long = Job(mail(), 100.0, ANYBODY, 100.0 + MOST_WAIT + SHORT + 10)
    later = 100.0 + MOST_WAIT + 1
    assert [job.waits_too_long(later) for job in (short, long)] == [False, True]
    assert not long.waits_too_long(later - 1)


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("static", [False, True])
async def test_no_session_begins_with_a_mail_whose_time_is_over(
    mail_server: NewServer, new_pool: NewPool, static: bool
) -> None:
    server, pool = mail_server(script={".": Later(0.3, b"451 4.3.0 not now\r\n")}), new_pool(limits=ONE)
    there = route(server, static=static)
    times = [pool.deliver(there, mail(f"{n}@x"), within=0.2) for n in range(5)]
    last = pool.deliver(there, mail("last@x"))
    first, *others = await gatherResults(times)
    assert (told(first), first.put_off) == ([(451, "content", False, False)], None)
    assert {(one.outcomes[0].reply, one.put_off, one.talk.session) for one in others} == {(BUSY, AWAY, 0)}
    await last
    assert [one.recipients for one in server.started] == [[b"<0@x>"], [b"<last@x>"]]


@pytest_twisted.ensureDeferred
async def test_what_waits_too_long_behind_a_slow_server_goes_back_to_the_store(
    mail_server: NewServer, new_pool: NewPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "LATE_EVERY", 0.05)
    monkeypatch.setattr(job_module, "MOST_WAIT", 0.2)
    server, pool = mail_server(script={".": Silence()}), new_pool(limits=ONE)
    under_way = pool.deliver(route(server), mail())
    while not server.started:
        await pause(0.01)
    first, *others = [pool.deliver(route(server), mail("a@x", "b@x")) for _ in range(4)]
    off = await gatherResults(others)
    assert [(one.put_off, len(one.outcomes)) for one in off] == [(AWAY / 3, 2), (AWAY * 2 / 3, 2), (AWAY, 2)]
    assert 0.2 <= off[0].talk.ended - off[0].talk.began < 2.0
    over = await pool.deliver(route(server), mail(), within=0.1)
    assert over.put_off == AWAY
    assert not first.called  # it follows as soon as the session is free
    assert not under_way.called


@pytest_twisted.ensureDeferred
async def test_nothing_is_given_back_while_it_is_not_known_whether_the_leases_are_held(
    mail_server: NewServer, new_pool: NewPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "LATE_EVERY", 0.02)
    held = False
    server, pool = mail_server(), new_pool(may_send=lambda: held)
    waiting = pool.deliver(route(server), mail(), within=0.05)
    await pause(0.2)
    assert not waiting.called
    held = True
    assert (await waiting).put_off == AWAY
    assert server.sessions == []


@pytest_twisted.ensureDeferred
async def test_a_mail_whose_time_ends_while_its_servers_are_tried_learns_what_they_say(
    mail_server: NewServer, new_pool: NewPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "LATE_EVERY", 0.02)
    blocking, slow = b"554 5.7.1 no\r\n", b"220 mx.test\r\n"
    server = mail_server(script={"banner": [Later(0.2, blocking), Later(0.2, slow)]})
    pool, there = new_pool(limits=ONE), route(server, static=True)
    assert told(await pool.deliver(there, mail(), within=0.05)) == [(554, "banner", False, False)]
    delivery = await pool.deliver(there, mail(), within=0.05)
    assert (delivery.put_off, server.started) == (AWAY, [])
    assert (await pool.deliver(there, mail())).outcomes[0].delivered


@pytest_twisted.ensureDeferred
async def test_not_even_for_that_a_mail_waits_for_longer_than_a_session_lives(
    mail_server: NewServer, new_pool: NewPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "LATE_EVERY", 0.02)
    monkeypatch.setattr(destination_module, "SESSION_LIFE", 0.2)
    server = mail_server(script={"banner": Silence()})
    assert (await new_pool().deliver(route(server), mail(), within=60.0)).put_off == AWAY


@pytest_twisted.ensureDeferred
async def test_all_servers_together_have_as_long_as_a_session_to_take_one(
    mail_server: NewServer, new_pool: NewPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening_module, "SESSION_LIFE", 0.4)
    slow, silent, good = mail_server(), mail_server(script={"banner": Silence()}), mail_server()
    slow.script["banner"] = Later(0.2, b"421 4.3.2 busy\r\n")
    delivery = await new_pool().deliver(route(slow, silent, good), mail())
    assert told(delivery) == [(421, "banner", False, False)]
    assert 0.35 <= delivery.talk.ended - delivery.talk.began < 1.0
    assert good.sessions == []
    assert (await new_pool().deliver(route(good), mail())).outcomes[0].delivered


@pytest_twisted.ensureDeferred
async def test_a_session_that_was_long_in_coming_takes_a_mail(
    mail_server: NewServer, new_pool: NewPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(destination_module, "MOST_AGE", 0.1)
    server = mail_server(script={"banner": Later(0.2, b"220 mx.test\r\n")})
    deliveries = await gatherResults([new_pool(limits=ONE).deliver(route(server), mail()) for _ in range(2)])
    assert all(one.outcomes[0].delivered for one in deliveries)
    assert len(server.sessions) == 2
