"""Reports about TLS leave once a day, by one worker, to whoever asks for them; what nobody takes is tried again."""

from __future__ import annotations

import email
import gzip
import json
import random
from email import policy
from functools import partial
from typing import Any

import dns.rdata
import pytest
from twisted.internet.defer import Deferred, ensureDeferred, succeed
from twisted.internet.task import Clock

from postmeter.delivery import tls_reporter
from postmeter.delivery.fair_queue import ANYBODY, Turn
from postmeter.delivery.mta_sts import StsPolicy
from postmeter.delivery.resolver import Answer
from postmeter.delivery.route import Host, Route
from postmeter.delivery.securing import EXEMPT
from postmeter.delivery.tls_log import AT_ONCE, MOST_LINES, TlsLog
from postmeter.delivery.tls_policy import Flaw, TlsPolicy
from postmeter.delivery.tls_reporter import AGAIN, SETTLED, TlsReporter
from postmeter.fetch import Fetched, FetchError
from postmeter.store import queue
from postmeter.store.engine import Store
from postmeter.store.own_mail import OPERATOR
from postmeter.store.tables import Message
from postmeter.store.tls_reports import DAY, OVERDUE, REFERENCE, Seen, sessions_of
from postmeter.store.tls_tables import TlsReport
from support.postage import rows
from support.tls_network import Web

DAY_ONE = 20_000 * DAY
HOST = Host("mx.good.test", "192.0.2.1", 25)
LATE = Flaw("starttls-not-supported", "not\noffered")


class Bench:
    """A log and a reporter on one store; ``records`` are what domains say about reports."""

    def __init__(self, store: Store, worker: int = 1) -> None:
        self.store, self.clock, self.web = store, Clock(), Web()
        self.clock.advance(DAY_ONE + 3_600)
        self.records = {"good.test": "v=TLSRPTv1; rua=mailto:tls@good.test"}
        self.refused: Exception | None = None
        self.log = TlsLog(self, self.submit, self.clock.seconds)
        self.reporter = TlsReporter(
            "relay.test", worker, self, self.web.ask, self.read, self.submit, self.clock.seconds
        )

    async def lookup(self, name: str, type: str, turn: Turn = ANYBODY) -> Answer:
        """See ``Resolver``."""
        domain = name.removeprefix("_smtp._tls.")
        if domain not in self.records:
            return Answer("nxdomain")
        return Answer("ok", (dns.rdata.from_text("IN", "TXT", f'"{self.records[domain]}"'),))

    def read(self, function: Any) -> Deferred[Any]:
        with self.store.read() as session:
            return succeed(function(session))

    def submit(self, change: Any, item: Any, done: Any) -> None:
        if self.refused is not None:
            done(self.refused)
            return
        with self.store.write() as session:
            [result] = change(session, [item])
        done(result)

    def session(self, domain: str = "good.test", flaw: Flaw | None = None, **given: Any) -> None:
        self.log.session(Route("mx", (HOST,), domain=domain, **given), HOST, flaw, "198.51.100.1")

    def hand_over(self) -> None:
        assert self.log.hand_over().called

    def look(self) -> None:
        """Do what a worker does now and then."""
        looking = ensureDeferred(self.reporter.look())
        assert looking.called
        assert looking.result is None

    def kept(self, domain: str = "good.test") -> dict[Seen, int]:
        with self.store.read() as session:
            return sessions_of(session, DAY_ONE, domain)

    def next_day(self) -> None:
        self.clock.advance(DAY_ONE + DAY + SETTLED - self.clock.seconds())

    def mails(self) -> list[Any]:
        """The contents of the mails that wait."""
        with self.store.read() as session:
            found = [queue.content(session, OPERATOR, row.id) for row in rows(self.store, Message)]
        return [email.message_from_bytes(one, policy=policy.default) for one in found]


@pytest.fixture
def bench(store: Store) -> Bench:
    return Bench(store)


def test_sessions_of_a_domain_that_wants_reports_are_summed(bench: Bench) -> None:
    for _ in range(2):
        for flaw in (None, None, LATE):
            bench.session(flaw=flaw)
            bench.session("other.test", flaw)
        bench.hand_over()
    assert bench.kept() == {
        Seen(DAY_ONE, "good.test", ("no-policy-found",)): 4,
        Seen(
            DAY_ONE,
            "good.test",
            ("no-policy-found",),
            "starttls-not-supported",
            "not offered",
            "198.51.100.1",
            "mx.good.test",
            "192.0.2.1",
        ): 2,
    }
    assert bench.kept("other.test") == {}


def test_what_servers_say_and_are_called_fits_into_the_key_of_a_table(bench: Bench) -> None:
    chance = random.Random(1)
    label = partial(chance.choices, "abcdefghijklmnopqrstuvwxyz0123456789")
    hosts = tuple("".join(label(k=60)) + ".test" for _ in range(100))
    tls = TlsPolicy(sts=StsPolicy("testing", hosts, 86_400), domain="good.test")
    name = "".join(f"\\{chance.randrange(128, 256)}" for _ in range(250))
    text = "".join(chr(chance.randrange(0x20000, 0x2A000)) for _ in range(1_000))
    host = Host(name, "2001:db8:1111:2222:3333:4444:5555:6666", 25)
    domain = ".".join("".join(label(k=60)) for _ in range(4))
    bench.records[domain] = bench.records["good.test"]
    route = Route("mx", (host,), domain=domain, tls=tls)
    bench.log.session(route, host, Flaw("starttls-not-supported", text), "2001:db8:1111:2222:3333:4444:5555:7777")
    bench.hand_over()
    assert list(bench.kept(domain).values()) == [1]


def test_a_domain_counts_under_its_name_in_the_dns(bench: Bench) -> None:
    bench.records["xn--bcher-kva.test"] = bench.records["good.test"]
    for name in ("bücher.test", "xn--bcher-kva.test"):
        bench.session(name)
    bench.hand_over()
    assert list(bench.kept("xn--bcher-kva.test").values()) == [2]


def test_a_crowd_of_domains_is_asked_a_few_at_a_time(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    under_way, answer = list[Deferred[None]](), bench.lookup

    async def lookup(name: str, type: str) -> Answer:
        under_way.append(Deferred())
        await under_way[-1]
        return await answer(name, type)

    monkeypatch.setattr(bench, "lookup", lookup)
    for number in range(3 * AT_ONCE):
        bench.session(f"{number}.test")
    bench.session()
    handed_over = bench.log.hand_over()
    assert len(under_way) == AT_ONCE
    for asked in under_way:
        asked.callback(None)
    assert (handed_over.called, len(under_way)) == (True, 3 * AT_ONCE + 1)
    assert list(bench.kept().values()) == [1]


def test_what_cannot_be_committed_is_counted_again(bench: Bench) -> None:
    bench.session()
    bench.refused = RuntimeError("the disk is full")
    bench.hand_over()
    bench.session()
    bench.refused = None
    bench.hand_over()
    assert list(bench.kept().values()) == [2]


def test_neither_static_routes_nor_reports_are_counted_and_no_flood_fills_the_memory(bench: Bench) -> None:
    bench.session("")
    bench.session(tls=EXEMPT)
    assert not bench.log._counted
    for number in range(MOST_LINES + 10):
        bench.session(f"{number}.test")
    bench.session("0.test")
    assert len(bench.log._counted) == MOST_LINES
    assert max(bench.log._counted.values()) == 2


def test_a_report_leaves_by_mail_once_the_day_is_over_and_never_again(bench: Bench) -> None:
    bench.session()
    bench.session(flaw=LATE)
    bench.hand_over()
    bench.look()
    assert bench.mails() == []
    bench.next_day()
    for worker in (bench.reporter, Bench(bench.store, 2).reporter, bench.reporter):
        bench.reporter = worker
        bench.look()
    [mail] = bench.mails()
    assert (mail["To"], mail["TLS-Report-Domain"], mail["Auto-Submitted"]) == (
        "tls@good.test",
        "good.test",
        "auto-generated",
    )
    body = json.loads(gzip.decompress(list(mail.iter_parts())[1].get_content()))
    [entry] = body["policies"]
    assert entry["summary"] == {"total-successful-session-count": 1, "total-failure-session-count": 1}
    [row] = rows(bench.store, Message)
    assert (row.account_id, row.reference, row.reverse_path) == (OPERATOR, REFERENCE, "")
    [report] = rows(bench.store, TlsReport)
    assert (report.day, report.domain, report.sent_to) == (DAY_ONE, "good.test", "tls@good.test")


def test_a_report_leaves_by_a_web_server_and_is_tried_again_while_that_does_not_take_it(bench: Bench) -> None:
    bench.records["good.test"] = "v=TLSRPTv1; rua=https://good.test/tls"
    bench.session()
    bench.hand_over()
    bench.next_day()
    for answer in (FetchError("nobody there"), Fetched(503, {}, b""), Fetched(201, {}, b"")):
        bench.web.policies["good.test"] = answer
        for _ in range(2):
            bench.look()
        bench.clock.advance(AGAIN)
    assert len(bench.web.posted) == 3
    url, request = bench.web.posted[-1]
    assert (url, request["headers"]) == ("https://good.test/tls", {"content-type": "application/tlsrpt+gzip"})
    assert json.loads(gzip.decompress(request["body"]))["organization-name"] == "relay.test"
    assert [row.sent_to for row in rows(bench.store, TlsReport)] == ["https://good.test/tls"]
    assert bench.mails() == []


def test_a_report_that_nobody_takes_is_given_up_after_two_days(bench: Bench) -> None:
    bench.records["good.test"] = "v=TLSRPTv1; rua=https://good.test/tls,mailto:no address"
    bench.web.policies["good.test"] = FetchError("nobody there")
    bench.session()
    bench.hand_over()
    bench.clock.advance(DAY + OVERDUE - 3_600 - AGAIN)
    bench.clock.advance(SETTLED)
    bench.look()
    assert rows(bench.store, TlsReport) == []
    bench.clock.advance(AGAIN)
    bench.look()
    assert [row.sent_to for row in rows(bench.store, TlsReport)] == [""]


def test_one_report_that_is_not_taken_keeps_no_other(bench: Bench) -> None:
    bench.records |= {"aaa.test": "v=TLSRPTv1; rua=https://aaa.test/"}
    bench.web.policies["aaa.test"] = FetchError("nobody there")
    for domain in ("aaa.test", "good.test"):
        bench.session(domain)
    bench.hand_over()
    bench.next_day()
    bench.look()
    assert [row.domain for row in rows(bench.store, TlsReport)] == ["good.test"]


def test_many_that_take_no_report_keep_no_other(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls_reporter, "AT_ONCE", 2)
    slow = [f"{number}.test" for number in range(10)]
    for domain in slow:
        bench.records[domain] = f"v=TLSRPTv1; rua=https://{domain}/"
        bench.web.policies[domain] = FetchError("nobody there")
    for domain in (*slow, "good.test"):
        bench.session(domain)
    bench.hand_over()
    bench.next_day()
    for _ in range(6):
        bench.look()
        bench.clock.advance(AGAIN)  # those that were tried first may be tried again
    assert [row.domain for row in rows(bench.store, TlsReport)] == ["good.test"]
    assert sorted(set(bench.web.asked)) == slow


def test_a_slow_web_server_keeps_no_other_report(bench: Bench) -> None:
    bench.records |= {"aaa.test": "v=TLSRPTv1; rua=https://aaa.test/"}
    bench.web.waiting = []
    bench.web.policies["aaa.test"] = FetchError("it did not answer")
    for domain in ("aaa.test", "good.test"):
        bench.session(domain)
    bench.hand_over()
    bench.next_day()
    looking = ensureDeferred(bench.reporter.look())
    assert [row.domain for row in rows(bench.store, TlsReport)] == ["good.test"]
    bench.web.waiting[0].callback(None)
    assert looking.called
