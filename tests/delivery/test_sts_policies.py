"""Policies of MTA-STS are fetched when they are needed, and kept as long as they say, whatever their servers do."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dns.rdata
import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import Clock

from postmeter.delivery import sts_policies
from postmeter.delivery.fair_queue import ANYBODY, Turn
from postmeter.delivery.mta_sts import StsPolicy
from postmeter.delivery.resolver import Answer
from postmeter.delivery.sts_policies import LOOK_AGAIN, LOOK_SOON, PATIENCE, REFRESH, StsPolicies
from postmeter.delivery.tls_policy import Flaw
from postmeter.delivery.web_threads import MOST, WebThreads
from postmeter.fetch import Fetched, FetchError, fetch
from postmeter.store.tls_memory import KeptPolicy
from support.authority import Authority
from support.tls_network import TEXT, Web, policy
from support.web_server import saying, web_server

DOMAIN = "good.test"
DAYS = 86_400.0


class Bench:
    """Policies with a DNS that has one record, and a web server that says what the test wants."""

    def __init__(self, kept: tuple[KeptPolicy, ...] = (), ask: Any = None) -> None:
        self.clock, self.web = Clock(), Web()
        self.clock.advance(1e9)
        self.texts = ["v=STSv1; id=1;"]
        self.status = "ok"
        self.looked_up = 0
        self.kept: list[KeptPolicy] = []
        self.troubles: list[tuple[str, Flaw]] = []
        self.policies = StsPolicies(
            self,
            ask or self.web.ask,
            self.clock.seconds,
            kept,
            self.kept.append,
            lambda *trouble: self.troubles.append(trouble),
        )

    async def lookup(self, name: str, type: str, turn: Turn = ANYBODY) -> Answer:
        """See ``Resolver``."""
        assert (name[:9], type) == ("_mta-sts.", "TXT")
        self.looked_up += 1
        if self.status != "ok":
            return Answer("failure")
        return Answer("ok", tuple(dns.rdata.from_text("IN", "TXT", f'"{text}"') for text in self.texts))

    def says(self, answer: str | Fetched | Exception) -> None:
        """From now on the web server does."""
        self.web.policies[DOMAIN] = answer

    def begin(self, domain: str = DOMAIN, turn: Turn = ANYBODY) -> Deferred[StsPolicy | None]:
        """Begin to look for it."""
        return ensureDeferred(self.policies.find(domain, turn))

    def find(self, domain: str = DOMAIN) -> StsPolicy | None:
        """The policy; nothing has to be waited for."""
        found = self.begin(domain)
        assert found.called
        result = found.result
        assert result is None or isinstance(result, StsPolicy)
        return result


def hosts(found: StsPolicy | None) -> tuple[str, ...]:
    return found.hosts if found is not None else ()


def test_a_policy_is_fetched_once_and_then_known_without_asking_anybody() -> None:
    bench = Bench()
    bench.says(policy("mx.good.test"))
    assert [hosts(bench.find()) for _ in range(100)] == [("mx.good.test",)] * 100
    assert (bench.web.asked, bench.looked_up) == ([DOMAIN], 1)
    [kept] = bench.kept
    assert (kept.domain, kept.record, kept.expires_at - kept.fetched_at) == (DOMAIN, "1", 86_400)


def test_no_record_or_more_than_one_is_no_policy() -> None:
    for texts in ([], ["v=spf1 -all"], ["v=STSv1; id=1;", "v=STSv1; id=2;"]):
        bench = Bench()
        bench.texts = texts
        assert bench.find() is bench.find() is None
        assert (bench.web.asked, bench.looked_up) == ([], 1)


def test_another_id_has_the_policy_fetched_again() -> None:
    bench = Bench()
    bench.says(policy("mx.good.test"))
    bench.find()
    bench.texts = ["v=STSv1; id=2;"]
    bench.says(policy("new.good.test"))
    assert hosts(bench.find()) == ("mx.good.test",)
    bench.clock.advance(LOOK_AGAIN)
    assert hosts(bench.find()) == ("new.good.test",)


def test_a_policy_is_refreshed_once_a_day_and_nobody_waits_for_that() -> None:
    bench = Bench()
    bench.says(policy("mx.good.test", max_age=1_000_000))
    bench.find()
    bench.web.waiting = []
    bench.clock.advance(REFRESH)
    for _ in range(3):
        assert hosts(bench.find()) == ("mx.good.test",)
    [fetch_under_way] = bench.web.waiting
    fetch_under_way.callback(None)
    assert [one.expires_at for one in bench.kept] == [1e9 + 1_000_000, 1e9 + REFRESH + 1_000_000]


@pytest.mark.parametrize("trouble", ["the web server", "the DNS", "no record", "another id and nonsense"])
def test_a_policy_that_holds_is_kept_whatever_happens(trouble: str) -> None:
    bench = Bench()
    bench.says(policy("mx.good.test", max_age=int(3 * DAYS)))
    bench.find()
    bench.says(FetchError("nobody there"))
    if trouble == "the DNS":
        bench.status = "failure"
    elif trouble == "no record":
        bench.texts = []
    elif trouble == "another id and nonsense":
        bench.texts = ["v=STSv1; id=2;"]
        bench.says("nonsense")
    for _ in range(29):
        bench.clock.advance(DAYS / 10)
        assert hosts(bench.find()) == ("mx.good.test",)
    bench.clock.advance(DAYS / 10)
    assert bench.find() is None


def test_a_policy_survives_a_restart_as_long_as_it_holds() -> None:
    bench = Bench()
    bench.says(policy("mx.good.test"))
    bench.find()
    again = Bench(tuple(bench.kept))
    again.says(FetchError("nobody there"))
    assert hosts(again.find()) == ("mx.good.test",)
    again.clock.advance(DAYS)
    assert again.find() is None
    assert again.troubles[-1][1] == Flaw("sts-policy-fetch-error", "nobody there")


@pytest.mark.parametrize("max_age", [0, 60, 301, 86_400, 100_000])
def test_mail_that_goes_all_the_time_is_never_without_the_policy(max_age: int) -> None:
    bench = Bench()
    bench.says(policy("mx.good.test", max_age=max_age))
    for _ in range(4_000):
        assert hosts(bench.find()) == ("mx.good.test",)
        bench.clock.advance(47.0)
    assert len(bench.web.asked) <= 4_000 * 47 / max(LOOK_AGAIN, max_age / 2) + 1


def test_mail_that_comes_at_the_end_of_a_policy_waits_for_the_new_one() -> None:
    bench = Bench()
    bench.says(policy("mx.good.test", max_age=86_400))
    bench.find()
    bench.web.waiting = []
    bench.clock.advance(86_390.0)
    assert hosts(bench.find()) == ("mx.good.test",)
    [fetch_under_way] = bench.web.waiting
    bench.clock.advance(20.0)
    found = bench.begin()
    assert not found.called
    fetch_under_way.callback(None)
    assert found.result == StsPolicy("enforce", ("mx.good.test",), 86_400)


def test_a_policy_that_says_that_there_is_none_is_none() -> None:
    bench = Bench()
    bench.says("version: STSv1\nmode: none\nmax_age: 86400\n")
    assert bench.find() is None
    bench.clock.advance(LOOK_AGAIN)
    assert bench.find() is None
    assert bench.web.asked == [DOMAIN]


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        (Fetched(200, TEXT, b"x" * 65_537), "sts-policy-invalid"),
        (Fetched(200, {"content-type": "text/html"}, policy("mx.good.test").encode()), "sts-policy-invalid"),
        (Fetched(200, {}, policy("mx.good.test").encode()), "sts-policy-invalid"),
        (Fetched(200, TEXT, b"\xff"), "sts-policy-invalid"),
        ("nonsense", "sts-policy-invalid"),
        (Fetched(302, TEXT, policy("mx.good.test").encode()), "sts-policy-fetch-error"),
        (Fetched(404, TEXT, policy("mx.good.test").encode()), "sts-policy-fetch-error"),
    ],
)
def test_what_is_no_policy_is_told_and_asked_for_again_after_a_while(answer: Any, result: str) -> None:
    bench = Bench()
    bench.says(answer)
    for seconds, asked in ((0.0, 1), (LOOK_AGAIN - 1, 1), (1.0, 2)):
        bench.clock.advance(seconds)
        assert bench.find() is None
        assert len(bench.web.asked) == asked
    assert [(domain, flaw.result) for domain, flaw in bench.troubles] == [(DOMAIN, result)] * 2
    bench.says(policy("mx.good.test"))
    bench.clock.advance(LOOK_AGAIN)
    assert hosts(bench.find()) == ("mx.good.test",)


def test_all_who_wait_for_a_policy_get_it_from_one_fetch() -> None:
    bench = Bench()
    bench.says(policy("mx.good.test"))
    bench.web.waiting = []
    waiting = [bench.begin() for _ in range(5)]
    assert not any(one.called for one in waiting)
    [fetch_under_way] = bench.web.waiting
    fetch_under_way.callback(None)
    assert [hosts(one.result) for one in waiting if isinstance(one.result, StsPolicy)] == [("mx.good.test",)] * 5


def test_nobody_waits_behind_the_slow_policy_servers_of_another_account() -> None:
    bench = Bench()
    bench.web.waiting = fetching = []
    slow = [f"{n}.slow.test" for n in range(3 * MOST)]
    bench.web.policies = dict.fromkeys((*slow, "cold.test"), policy("mx.good.test"))
    pile = [bench.begin(domain, Turn(1)) for domain in slow]
    assert bench.web.asked == slow[: MOST // 2]
    wanted = [bench.begin("cold.test", Turn(2)), bench.begin(slow[-1], Turn(2))]
    assert bench.web.asked[MOST // 2 :] == ["cold.test", slow[-1]]
    for fetch_under_way in fetching[-2:]:
        fetch_under_way.callback(None)
    assert [hosts(one.result) for one in (*wanted, pile[-1])] == [("mx.good.test",)] * 3
    for fetch_under_way in fetching:  # and those that these make room for
        if not fetch_under_way.called:
            fetch_under_way.callback(None)
    assert (len(bench.web.asked), {hosts(one.result) for one in pile}) == (len(slow) + 1, {("mx.good.test",)})


def test_a_policy_that_there_was_no_time_to_fetch_is_fetched_for_the_next_mail() -> None:
    bench = Bench()
    bench.web.waiting = fetching = []
    slow = [f"{n}.slow.test" for n in range(MOST // 2)]
    bench.web.policies = dict.fromkeys((*slow, DOMAIN), policy("mx.good.test"))
    pile, late = [bench.begin(domain, Turn(1)) for domain in slow], bench.begin(DOMAIN, Turn(1))
    bench.clock.advance(PATIENCE + 1)
    fetching[0].callback(None)
    assert (late.called, late.result) == (True, None)
    assert (len(bench.web.asked), bench.troubles) == (len(slow), [])
    again = bench.begin(DOMAIN, Turn(1))
    assert bench.web.asked[-1] == DOMAIN
    for fetch_under_way in fetching[1:]:
        fetch_under_way.callback(None)
    assert [hosts(one.result) for one in (*pile, again)] == [("mx.good.test",)] * (len(slow) + 1)


def test_a_dns_that_gives_no_answer_is_asked_again_soon() -> None:
    bench = Bench()
    bench.says(policy("mx.good.test"))
    bench.status = "failure"
    assert bench.find() is None
    bench.status = "ok"
    assert bench.find() is None
    bench.clock.advance(LOOK_SOON)
    assert hosts(bench.find()) == ("mx.good.test",)


def test_a_flood_of_names_does_not_undo_a_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sts_policies, "MOST_KNOWN", 2)
    bench = Bench()
    bench.says(policy("mx.good.test"))
    bench.find()
    bench.texts = []
    for number in range(5):
        assert bench.find(f"{number}.test") is None
    assert hosts(bench.find()) == ("mx.good.test",)
    assert (bench.web.asked, len(bench.policies._domains)) == ([DOMAIN], 2)


# Over the wire


def local(ask_at: int, root: Path) -> WebThreads:
    """Requests that may reach this machine, at a port of its own, and trust the tests' authority."""

    def get(method: str, url: str, **given: Any) -> Fetched:
        url = url.replace(f"mta-sts.{DOMAIN}/", f"mta-sts.{DOMAIN}:{ask_at}/")
        return fetch(method, url, allow_private=True, ca_file=str(root), **given)

    return WebThreads(reactor.callFromThread, get)  # type: ignore[attr-defined]


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name of the policy's server leads to the loopback."""
    real: Callable[..., Any] = socket.getaddrinfo

    def look_up(host: str, *rest: Any, **given: Any) -> Any:
        return real("127.0.0.1" if host == f"mta-sts.{DOMAIN}" else host, *rest, **given)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)


def said(body: bytes, status: str = "200 OK", kind: str = "text/plain; charset=utf-8") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


@pytest_twisted.ensureDeferred
@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("name", "answer", "result"),
    [
        (f"mta-sts.{DOMAIN}", said(policy("mx.good.test").encode()), ""),
        ("other.test", said(policy("mx.good.test").encode()), "sts-webpki-invalid"),
        (f"mta-sts.{DOMAIN}", said(policy("mx.good.test").encode() + b"\nx: y" * 20_000), "sts-policy-invalid"),
        (f"mta-sts.{DOMAIN}", said(b"", "301 Moved\r\nLocation: https://localhost/"), "sts-policy-fetch-error"),
        (f"mta-sts.{DOMAIN}", b"SSH-2.0-OpenSSH\r\n", "sts-policy-fetch-error"),
    ],
    ids=["good", "another name", "more than 64 kB", "redirect", "no web server"],
)
async def test_a_policy_comes_from_a_web_server_with_a_valid_certificate_and_from_there_only(
    name: str, answer: bytes, result: str, tmp_path: Path
) -> None:
    authority = Authority()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(authority.issue(name).write(tmp_path))
    with web_server(saying(answer), tls) as server:
        bench = Bench(ask=local(server.port, authority.write(tmp_path)).ask)
        found = await bench.begin()
        if not result:
            assert server.requests[0].startswith(b"GET /.well-known/mta-sts.txt HTTP/1.1\r\n")
    assert hosts(found) == (() if result else ("mx.good.test",))
    assert [flaw.result for _, flaw in bench.troubles] == ([result] if result else [])


@pytest_twisted.ensureDeferred
@pytest.mark.usefixtures("here")
async def test_a_policy_at_a_private_address_is_not_fetched() -> None:
    bench = Bench(ask=WebThreads(reactor.callFromThread).ask)  # type: ignore[attr-defined]
    assert await bench.begin() is None
    [(_, flaw)] = bench.troubles
    assert flaw.text == f"mta-sts.{DOMAIN} (127.0.0.1) is not a public address, so nothing is sent there"
