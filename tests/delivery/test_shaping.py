"""Shaped mail against scripted mail servers: what a provider bears, over all its domains and all workers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from statistics import quantiles
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults

from postmeter.delivery import shaping
from postmeter.delivery.desk import Desk
from postmeter.delivery.gate import Terms
from postmeter.delivery.job import BUSY
from postmeter.delivery.pool import Pool
from postmeter.delivery.provider import Providers
from postmeter.delivery.provider_file import read
from postmeter.delivery.route import Host, Route
from postmeter.delivery.shaping import Shaper, parties, server
from postmeter.delivery.slots import Slots
from postmeter.store.provider_sessions import Sessions
from postmeter.store.providers import Suspension
from support.delivering import NewPool, NewServer, mail, pause, told
from support.mail_server import Drop, Later, MailServer, Session, Silence

QUICK = '[default]\nconnection_rate = "1000/s"\nrate = "1000/s"\n'
SLOWLY: dict[str, Any] = {".": lambda _session, _line: Later(0.01, b"250 ok\r\n")}


class Office:
    """A desk that commits at once."""

    def __init__(self) -> None:
        self.committed: list[Suspension] = []
        self.desk = Desk(lambda _: Deferred(), self._submit, time.time, ())

    def _submit(self, change: Any, item: Any, done: Any) -> None:
        self.committed.append(item)
        done(item)


@pytest.fixture
def office() -> Office:
    return Office()


@pytest.fixture
def shaped(tmp_path: Path, office: Office) -> Iterator[Callable[..., Shaper]]:
    """Makes the gates of a worker; ``own`` is the operator's file."""
    slots: list[Slots] = []

    def make(own: str = QUICK, workers: int = 1) -> Shaper:
        slots.append(Slots(tmp_path / "sessions"))
        terms = Terms(reactor, slots[-1], workers, office.desk.restriction, office.desk.apply)
        return Shaper(Providers(read(own, "own.toml"), "own.toml"), terms)

    yield make
    for one in slots:
        one.close()


def to(server: MailServer, name: str, key: str = "") -> Route:
    return Route(key or f"{name}.", (Host(name, "127.0.0.1", server.port),))


@pytest_twisted.ensureDeferred
async def test_google_gets_five_sessions_for_all_its_domains(
    mail_server: NewServer, shaped: Callable[..., Shaper], new_pool: NewPool
) -> None:
    mx = mail_server(script=SLOWLY)
    pool = new_pool(shaper=shaped())
    names = ["aspmx.l.google.com", "gmail-smtp-in.l.google.com", "alt1.aspmx.l.google.com", "aspmx2.googlemail.com"]
    deliveries = await gatherResults([pool.deliver(to(mx, names[n % 4]), mail()) for n in range(200)])
    assert all(one.outcomes[0].delivered for one in deliveries)
    assert mx.most_open == 5


@pytest_twisted.ensureDeferred
async def test_two_workers_share_a_providers_sessions(
    mail_server: NewServer, shaped: Callable[..., Shaper], new_pool: NewPool
) -> None:
    mx = mail_server(script=SLOWLY)
    own = f'{QUICK}[Google]\nconnections = 1\nmails = 10\nidle = "1 s"'
    pools = [new_pool(shaper=shaped(own, workers=2)) for _ in range(2)]
    route = to(mx, "aspmx.l.google.com")
    deliveries = await gatherResults([pools[n % 2].deliver(route, mail()) for n in range(40)])
    assert all(one.outcomes[0].delivered for one in deliveries)
    assert mx.most_open <= 2  # one that says good-bye, and the next one
    assert len(mx.sessions) == 4


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize(
    ("name", "mails"),
    [("aspmx.l.google.com", 50), ("mx00.gmx.net", 20), ("mx01.icloud.com", 5), ("mta5.yahoodns.net", 20)],
)
async def test_a_session_ends_after_so_many_mails(
    mail_server: NewServer, shaped: Callable[..., Shaper], new_pool: NewPool, name: str, mails: int
) -> None:
    mx = mail_server()
    pool = new_pool(shaper=shaped(f'{QUICK}["{Providers().of(name)}"]\nconnections = 1'))
    await gatherResults([pool.deliver(to(mx, name), mail()) for _ in range(2 * mails + 1)])
    sent = [sum(one.session == n for one in mx.accepted) for n in range(len(mx.sessions))]
    assert sent == [mails, mails, 1]
    assert mx.commands.count(b"QUIT") >= 2


@pytest_twisted.ensureDeferred
async def test_strangers_are_counted_each_on_its_own(
    mail_server: NewServer, shaped: Callable[..., Shaper], new_pool: NewPool
) -> None:
    servers = [mail_server(script=SLOWLY) for _ in range(3)]
    own = QUICK + "connections = 3\n"
    pool = new_pool(shaper=shaped(own))
    sent = [pool.deliver(to(one, f"mx{n}.example"), mail()) for n, one in enumerate(servers) for _ in range(30)]
    await gatherResults(sent)
    assert [one.most_open for one in servers] == [3, 3, 3]


@pytest_twisted.ensureDeferred
async def test_of_some_providers_each_mail_server_is_counted_on_its_own_and_rules_concern_all(
    mail_server: NewServer, shaped: Callable[..., Shaper], new_pool: NewPool, office: Office
) -> None:
    servers = [mail_server(script=SLOWLY) for _ in range(2)]
    pool = new_pool(shaper=shaped())
    routes = [to(one, f"shop{n}.mail.protection.outlook.com") for n, one in enumerate(servers)]
    await gatherResults([pool.deliver(one, mail()) for one in routes for _ in range(60)])
    assert [one.most_open for one in servers] == [5, 5]
    servers[0].script["MAIL"] = b"451 4.7.0 Server busy (IB007)\r\n"
    await pool.deliver(routes[0], mail())
    [one] = office.committed
    assert (one.provider, one.sessions, one.per_minute, one.rule) == ("Microsoft 365", 1, None, "IB007")
    assert one.reason == "451 4.7.0 Server busy (IB007)"
    end = time.monotonic() + 10
    while sum(one.open for one in servers) > 1:
        assert time.monotonic() < end
        await pause(0.02)


@pytest_twisted.ensureDeferred
async def test_a_static_route_is_not_shaped(
    mail_server: NewServer, shaped: Callable[..., Shaper], new_pool: NewPool, office: Office
) -> None:
    mx = mail_server(script={".": lambda _session, _line: Later(0.01, b"421 4.7.0 [TSS04] no\r\n")})
    pool = new_pool(shaper=shaped())
    route = Route("x", (Host("aspmx.l.google.com", "127.0.0.1", mx.port),), static=True)
    await gatherResults([pool.deliver(route, mail()) for _ in range(40)])
    assert mx.most_open > 5
    assert office.committed == []


@pytest_twisted.ensureDeferred
async def test_mail_leaves_at_its_rate_and_the_session_stays_open(
    mail_server: NewServer, shaped: Callable[..., Shaper], new_pool: NewPool
) -> None:
    mx = mail_server()
    pool = new_pool(shaper=shaped(f'{QUICK}[Google]\nrate = "20/s"'))
    begun = time.monotonic()
    await gatherResults([pool.deliver(to(mx, "aspmx.l.google.com"), mail()) for _ in range(30)])
    assert 0.5 <= time.monotonic() - begun < 3.0
    assert len(mx.sessions) <= 5


@pytest_twisted.ensureDeferred
async def test_a_rule_that_fires_suspends_the_provider_and_what_waits_is_put_off(
    mail_server: NewServer, shaped: Callable[..., Shaper], new_pool: NewPool, office: Office
) -> None:
    yahoo, other = mail_server(script={"MAIL": b"421 4.7.0 [TSS04] deferred\r\n"}), mail_server()
    pool = new_pool(shaper=shaped())
    waiting = [pool.deliver(to(yahoo, "mta5.yahoodns.net"), mail()) for _ in range(40)]
    [*told_so, last] = await gatherResults(waiting)
    assert told_so[0].outcomes[0].reply.code == 421
    assert (last.put_off, last.outcomes[0].reply) == (1.0, BUSY)
    assert len(yahoo.sessions) <= 3
    [one] = office.committed
    assert (one.provider, one.stops, one.until - one.since if one.until else 0) == ("Yahoo", True, 7_200)
    assert (await pool.deliver(to(other, "mx.example.org"), mail())).outcomes[0].delivered


@pytest_twisted.ensureDeferred
async def test_whoever_names_a_providers_servers_next_to_his_own_neither_speaks_for_it_nor_takes_its_places(
    mail_server: NewServer, shaped: Callable[..., Shaper], new_pool: NewPool, office: Office
) -> None:
    yahoo, gone = mail_server(), mail_server(script={"banner": Drop()})
    liar, tarpit = mail_server(script={"MAIL": b"421 4.7.0 [TSS04] no\r\n"}), mail_server(script={"banner": Silence()})
    pool = new_pool(shaper=shaped(f"{QUICK}[Yahoo]\nconnections = 2"))

    def behind(evil: MailServer, name: str) -> Route:
        hosts = Host("mta5.yahoodns.net", "127.0.0.1", gone.port), Host(name, "127.0.0.1", evil.port)
        return Route(f"mta5.yahoodns.net.,{name}.", hosts)

    assert told(await pool.deliver(behind(liar, "liar.example"), mail())) == [(421, "mail", False, False)]
    assert office.committed == []
    held = [pool.deliver(behind(tarpit, f"mx{n}.example"), mail()) for n in range(4)]
    while tarpit.open < 4:
        await pause(0.01)
    assert (await pool.deliver(to(yahoo, "mta5.yahoodns.net"), mail())).outcomes[0].delivered
    await stopped(pool)
    await gatherResults(held)


@pytest_twisted.ensureDeferred
async def test_a_refusal_at_the_banner_is_heard(
    mail_server: NewServer, shaped: Callable[..., Shaper], new_pool: NewPool, office: Office
) -> None:
    mx = mail_server(script={"banner": b"554 IP=192.0.2.1 - None/bad reputation (NOWL)\r\n"})
    delivery = await new_pool(shaper=shaped()).deliver(to(mx, "mx00.t-online.de"), mail())
    assert told(delivery) == [(554, "banner", False, False)]
    assert [(one.provider, one.rule) for one in office.committed] == [("T-Online", "refused at the banner")]


@pytest_twisted.ensureDeferred
async def test_a_slow_provider_gets_what_it_bears_and_the_rest_comes_again_later(
    mail_server: NewServer, shaped: Callable[..., Shaper], new_pool: NewPool
) -> None:
    mx = mail_server()
    pool = new_pool(shaper=shaped(f'{QUICK}[Google]\nrate = "1/s"'))
    deliveries = [pool.deliver(to(mx, "aspmx.l.google.com"), mail()) for _ in range(100)]
    await deliveries[0]
    off = [(await one).put_off for one in deliveries if one.called][1:]
    assert len(off) == 39
    assert [round(one or 0) for one in off] == list(range(61, 100))
    await stopped(pool)
    await gatherResults(deliveries)


async def stopped(pool: Pool) -> None:
    done = pool.stop()
    pool.abort()
    await done


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("stage", ["banner", "MAIL", "."])
async def test_two_hundred_tarpits_delay_nobody_else(
    mail_server: NewServer, shaped: Callable[..., Shaper], new_pool: NewPool, stage: str
) -> None:
    def drip(session: Session, _line: bytes) -> Silence:
        session.transport.write(b"2")
        return Silence()

    tarpit, good = mail_server(script={stage: drip}), mail_server()
    pool = new_pool(shaper=shaped())
    held = [pool.deliver(to(tarpit, f"mx{n}.example"), mail()) for n in range(200) for _ in range(2)]
    took = []
    for _ in range(100):
        begun = time.monotonic()
        assert (await pool.deliver(to(good, "mx.good.example"), mail())).outcomes[0].delivered
        took.append(time.monotonic() - begun)
    assert quantiles(took, n=20)[-1] < 5.0
    assert not any(one.called for one in held)
    await stopped(pool)
    await gatherResults(held)


def test_what_a_route_is_known_by() -> None:
    host = (Host("mx2.example.org", "192.0.2.1", 25),)
    known = Providers()
    assert server(Route("mx1.example.org.,mx2.example.org.", host)) == "mx1.example.org"
    assert parties(known, Route("mx1.example.org.,mx2.example.org.", host)) == ("other", "mx1.example.org")
    assert parties(known, Route("gmail.", (Host("aspmx.l.google.com", "192.0.2.1", 25),))) == ("Google",)
    both = (Host("aspmx.l.google.com", "192.0.2.1", 25), Host("mx.evil.example", "192.0.2.2", 25))
    assert parties(known, Route("aspmx.l.google.com.,mx.evil.example.", both)) == ("Google", "aspmx.l.google.com")
    assert parties(known, Route("192.0.2.1:25", (Host("192.0.2.1", "192.0.2.1", 25),))) == ("", "192.0.2.1:25")


def test_gates_that_nobody_uses_are_forgotten(shaped: Callable[..., Shaper], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shaping, "MOST_GATES", 10)
    made = shaped()
    made._forget_at = 10
    room = Pool(reactor, "relay.test")
    for n in range(100):
        made.gate(Route(f"mx{n}.", (Host(f"mx{n}.example", "192.0.2.1", 25),)), "", room)
    assert len(made._gates) <= 20


@pytest_twisted.ensureDeferred
async def test_sessions_are_told_by_provider_and_begin_again_when_it_is_resumed(
    mail_server: NewServer, shaped: Callable[..., Shaper], new_pool: NewPool, office: Office
) -> None:
    names = ["aspmx.l.google.com", "one.mail.protection.outlook.com", "two.mail.protection.outlook.com", "mx.x.example"]
    servers = [mail_server(script={".": b"451 4.7.650 too much\r\n"}) for _ in names]
    shaper = shaped()
    pool = new_pool(shaper=shaper)
    await gatherResults([pool.deliver(to(one, name), mail()) for one, name in zip(servers, names, strict=True)])
    halved = {"Google": Sessions(1, 1), "Microsoft 365": Sessions(2, 2), "other": Sessions(1, 1)}
    assert shaper.sessions() == halved
    shaper.begin_again({"Google"})
    assert shaper.sessions() == halved | {"Google": Sessions(1, 2)}
    shaper.begin_again({"Microsoft 365", "mx.x.example", "nobody"})
    again = {"Google": Sessions(1, 2), "Microsoft 365": Sessions(2, 4), "other": Sessions(1, 2)}
    assert shaper.sessions() == again
    slow = Suspension("Microsoft 365", "busy", 0.0, None, "operator", sessions=1)
    office.desk.suspensions.learn([slow])
    assert shaper.sessions() == again | {"Microsoft 365": Sessions(2, 1)}
    office.desk.suspensions.learn([replace(slow, sessions=None), replace(slow, provider="Google", sessions=None)])
    assert shaper.sessions() == again | {"Microsoft 365": Sessions(2, 0), "Google": Sessions(1, 0)}


@pytest_twisted.ensureDeferred
async def test_a_rule_is_heard_at_the_end_of_an_open_session_and_no_other_is_opened(
    mail_server: NewServer, shaped: Callable[..., Shaper], new_pool: NewPool, office: Office
) -> None:
    yahoo = mail_server(script={"MAIL": [b"250 ok\r\n", b"421 4.7.0 [TSS04] deferred\r\n"]})
    pool, route = new_pool(shaper=shaped()), to(yahoo, "mta5.yahoodns.net")
    assert (await pool.deliver(route, mail())).outcomes[0].delivered
    assert (await pool.deliver(route, mail())).put_off == 1.0
    assert [(one.provider, one.rule) for one in office.committed] == [("Yahoo", "TSS04")]
    assert len(yahoo.sessions) == 1
