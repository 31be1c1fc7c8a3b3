"""Suspended providers, what they said lately, what left from our addresses, and recipients that are only put off."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Any

import pytest
from sqlalchemy import event, select

from postmeter.errors import UsageError
from postmeter.store import orders, providers, sources, waiting
from postmeter.store.audit import entries
from postmeter.store.engine import Store
from postmeter.store.operator_tables import ProviderSuspension
from postmeter.store.providers import BY_RULE, Suspension
from postmeter.store.refusals import Refusal, refusals
from postmeter.store.settle import settle
from postmeter.store.sources import DAY, Figures, Key
from postmeter.store.tables import BOUNCED, DEFERRED, DELIVERED, QUEUED, Event
from support.postage import (
    accept,
    add_worker,
    at_once,
    audit,
    funded,
    lease,
    outcome,
    recipients,
    settle_all,
    submission,
)
from support.tenants import NOW

TODAY = int(NOW) // DAY * DAY


@pytest.fixture
def worker(store: Store) -> int:
    """A worker, and an account with a block of 1,000."""
    funded(store)
    return add_worker(store)


@contextmanager
def written(store: Store) -> Iterator[list[str]]:
    """The statements of a transaction."""
    statements: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    event.listen(store.engine, "before_cursor_execute", note)
    yield statements
    event.remove(store.engine, "before_cursor_execute", note)


def test_a_suspension_is_in_force_until_its_end(store: Store) -> None:
    with store.write() as session:
        providers.suspend(session, "Google", "pause", NOW + 60, NOW, "ann")
        providers.suspend(session, " Yahoo ", "first", None, NOW, "ann")
        made = providers.suspend(session, "Yahoo", "second", None, NOW + 1, "bob")
    with store.read() as session:
        assert [one.provider for one in providers.suspensions(session, NOW + 59)] == ["Google", "Yahoo"]
        assert providers.suspensions(session, NOW + 60) == [made]
    assert (made.reason, made.since, made.by) == ("second", NOW + 1, "bob")


@pytest.mark.parametrize(
    ("provider", "reason", "until", "why"),
    [
        ("", "x", None, "the name of a provider"),
        ("x" * 101, "x", None, "the name of a provider"),
        ("Google", " ", None, "the reason must have"),
        ("Google", "x", NOW, "ends in the future"),
    ],
)
def test_what_is_wrong_with_a_suspension_is_told(
    store: Store, provider: str, reason: str, until: float | None, why: str
) -> None:
    with pytest.raises(UsageError, match=why), store.write() as session:
        providers.suspend(session, provider, reason, until, NOW, "ann")


def test_what_waits_is_tried_when_it_is_resumed(store: Store, worker: int) -> None:
    accept(store, submission(3))
    settle_all(store, lease(store, worker), worker, DEFERRED, provider="Google", again=NOW + 3_600)
    with store.write() as session:
        providers.suspend(session, "Google", "pause", None, NOW, "ann")
    with store.read() as session:
        waits = providers.what_waits(session, "Google", NOW)
    assert waits.count == 3
    with written(store) as statements, store.write() as session:
        number = providers.resume(session, "Google", waits, NOW, "ann")
    assert not any("FROM recipient" in statement for statement in statements)  # nobody waits for such a search
    with store.read() as session:
        assert providers.suspensions(session, NOW) == []
    with store.read() as session:
        batch = orders.next_batch(session, NOW, number)
    assert batch is not None
    with store.write() as session:
        orders.carry_out(session, [(batch, NOW)])
    assert len(lease(store, worker)[0].recipients) == 3
    with pytest.raises(UsageError, match="is not suspended"), store.write() as session:
        providers.resume(session, "Google", waits, NOW, "ann")


@pytest.mark.parametrize("tried", [False, True])
def test_a_recipient_that_is_put_off_has_had_no_attempt(store: Store, worker: int, tried: bool) -> None:
    accept(store, submission())
    if tried:
        settle_all(store, lease(store, worker), worker, DEFERRED, provider="Google", transmitted=True, again=NOW)
    [leased] = lease(store, worker, NOW + 1)
    state = DEFERRED if tried else QUEUED
    facts = {} if tried else {"provider": "Google"}
    put_off = replace(
        outcome(
            leased, leased.recipients[0], worker, state, NOW + 1, transmitted=False, again=NOW + 900, reply="451 no"
        ),
        facts=facts,
        attempted=False,
    )
    with store.write() as session:
        assert settle(session, [put_off]) == [True]
    [row] = recipients(store)
    assert (row.state, row.attempts, row.provider, row.reply) == (state, int(tried), "Google", "451 no")
    assert (row.next_attempt_at, row.lease_owner, row.charge) == (NOW + 900, None, "charged" if tried else "reserved")
    with store.read() as session:
        kinds = list(session.scalars(select(Event.kind).where(Event.recipient.is_not(None))))
        assert waiting.by_provider(session) == {"Google": 1}
    assert kinds == ([DEFERRED] if tried else [])
    audit(store)


def test_what_a_provider_said_is_grouped(store: Store, worker: int) -> None:
    for count, state, reply, provider in (
        (3, DEFERRED, "421 slow", "Google"),
        (1, BOUNCED, "550 no", "Google"),
        (2, DELIVERED, "250 ok", "Google"),
        (5, BOUNCED, "550 other", "Yahoo"),
    ):
        accept(store, submission(count))
        settle_all(store, lease(store, worker), worker, state, reply=reply, provider=provider, again=NOW + 900)
    with store.read() as session:
        assert refusals(session, "Google") == [
            Refusal(DEFERRED, "421 slow", 3, NOW),
            Refusal(BOUNCED, "550 no", 1, NOW),
        ]
        assert refusals(session, "Nobody") == []


def test_reports_of_many_workers_are_added(store: Store) -> None:
    keys = [Key("192.0.2.1", TODAY, "Google"), Key("192.0.2.2", TODAY, "Yahoo")]
    figures = Figures(5, 2, 1, 2, 4, 1, NOW)

    def report(n: int) -> None:
        order = keys if n % 2 else keys[::-1]
        with store.write() as session:
            sources.add(session, [{key: figures} for key in order])

    at_once(report, 4)
    with store.read() as session:
        assert sources.by_provider(session, NOW) == {key.provider: Figures(20, 8, 4, 8, 16, 4, NOW) for key in keys}
        first, second = sources.sources(session, NOW, days=3)
    assert (first.address, first.first_day) == ("192.0.2.1", TODAY)
    assert first.days == ((TODAY - 2 * DAY, 0), (TODAY - DAY, 0), (TODAY, 20))
    assert [(one.provider, one.today) for one in second.receivers] == [("Yahoo", 20)]


def by_rule(**values: Any) -> Suspension:
    return Suspension(**{"provider": "Yahoo", "reason": "421 no", "since": NOW, "until": NOW + 60, **RULE, **values})


RULE = {"by": BY_RULE, "rule": "TS02"}
PERSON = {"by": "ann", "rule": ""}


@pytest.mark.parametrize(
    ("held", "said", "made"),
    [
        (by_rule(), by_rule(until=NOW + 30), by_rule()),
        (by_rule(), by_rule(until=NOW + 90, since=NOW + 1), by_rule(until=NOW + 90)),
        (by_rule(), by_rule(until=NOW + 90, per_minute=1), by_rule()),
        (by_rule(per_minute=1, until=NOW + 90), by_rule(), by_rule()),
        (by_rule(per_minute=1), by_rule(per_minute=10, until=NOW + 90), by_rule(per_minute=1, until=NOW + 90)),
        (by_rule(per_minute=1, until=NOW + 90), by_rule(sessions=1), by_rule(per_minute=1, sessions=1, until=NOW + 90)),
        (by_rule(until=NOW), by_rule(per_minute=1), by_rule(per_minute=1)),
        (by_rule(**PERSON), by_rule(until=NOW + 90), by_rule(**PERSON)),
        (by_rule(**PERSON, until=None), by_rule(), by_rule(**PERSON, until=None)),
        (by_rule(**PERSON, until=NOW), by_rule(), by_rule()),
    ],
)
def test_a_rule_makes_nothing_milder_or_shorter_and_leaves_a_persons_word(
    store: Store, held: Suspension, said: Suspension, made: Suspension
) -> None:
    with store.write() as session:
        session.add(ProviderSuspension(**asdict(held)))
    with store.write() as session:
        assert providers.restrict(session, [said]) == [made]
    with store.read() as session:
        assert providers.suspensions(session, NOW + 1) == [made]


def test_what_a_rule_has_led_to_is_in_the_audit_log_and_can_be_taken_back(store: Store) -> None:
    made = by_rule(sessions=1, reason="421 [TS02] no")
    with store.write() as session:
        assert providers.restrict(session, [made, made, replace(made, provider="mx.x.example")])[:2] == [made, made]
    with store.read() as session:
        assert [one.provider for one in providers.suspensions(session, NOW)] == ["Yahoo", "mx.x.example"]
        entry, *_ = [one for one in entries(session) if one.subject == "Yahoo"]
        waits = providers.what_waits(session, "Yahoo", NOW)
    assert (entry.actor, entry.action) == (BY_RULE, "provider.restrict")
    assert entry.facts == {"rule": "TS02", "reason": "421 [TS02] no", "until": NOW + 60}
    with store.write() as session:
        providers.resume(session, "Yahoo", waits, NOW, "ann")
    with store.read() as session:
        assert [one.provider for one in providers.suspensions(session, NOW)] == ["mx.x.example"]


def test_a_person_replaces_what_a_rule_says(store: Store) -> None:
    with store.write() as session:
        providers.restrict(session, [by_rule(sessions=1, per_minute=1)])
        made = providers.suspend(session, "Yahoo", "enough", None, NOW, "ann")
    assert (made.stops, made.rule) == (True, "")
    with store.read() as session:
        assert providers.suspensions(session, NOW) == [made]
