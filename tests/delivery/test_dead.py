"""Dead destinations: remembered for a minute, then one mail finds out for all."""

from __future__ import annotations

import pytest
import pytest_twisted
from twisted.internet.task import Clock

from postmeter.delivery import dead as dead_module
from postmeter.delivery.attempt import Facts
from postmeter.delivery.dead import LIFE, MOST, PROBE, Dead
from postmeter.delivery.fair_queue import Turn
from postmeter.delivery.job import NOT_TRIED
from postmeter.delivery.opening import NoSession
from postmeter.delivery.pool import AGAIN
from postmeter.delivery.route import Route
from postmeter.smtp.reply import Reply
from support.delivering import NewPool, NewServer, mail, route
from support.mail_server import Silence

FAILURE = NoSession(Reply(451, "4.4.1", "No connection"), "connect", Facts("mx.test", "192.0.2.1", 25))


def test_it_is_dead_for_a_minute_and_then_one_tries_it_for_all() -> None:
    clock = Clock()
    dead = Dead(clock)
    assert dead.recall("a") is None
    dead.add("a", FAILURE)
    clock.advance(LIFE - 1)
    assert (dead.recall("a"), dead.recall("b")) == (FAILURE, None)
    clock.advance(1)
    assert [dead.recall("a") for _ in range(3)] == [None, FAILURE, FAILURE]
    clock.advance(PROBE)
    assert dead.recall("a") is None  # whoever tried it has not come back
    dead.remove("a")
    assert [dead.recall("a") for _ in range(3)] == [None] * 3


def test_not_more_than_so_many_are_remembered() -> None:
    dead = Dead(Clock())
    for n in range(MOST + 1):
        dead.add(n, FAILURE)
    assert (dead.recall(0), dead.recall(1), dead.recall(MOST)) == (None, FAILURE, FAILURE)


@pytest_twisted.ensureDeferred
async def test_further_mails_fail_at_once_and_others_are_not_held_up(mail_server: NewServer, new_pool: NewPool) -> None:
    server, other = mail_server(script={"banner": b"421 4.3.2 no\r\n"}), mail_server()
    pool = new_pool()
    first = await pool.deliver(route(server), mail())
    later = pool.deliver(route(server), mail("a@x", "b@x"))
    assert later.called
    second = await later
    assert [(one.reply, one.stage) for one in second.outcomes] == [(first.outcomes[0].reply, "banner")] * 2
    assert [line.what for line in second.talk.lines(second.outcomes[0])] == [NOT_TRIED]
    assert (second.facts.name, second.facts.local) == ("mx.test", "")  # nothing left from an address of ours
    assert len(server.sessions) == 1
    assert (await pool.deliver(Route("other.", route(other).hosts), mail())).outcomes[0].delivered


@pytest_twisted.ensureDeferred
async def test_it_lives_again_when_a_session_can_be_opened(
    mail_server: NewServer, new_pool: NewPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_module, "LIFE", 0.0)
    server = mail_server(script={"banner": [b"421 4.3.2 no\r\n", b"220 mx.test\r\n"]})
    pool = new_pool()
    assert not (await pool.deliver(route(server), mail())).outcomes[0].delivered
    trying = [pool.deliver(route(server), mail()) for _ in range(3)]
    assert [one.called for one in trying] == [False, True, True]
    assert (await trying[0]).outcomes[0].delivered
    assert (await pool.deliver(route(server), mail())).outcomes[0].delivered
    assert len(server.sessions) == 2


@pytest_twisted.ensureDeferred
async def test_it_stays_dead_for_others_while_it_is_tried_though_the_mail_that_was_to_try_it_is_given_back(
    mail_server: NewServer, new_pool: NewPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_module, "LIFE", 0.0)
    server = mail_server(script={"banner": [b"421 4.3.2 no\r\n", Silence()]})
    pool = new_pool()
    assert not (await pool.deliver(route(server), mail())).outcomes[0].delivered
    trying = pool.deliver(route(server), mail(), Turn(1))
    pool.put_off([1])
    assert (await trying).put_off == AGAIN
    assert pool.deliver(route(server), mail()).called


@pytest_twisted.ensureDeferred
async def test_the_operators_own_next_hop_is_tried_each_time(mail_server: NewServer, new_pool: NewPool) -> None:
    server = mail_server(script={"banner": [b"421 4.3.2 no\r\n", b"220 mx.test\r\n"]})
    pool = new_pool()
    assert not (await pool.deliver(route(server, static=True), mail())).outcomes[0].delivered
    assert (await pool.deliver(route(server, static=True), mail())).outcomes[0].delivered
