"""What is known of TLS survives a restart, and goes when it is over."""

from __future__ import annotations

from postmeter.store import tls_memory, tls_reports
from postmeter.store.engine import Store
from postmeter.store.tidying import Tidying
from postmeter.store.tls_memory import Broken, KeptPolicy, Memory
from postmeter.store.tls_reports import DAY, KEPT, Finished, Seen
from postmeter.store.tls_tables import BrokenTlsHost, MtaSts, TlsReport, TlsSessionDay
from support.postage import rows
from support.tenants import NOW

TODAY = int(NOW) // DAY * DAY


def policy(domain: str, record: str = "1", at: float = NOW) -> KeptPolicy:
    return KeptPolicy(domain, record, "version: STSv1", at, at + 60)


def test_the_last_that_was_found_counts(store: Store) -> None:
    for until, record in ((NOW + 1, "1"), (NOW + 2, "2")):
        with store.write() as session:
            tls_memory.add_broken(
                session, [Broken("mx.a.test", "192.0.2.2", 25, until), Broken("mx.a.test", "192.0.2.1", 25, until)]
            )
            tls_memory.keep_policies(session, [policy("b.test", record, until), policy("a.test", record, until)])
    with store.read() as session:
        memory = tls_memory.read(session, NOW)
    assert sorted(memory.broken) == [
        Broken("mx.a.test", "192.0.2.1", 25, NOW + 2),
        Broken("mx.a.test", "192.0.2.2", 25, NOW + 2),
    ]
    assert sorted(memory.policies) == [policy("a.test", "2", NOW + 2), policy("b.test", "2", NOW + 2)]
    with store.read() as session:
        assert tls_memory.read(session, NOW + 62) == Memory([], [])


def test_what_is_over_goes(store: Store) -> None:
    with store.write() as session:
        tls_memory.add_broken(session, [Broken("mx.a.test", "192.0.2.1", port, NOW + port) for port in (1, 25)])
        tls_memory.keep_policies(session, [policy("a.test", at=NOW - 60), policy("b.test")])
        for day in (TODAY - KEPT - DAY, TODAY):
            tls_reports.add(session, [{Seen(day, "a.test", ("sts",)): 1}])
            tls_reports.finish(session, [Finished(day, "a.test", NOW, (), (), "relay.test")])
    with store.write() as session:
        assert Tidying()(session, [NOW + 1]) == [4]
    assert [row.port for row in rows(store, BrokenTlsHost)] == [25]
    assert [row.domain for row in rows(store, MtaSts)] == ["b.test"]
    assert [row.day for row in rows(store, TlsSessionDay)] == [TODAY]
    assert [row.day for row in rows(store, TlsReport)] == [TODAY]
