"""Replies that a rule takes several of: those of all workers count, each once, within an hour."""

from __future__ import annotations

import random

import pytest
from sqlalchemy import func, select

from postmeter.store import heard, providers
from postmeter.store.engine import Store
from postmeter.store.heard import HOUR, Heard
from postmeter.store.operator_tables import ProviderReplies
from postmeter.store.providers import BY_RULE, Suspension
from support.postage import at_once
from support.tenants import NOW


def reply(at: float, provider: str = "Outlook.com", rule: str = "block list", times: int = 5) -> Heard:
    return Heard(Suspension(provider, "550 block list", at, at + 7_200, BY_RULE, rule=rule), times)


def hear(store: Store, *replies: Heard) -> list[bool]:
    """Whether a rule fired at each."""
    with store.write() as session:
        return [made is not None for made in heard.hear(session, replies)]


def suspended(store: Store) -> list[str]:
    with store.read() as session:
        return [one.provider for one in providers.suspensions(session, NOW)]


def test_a_rule_fires_at_the_nth_reply_and_not_before(store: Store) -> None:
    assert [hear(store, reply(NOW + n)) for n in range(4)] == [[False]] * 4
    assert suspended(store) == []
    assert hear(store, reply(NOW + 4)) == [True]
    assert suspended(store) == ["Outlook.com"]
    assert hear(store, reply(NOW + 5)) == [False]  # it counts anew


def test_replies_of_more_than_an_hour_ago_do_not_count(store: Store) -> None:
    times = [0.0, 1.0, HOUR + 0.5, HOUR + 0.6, HOUR + 0.7]
    assert [hear(store, reply(NOW + at, times=3)) for at in times] == [[False], [False], [False], [True], [False]]


def test_each_provider_and_each_rule_is_counted_on_its_own(store: Store) -> None:
    others = [reply(NOW, "Microsoft 365"), reply(NOW, rule="other")]
    assert hear(store, *(reply(NOW + n) for n in range(4)), *others) == [False] * 6
    assert hear(store, reply(NOW + 9), *others) == [True, False, False]  # what was committed already is the same


@pytest.mark.parametrize("workers", [2, 8])
def test_of_many_workers_that_hear_at_the_same_time_one_hears_the_last_that_it_takes(
    store: Store, workers: int
) -> None:
    fired: list[bool] = []

    def work(n: int) -> None:
        for k in random.Random(n).sample(range(4), 4):
            fired.extend(hear(store, reply(NOW + n + k / 10, times=4 * workers)))

    at_once(work, workers)
    assert sorted(fired) == [False] * (4 * workers - 1) + [True]


def test_what_is_over_is_forgotten(store: Store) -> None:
    hear(store, reply(NOW), reply(NOW, "Yahoo"), reply(NOW + HOUR, "Yahoo"))
    with store.write() as session:
        assert heard.forget(session, NOW + HOUR) == 1
    with store.read() as session:
        assert session.scalar(select(func.count()).select_from(ProviderReplies)) == 1
