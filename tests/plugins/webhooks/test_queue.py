"""What is told is queued once for each endpoint that wants it, with one commit for a run of events."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any

import pytest

from postmeter import UsageError
from postmeter.telling import HOOKS
from postmeter_webhooks import endpoints
from postmeter_webhooks.body import CHOSEN, TYPES
from postmeter_webhooks.directory import Directory
from postmeter_webhooks.plugin import Webhooks
from support.tenants import NOW, make_account
from support.webhooks import URL, Bench


def waiting(bench: Bench, endpoint: int) -> list[tuple[int | None, str]]:
    """What waits for an endpoint: events and types."""
    return [(one.event_id, one.type) for one in bench.facts(endpoint)]


def test_every_event_that_plugins_are_told_has_a_type_but_for_notices() -> None:
    assert set(TYPES) == set(HOOKS) - {"notice"}
    assert set(TYPES.values()) == set(CHOSEN)
    for hook in {HOOKS[kind] for kind in TYPES}:
        assert hasattr(Webhooks, hook)


def test_an_endpoint_of_the_account_is_told_everything(bench: Bench) -> None:
    everything = bench.add()
    about = [bench.event(n, kind, message=None) for n, kind in enumerate(TYPES)]
    bench.tell(*about)
    assert waiting(bench, everything) == [(n, type) for n, type in enumerate(TYPES.values())]


def test_an_endpoint_of_a_connection_is_told_what_happens_to_it_and_to_its_mail(bench: Bench) -> None:
    web, till = bench.add(URL, bench.web), bench.add(URL, bench.till)
    bench.tell(
        bench.event(1, "delivered"),
        bench.event(2, "connection_paused", message=None, connection="till", reason="late"),
        bench.event(3, "connection_resumed", message=None, connection="web"),
        bench.event(4, "quota_low", message=None, left=3),
        bench.event(5, "domain_broken", message=None, domain="shop.example"),
        bench.event(6, "address_suppressed", message=None, address="joe@kunde.example"),
        bench.event(7, "address_suppressed", address="joe@kunde.example"),
    )
    assert waiting(bench, web) == [(1, "message.delivered"), (3, "connection.active"), (7, "message.suppressed")]
    assert waiting(bench, till) == [(2, "connection.inactive")]


def test_an_endpoint_with_a_filter_is_told_that_only(bench: Bench) -> None:
    chosen = bench.add(URL, None, "message.bounced", "quota.low")
    kinds = ("accepted", "bounced", "delivered", "expired")
    bench.tell(*[bench.event(n, kind) for n, kind in enumerate(kinds)], bench.event(9, "quota_low", message=None))
    assert waiting(bench, chosen) == [(1, "message.bounced"), (3, "message.bounced"), (9, "quota.low")]


def test_no_account_is_told_of_another(bench: Bench) -> None:
    with bench.core.write() as session:
        other = make_account(session, "other").id
    mine, theirs = bench.add(), bench.add(account=other)
    bench.tell(bench.event(1))
    assert (waiting(bench, mine), waiting(bench, theirs)) == ([(1, "message.delivered")], [])


def test_an_event_that_is_told_twice_is_queued_once(bench: Bench) -> None:
    endpoint = bench.add()
    bench.tell(bench.event(1), bench.event(1), bench.event(2))
    bench.start()
    bench.tell(bench.event(1), bench.event(2), bench.event(3))
    assert [event for event, _ in waiting(bench, endpoint)] == [1, 2, 3]


class Counting:
    """A Core that counts what is read and written."""

    def __init__(self, core: Any) -> None:
        self._core = core
        self.reads = self.writes = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._core, name)

    @contextmanager
    def read(self) -> Any:
        self.reads += 1
        with self._core.read() as session:
            yield session

    @contextmanager
    def write(self) -> Any:
        self.writes += 1
        with self._core.write() as session:
            yield session


def test_a_run_of_events_is_one_commit_and_events_of_others_cost_nothing(bench: Bench) -> None:
    with bench.core.write() as session:
        bench.account_id, here = make_account(session, "silent").id, bench.account_id
    bench.add(account=here)
    bench.core = core = Counting(bench.core)  # type: ignore[assignment]
    bench.start()
    bench.tell(*[bench.event(n) for n in range(200)])
    assert (core.reads, core.writes) == (1, 0)
    bench.account_id = here
    bench.tell(*[bench.event(n) for n in range(200)])
    assert (core.reads, core.writes) == (3, 1)  # the endpoints again, and the names


def test_a_run_that_could_not_be_written_is_told_again_as_a_whole(bench: Bench) -> None:
    endpoint = bench.add()
    core, bench.core = bench.core, Counting(bench.core)  # type: ignore[assignment]
    bench.core.write = lambda: pytest.fail("disk full")  # type: ignore[method-assign]
    bench.start()
    bench.plugin.on_deliver(bench.event(1))
    with pytest.raises(pytest.fail.Exception):
        bench.plugin.flush()
    bench.core.write = core.write  # type: ignore[method-assign]
    bench.tell(bench.event(1), bench.event(2))
    assert [event for event, _ in waiting(bench, endpoint)] == [1, 2]


def test_a_new_endpoint_is_known_at_once(bench: Bench) -> None:
    bench.tell(bench.event(1))
    with bench.core.write() as session:
        number = endpoints.add(session, bench.core, bench.account_id, None, URL, (), 10).endpoint
    bench.tell(bench.event(2))
    assert [event for event, _ in waiting(bench, number)] == [2]


def test_what_is_told_when_an_endpoint_is_added_is_queued_for_it(bench: Bench) -> None:
    bench.plugin.on_deliver(bench.event(1))
    with bench.core.write() as session:
        number = endpoints.add(session, bench.core, bench.account_id, None, URL, (), 10).endpoint
    bench.plugin.flush()
    assert [event for event, _ in waiting(bench, number)] == [1]


def test_an_endpoint_that_is_off_is_told_nothing(bench: Bench) -> None:
    number = bench.add()
    with bench.core.write() as session:
        endpoints.switch_off(session, number, "by hand", NOW)
    bench.start()
    bench.tell(bench.event(1))
    assert waiting(bench, number) == []


def test_for_an_endpoint_that_was_switched_off_or_forgotten_just_now_nothing_is_queued(bench: Bench) -> None:
    off, forgotten, on = bench.add(), bench.add(), bench.add()
    bench.tell(bench.event(1))
    rows = Directory.rows

    def meanwhile(*arguments: Any) -> Any:
        with bench.core.write() as session:
            endpoints.switch_off(session, off, "by hand", NOW)
            endpoints.remove(session, forgotten)
        return rows(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Directory, "rows", meanwhile)
        bench.tell(bench.event(2))
    assert [len(bench.facts(number)) for number in (off, forgotten, on)] == [1, 0, 2]


# Endpoints


def test_an_account_has_so_many_endpoints_at_most(bench: Bench) -> None:
    def add(most: int) -> None:
        with bench.core.write() as session:
            endpoints.add(session, bench.core, bench.account_id, None, URL, (), most)

    add(2)
    add(2)
    with pytest.raises(UsageError, match="the account has 2 endpoints already; remove one first"):
        add(2)
    add(3)


@pytest.mark.parametrize(
    ("type", "complaint"),
    [
        ("message.opened", "is no type"),
        ("test.ping", "is no type"),
        ("quota.low", "is about the whole account"),
    ],
)
def test_a_type_that_cannot_be_is_refused(bench: Bench, type: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        bench.add(URL, bench.web, type)


def test_the_secret_is_sealed_and_the_old_one_is_valid_for_a_day(bench: Bench) -> None:
    number = bench.add()
    (first,) = bench.secrets(number)
    with bench.core.write() as session:
        endpoints.rotate(session, bench.core, number)
    second, old = bench.secrets(number)
    assert old == first != second
    with bench.core.read() as session:
        raw = session.connection().exec_driver_sql("SELECT secret, old_secret FROM webhooks_endpoint").one()
    assert not any(secret in bytes(column) for column in raw for secret in (first, second))
    bench.now += 86_399
    assert len(bench.secrets(number)) == 2
    bench.now += 1
    assert bench.secrets(number) == [second]


def test_what_is_removed_leaves_nothing_and_its_number_is_not_given_again(bench: Bench) -> None:
    number = bench.add()
    bench.tell(bench.event(1))
    with bench.core.write() as session:
        endpoints.remove(session, number)
    assert bench.facts(number) == []
    with pytest.raises(UsageError, match=f"there is no endpoint {number}"):
        bench.endpoint(number)
    assert bench.add() == number + 1
