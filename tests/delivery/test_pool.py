"""The pool against scripted mail servers on loopback."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred, gatherResults

from postmeter.delivery import sender as sender_module
from postmeter.delivery.attempt import Delivery
from postmeter.delivery.fair_queue import Turn
from postmeter.delivery.pool import AGAIN, MX_LIMITS, STATIC_LIMITS, default_limits
from postmeter.delivery.route import Host, Route
from postmeter.smtp.reply import Reply
from support.delivering import CONTENT, NewPool, NewServer, limits, mail, pause, route, told
from support.mail_server import Drop, Endless, Later, Session, Silence


@pytest_twisted.ensureDeferred
async def test_a_mail_arrives_as_it_is(mail_server: NewServer, new_pool: NewPool) -> None:
    server = mail_server()
    delivery = await new_pool().deliver(route(server), mail("joe@example.org", '"A b"@Example.org'))
    assert told(delivery) == [(250, "content", False, False)] * 2
    assert all(outcome.delivered for outcome in delivery.outcomes)
    assert (delivery.facts.address, delivery.facts.hello, delivery.facts.tls) == ("127.0.0.1", "mx.test", None)
    [received] = server.accepted
    assert received.content == b"X-First: 1\r\n" + CONTENT + b"\r\n"
    assert received.recipients == [b"<joe@example.org>", b'<"A b"@Example.org>']


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("extensions", [("PIPELINING", "SIZE"), ("SIZE",), ()])
async def test_one_session_takes_many_mails(
    mail_server: NewServer, new_pool: NewPool, extensions: tuple[str, ...]
) -> None:
    server = mail_server(extensions=extensions)
    pool = new_pool(limits=limits(first_sessions=1, most_sessions=1))
    deliveries = await gatherResults([pool.deliver(route(server), mail(f"r{n}@x.org")) for n in range(25)])
    assert all(delivery.outcomes[0].delivered for delivery in deliveries)
    assert [received.recipients for received in server.accepted] == [[b"<r%d@x.org>" % n] for n in range(25)]
    assert len(server.sessions) == 1


@pytest_twisted.ensureDeferred
async def test_a_session_ends_after_its_number_of_mails(mail_server: NewServer, new_pool: NewPool) -> None:
    server = mail_server()
    pool = new_pool(limits=limits(first_sessions=1, most_sessions=1, mails_per_session=10))
    await gatherResults([pool.deliver(route(server), mail()) for _ in range(25)])
    assert [sum(one.session == n for one in server.accepted) for n in range(3)] == [10, 10, 5]
    assert server.commands.count(b"QUIT") >= 2


@pytest_twisted.ensureDeferred
async def test_sessions_grow_with_success_up_to_the_limit(mail_server: NewServer, new_pool: NewPool) -> None:
    server = mail_server(script={".": lambda _session, _line: Later(0.01, b"250 ok\r\n")})
    pool = new_pool(limits=limits(first_sessions=2, most_sessions=5))
    await gatherResults([pool.deliver(route(server), mail()) for _ in range(40)])
    assert server.most_open == 5
    assert len(server.accepted) == 40


@pytest_twisted.ensureDeferred
async def test_sessions_shrink_when_the_server_complains(mail_server: NewServer, new_pool: NewPool) -> None:
    server = mail_server(script={"MAIL": b"450 4.7.0 too many\r\n"})
    pool = new_pool(limits=limits(first_sessions=8, most_sessions=8))
    await gatherResults([pool.deliver(route(server), mail()) for _ in range(20)])
    before = len(server.sessions)
    server.script["MAIL"] = lambda _session, _line: Later(0.01, b"450 4.7.0 too many\r\n")
    active = 0

    def count(session: Session, _line: bytes) -> Later:
        nonlocal active
        active += 1
        return Later(0.01, b"450 4.7.0 too many\r\n")

    server.script["MAIL"] = count
    waiting = [pool.deliver(route(server), mail()) for _ in range(4)]
    while not active:
        await pause(0.001)
    assert active == 1
    await gatherResults(waiting)
    assert len(server.sessions) == before


@pytest_twisted.ensureDeferred
async def test_recipients_have_their_own_outcomes(mail_server: NewServer, new_pool: NewPool) -> None:
    def judge(_session: Session, line: bytes) -> bytes:
        return {b"n": b"550 5.1.1 no\r\n", b"l": b"450 4.2.1 later\r\n"}.get(line[9:10], b"250 ok\r\n")

    server = mail_server(script={"RCPT": judge})
    delivery = await new_pool().deliver(route(server), mail("yes@x.org", "no@x.org", "later@x.org", "yes2@x.org"))
    assert sorted((one.recipient, one.reply.code, one.permanent) for one in delivery.outcomes) == [
        (0, 250, False),
        (1, 550, True),
        (2, 450, False),
        (3, 250, False),
    ]
    assert server.accepted[0].recipients == [b"<yes@x.org>", b"<yes2@x.org>"]


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize(
    ("stage", "line", "outcome"),
    [
        ("MAIL", Drop(), (451, "mail", False, False)),
        ("RCPT", Drop(), (451, "rcpt", False, False)),
        ("DATA", Drop(), (451, "data", False, False)),
        ("DATA", Drop(b"354 go\r\n"), (451, "content", False, True)),
        (".", Drop(), (451, "content", False, True)),
        (".", Drop(b"250 ok\r\n"), (250, "content", False, False)),
        (".", Drop(b"25"), (451, "content", False, True)),
        (".", Drop(b"421 4.3.0 no\r\n"), (421, "content", False, False)),
        (".", b"\xff\xfe\x00\r\n", (451, "content", False, True)),
        ("MAIL", Endless(b"250-more\r\n" * 10), (451, "mail", False, False)),
        ("MAIL", b"x" * 200_000, (451, "mail", False, False)),
        ("DATA", b"552 5.2.2 full\r\n", (552, "data", True, False)),
        (".", b"550 5.7.1 spam\r\n", (550, "content", True, False)),
    ],
)
async def test_a_mishap_has_its_outcome_and_no_second_host_behind_the_dot(
    mail_server: NewServer, new_pool: NewPool, stage: str, line: Any, outcome: tuple[int, str, bool, bool]
) -> None:
    server, other = mail_server(script={stage: line}), mail_server()
    delivery = await new_pool().deliver(route(server, other), mail())
    assert told(delivery) == [outcome]
    assert not other.sessions


@pytest_twisted.ensureDeferred
async def test_a_mail_finds_a_new_session_when_the_old_one_had_ended(mail_server: NewServer, new_pool: NewPool) -> None:
    for end in (Drop(), b"421 4.7.0 enough\r\n"):
        server = mail_server(script={"MAIL": [b"250 ok\r\n", end, b"250 ok\r\n"]})
        pool = new_pool()
        for _ in range(3):
            delivery = await pool.deliver(route(server), mail())
            assert delivery.outcomes[0].delivered
        assert [received.session for received in server.accepted] == [0, 1, 1]


@pytest_twisted.ensureDeferred
async def test_a_session_closed_while_idle_is_not_used(mail_server: NewServer, new_pool: NewPool) -> None:
    server, pool = mail_server(), new_pool()
    await pool.deliver(route(server), mail())
    server.sessions[0].transport.write(b"421 4.4.2 idle\r\n")
    await pause(0.02)
    assert (await pool.deliver(route(server), mail())).outcomes[0].delivered
    assert len(server.sessions) == 2


@pytest_twisted.ensureDeferred
async def test_a_session_that_takes_leave_by_itself_gets_no_mail(mail_server: NewServer, new_pool: NewPool) -> None:
    server = mail_server(script={"QUIT": Later(0.2, b"221 bye\r\n")})
    pool = new_pool(limits=limits(idle=0.05))
    assert (await pool.deliver(route(server), mail())).outcomes[0].delivered
    while b"QUIT" not in server.commands:
        await pause(0.01)
    assert (await pool.deliver(route(server), mail())).outcomes[0].delivered
    assert len(server.sessions) == 2


@pytest_twisted.ensureDeferred
async def test_a_refused_mail_is_reset_before_the_next(mail_server: NewServer, new_pool: NewPool) -> None:
    server = mail_server(script={"RCPT": [b"550 5.1.1 no\r\n", b"250 ok\r\n"], "DATA": [b"503 no\r\n", b"354 go\r\n"]})
    pool = new_pool()
    assert told(await pool.deliver(route(server), mail())) == [(550, "rcpt", True, False)]
    assert (await pool.deliver(route(server), mail())).outcomes[0].delivered
    assert server.commands[3:6] == [b"DATA", b"RSET", b"MAIL FROM:<b+1@bounce.test> SIZE=43"]
    assert len(server.sessions) == 1


@pytest_twisted.ensureDeferred
async def test_data_taken_without_recipient_delivers_nothing(mail_server: NewServer, new_pool: NewPool) -> None:
    server = mail_server(script={"RCPT": b"550 5.1.1 no\r\n", ".": b"554 no recipients\r\n"})
    assert told(await new_pool().deliver(route(server), mail())) == [(550, "rcpt", True, False)]
    assert server.started[0].content == b""


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("starttls", ["", "good"])
async def test_a_large_mail_arrives_whole(mail_server: NewServer, new_pool: NewPool, starttls: str) -> None:
    server = mail_server(starttls=starttls)
    content = b".0123456789" * 7 + b"\r\n"
    content *= 5_000_000 // len(content)
    delivery = await new_pool().deliver(route(server), mail(content=content))
    assert delivery.outcomes[0].delivered
    assert server.accepted[0].content == b"X-First: 1\r\n" + content


@pytest_twisted.ensureDeferred
async def test_a_refusal_during_the_content_ends_it(mail_server: NewServer, new_pool: NewPool) -> None:
    server = mail_server(early=b"552 5.3.4 too big\r\n", early_after=1000)
    delivery = await new_pool().deliver(route(server), mail(content=b"x" * 998 + b"\r\n" * 20_000_000))
    assert told(delivery) == [(552, "content", True, False)]
    assert not server.accepted


@pytest_twisted.ensureDeferred
async def test_a_dot_never_answered_is_in_doubt(
    mail_server: NewServer, new_pool: NewPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender_module, "DOT_PATIENCE", 0.05)
    server, other = mail_server(script={".": Silence()}), mail_server()
    delivery = await new_pool().deliver(route(server, other), mail())
    assert told(delivery) == [(451, "content", False, True)]
    assert delivery.outcomes[0].reply == Reply(451, "4.4.2", "No answer in time (content)")
    assert not other.sessions


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("pipelining", ["first", "mute"])
async def test_a_server_that_cannot_do_the_pipelining_it_offers_is_left_in_time_and_has_no_mail(
    mail_server: NewServer, new_pool: NewPool, monkeypatch: pytest.MonkeyPatch, pipelining: str
) -> None:
    monkeypatch.setitem(sender_module.PATIENCE, "rcpt", 0.1)
    server, other = mail_server(pipelining=pipelining), mail_server()
    pool = new_pool()
    delivery = await pool.deliver(route(server, other), mail("joe@x.org", "kim@x.org"))
    assert told(delivery) == [(451, "rcpt", False, False)] * 2
    assert {one.reply for one in delivery.outcomes} == {Reply(451, "4.4.2", "No answer in time (rcpt)")}
    assert server.accepted == []
    assert [line[:4] for line in server.commands if line[:4] in (b"RCPT", b"DATA")] == (
        [] if pipelining == "first" else [b"RCPT", b"RCPT", b"DATA"]
    )
    await pause(0.05)
    assert (server.open, pool._sessions, pool._destinations) == (0, 0, {})
    assert not other.sessions


@pytest_twisted.ensureDeferred
async def test_a_server_that_sets_no_limit_to_sizes_gets_mail_of_any_size(
    mail_server: NewServer, new_pool: NewPool
) -> None:
    """RFC 1870, 4: SIZE 0 says that there is none."""
    server, content = mail_server(extensions=("PIPELINING", "SIZE 0")), b"x" * 998 + b"\r\n"
    delivery = await new_pool().deliver(route(server), mail(content=content * 300))
    assert told(delivery) == [(250, "content", False, False)]
    assert server.commands[1] == b"MAIL FROM:<b+1@bounce.test> SIZE=300012"
    assert len(server.accepted[0].content) == 300_012


@pytest_twisted.ensureDeferred
async def test_a_slow_destination_does_not_hold_another_up(mail_server: NewServer, new_pool: NewPool) -> None:
    slow, fast = mail_server(script={"banner": Silence()}), mail_server()
    pool = new_pool()
    held = [pool.deliver(Route("slow", route(slow).hosts), mail()) for _ in range(20)]
    assert (await pool.deliver(route(fast), mail())).outcomes[0].delivered
    assert not any(one.called for one in held)
    pool.abort()
    await gatherResults(held)


@pytest_twisted.ensureDeferred
async def test_a_defective_envelope_hurts_nobody_else(mail_server: NewServer, new_pool: NewPool) -> None:
    server = mail_server()
    pool = new_pool(limits=limits(first_sessions=1, most_sessions=1))
    good, bad, last = [pool.deliver(route(server), mail(path)) for path in ("a@x", "a\r\nRSET@x", "b@x")]
    with pytest.raises(ValueError, match="control character"):
        await bad
    assert (await good).outcomes[0].delivered
    assert (await last).outcomes[0].delivered
    assert b"RSET@x>" not in server.commands


@pytest_twisted.ensureDeferred
async def test_stopping_ends_what_is_under_way_and_gives_back_what_waits(
    mail_server: NewServer, new_pool: NewPool
) -> None:
    server = mail_server(script={".": Later(0.05, b"250 ok\r\n")})
    pool = new_pool(limits=limits(first_sessions=1, most_sessions=1))
    first, second = [pool.deliver(route(server), mail()) for _ in range(2)]
    while not server.started:
        await pause(0.005)
    await pool.stop()
    assert (await first).outcomes[0].delivered
    assert told(await second) == [(451, "connect", False, False)]
    assert told(await pool.deliver(route(server), mail())) == [(451, "connect", False, False)]
    await pause(0.01)
    assert not server.open


@pytest_twisted.ensureDeferred
async def test_what_waits_of_an_account_can_be_given_back(mail_server: NewServer, new_pool: NewPool) -> None:
    server = mail_server(script={".": Later(0.05, b"250 ok\r\n")})
    pool = new_pool(limits=limits(first_sessions=1, most_sessions=1))
    way = route(server)
    first, second = [pool.deliver(way, mail(), Turn(1)) for _ in range(2)]
    other = pool.deliver(way, mail(), Turn(2))
    while not server.started:
        await pause(0.005)
    pool.put_off([1, 3])
    assert (await second).put_off == AGAIN
    for sent in (first, other):
        assert (await sent).outcomes[0].delivered


@pytest_twisted.ensureDeferred
async def test_aborting_cuts_what_is_under_way(mail_server: NewServer, new_pool: NewPool) -> None:
    server = mail_server(script={"MAIL": [b"250 ok\r\n", Silence()], ".": [b"250 ok\r\n", Silence()]})
    pool = new_pool(limits=limits(first_sessions=1, most_sessions=1))
    await pool.deliver(route(server), mail())
    cut = pool.deliver(route(server), mail())
    stopped = pool.stop()
    await pause(0.01)
    assert not stopped.called
    pool.abort()
    await stopped
    assert told(await cut) == [(451, "mail", False, False)]
    assert len(server.sessions) == 1


@pytest_twisted.ensureDeferred
async def test_refusals_after_many_recipients_are_told_apart(mail_server: NewServer, new_pool: NewPool) -> None:
    def judge(_session: Session, line: bytes) -> bytes:
        return b"250 ok\r\n" if int(line[10:-7]) < 200 else b"452 4.5.3 too many\r\n"

    server = mail_server(script={"RCPT": judge})
    delivery = await new_pool().deliver(route(server), mail(*(f"r{number}@x.org" for number in range(300))))
    assert sorted(one.recipient for one in delivery.outcomes if one.delivered) == list(range(200))
    assert sorted(one.recipient for one in delivery.outcomes if one.stage == "rcpt") == list(range(200, 300))


@pytest_twisted.ensureDeferred
async def test_the_next_mail_may_be_given_when_the_last_one_is_told(mail_server: NewServer, new_pool: NewPool) -> None:
    server, pool = mail_server(), new_pool()
    left, done = 30, Deferred[None]()

    def again(delivery: Delivery) -> None:
        nonlocal left
        left -= 1
        if left:
            pool.deliver(route(server), mail()).addCallback(again)
        else:
            done.callback(None)

    pool.deliver(route(server), mail()).addCallback(again)
    await done
    assert len(server.accepted) == 30
    assert len(server.sessions) == 1


def test_the_operators_own_next_hops_get_more() -> None:
    host = (Host("a", "127.0.0.1", 25),)
    assert default_limits(Route("a", host, static=True)) == STATIC_LIMITS
    assert default_limits(Route("a", host)) == MX_LIMITS
    assert (STATIC_LIMITS.first_sessions, STATIC_LIMITS.mails_per_session) == (20, 1000)
    assert (MX_LIMITS.first_sessions, MX_LIMITS.mails_per_session, MX_LIMITS.idle) == (2, 100, 30.0)
