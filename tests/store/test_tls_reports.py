"""Sessions are summed by day and domain, and each report is sent once whoever makes it."""

from __future__ import annotations

from email.message import EmailMessage

from postmeter.message.handling import BULK
from postmeter.store import tls_reports
from postmeter.store.engine import Store
from postmeter.store.tables import Message
from postmeter.store.tls_reports import DAY, MOST_LINES, Finished, Seen
from support.postage import rows
from support.tenants import NOW

TODAY = int(NOW) // DAY * DAY


def seen(domain: str = "a.test", day: int = TODAY - DAY, result: str = "") -> Seen:
    return Seen(day, domain, ("sts", "mode: enforce", "mx: mx.a.test"), result)


def test_sessions_add_up(store: Store) -> None:
    for sessions in (1, 2):
        with store.write() as session:
            tls_reports.add(session, [{seen(): sessions, seen(result="x"): 1}, {seen(): 10}])
    with store.read() as session:
        assert tls_reports.sessions_of(session, TODAY - DAY, "a.test") == {seen(): 23, seen(result="x"): 2}
        assert tls_reports.sessions_of(session, TODAY, "a.test") == {}


def test_a_server_that_says_something_else_each_time_makes_no_long_report(store: Store) -> None:
    failed = seen(result="starttls-not-supported")
    with store.write() as session:
        lines = {failed._replace(reason=f"reason {n}", host="mx.a.test"): 2 + (n == 7) for n in range(3 * MOST_LINES)}
        tls_reports.add(session, [{seen(): 1, **lines}])
    with store.read() as session:
        found = tls_reports.sessions_of(session, TODAY - DAY, "a.test")
    assert (found[failed._replace(reason="reason 7", host="mx.a.test")], found[seen()]) == (3, 1)
    assert found[failed] == 2 * 2 * MOST_LINES
    assert sum(found.values()) == 1 + 1 + 3 * 2 * MOST_LINES
    assert len(found) == MOST_LINES + 2


def test_a_report_is_open_from_the_end_of_its_day_until_it_is_done(store: Store) -> None:
    domains = (("b.test", TODAY - DAY), ("a.test", TODAY - DAY), ("a.test", TODAY), ("a.test", TODAY - 2 * DAY))
    with store.write() as session:
        tls_reports.add(session, [{seen(*one): 1, seen(*one, "x"): 1} for one in domains])
    with store.write() as session:
        opened = tls_reports.open_reports(session, NOW, 10)
        assert opened == [(TODAY - 2 * DAY, "a.test"), (TODAY - DAY, "a.test"), (TODAY - DAY, "b.test")]
        assert tls_reports.open_reports(session, NOW, 1) == opened[:1]
        tls_reports.finish(session, [Finished(*one, NOW, (), (), "relay.test") for one in opened[:2]])
        assert tls_reports.open_reports(session, NOW, 10) == opened[2:]


def test_the_mails_of_a_report_leave_with_the_commit_that_says_so_and_once(store: Store) -> None:
    mail = EmailMessage()
    mail.set_content("a report")
    report = Finished(TODAY, "a.test", NOW, ("ann@a.test",), (("ann@a.test", mail),), "relay.test")
    with store.write() as session:
        assert tls_reports.finish(session, [report, report]) == [True, False]
    with store.write() as session:
        assert tls_reports.finish(session, [report]) == [False]
    assert [(row.reference, row.priority) for row in rows(store, Message)] == [(tls_reports.REFERENCE, BULK)]
