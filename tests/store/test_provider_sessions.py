"""What workers tell of their sessions with providers, and the word that they shall begin again."""

from __future__ import annotations

import pytest

from postmeter.errors import UsageError
from postmeter.store import provider_sessions, providers, queue
from postmeter.store.engine import Store
from postmeter.store.provider_sessions import KEPT, NONE, Report, Sessions
from support.postage import add_worker
from support.tenants import NOW


def tell(store: Store, worker: int, **changed: Sessions) -> None:
    with store.write() as session:
        provider_sessions.report(session, [Report(worker, changed)])


def seen(store: Store, now: float = NOW) -> dict[str, Sessions]:
    with store.read() as session:
        return provider_sessions.sessions(session, now)


def resume(store: Store, provider: str) -> None:
    with store.read() as session:
        waits = providers.what_waits(session, provider, NOW)
    with store.write() as session:
        providers.resume(session, provider, waits, NOW, "ann")


def test_what_workers_have_is_added_and_the_last_word_of_each_counts(store: Store) -> None:
    one, other = add_worker(store, NOW + 60), add_worker(store, NOW + 60)
    tell(store, one, Google=Sessions(2, 2.5), Yahoo=Sessions(1, 1.0))
    tell(store, other, Google=Sessions(1, 2.5))
    assert seen(store) == {"Google": Sessions(3, 5), "Yahoo": Sessions(1, 1)}
    tell(store, one, Google=Sessions(0, 1.0), Yahoo=NONE)
    assert seen(store) == {"Google": Sessions(1, 4)}
    tell(store, other, Google=Sessions(1, 0.0))  # it is suspended, and one session still open
    assert seen(store) == {"Google": Sessions(1, 1)}


def test_a_part_of_a_session_is_one_and_three_thirds_are_no_more(store: Store) -> None:
    for _ in range(3):
        tell(store, add_worker(store, NOW + 60), Google=Sessions(0, 1 / 3), Yahoo=Sessions(0, 5 / 3))
    tell(store, add_worker(store, NOW + 60), Apple=Sessions(0, 0.25))
    assert seen(store) == {"Google": Sessions(0, 1), "Yahoo": Sessions(0, 5), "Apple": Sessions(0, 1)}


@pytest.mark.parametrize("how", ["in order", "taken over"])
def test_what_a_worker_told_goes_with_it(store: Store, how: str) -> None:
    gone, left = add_worker(store, NOW + 1), add_worker(store, NOW + 60)
    tell(store, gone, Google=Sessions(2, 2.0))
    tell(store, left, Google=Sessions(1, 2.0))
    assert seen(store, NOW + 2) == {"Google": Sessions(1, 2)}  # it may not live any more
    with store.write() as session:
        queue.forget(session, gone) if how == "in order" else queue.take_over(session, NOW + 2)
        assert queue.heartbeat(session, left, NOW + 90)
    assert seen(store, NOW) == {"Google": Sessions(1, 2)}


def test_who_is_not_restricted_is_resumed_as_well_if_a_worker_knows_it(store: Store) -> None:
    tell(store, add_worker(store, NOW + 60), Google=Sessions(0, 1.0))
    resume(store, "Google")
    with store.write() as session:
        providers.suspend(session, "Yahoo", "pause", None, NOW, "ann")
    resume(store, "Yahoo")
    with store.read() as session:
        assert provider_sessions.resumptions(session) == {"Google": NOW, "Yahoo": NOW}
    with pytest.raises(UsageError, match="is not suspended, and no session with it is open or limited"):
        resume(store, "Apple")


def test_a_word_that_all_have_heard_is_forgotten(store: Store) -> None:
    with store.write() as session:
        for at in (NOW, NOW + 1):
            provider_sessions.begin_again(session, "Google", at)
        assert provider_sessions.resumptions(session) == {"Google": NOW + 1}
        assert provider_sessions.forget(session, NOW + KEPT) == 0
        assert provider_sessions.forget(session, NOW + 1 + KEPT) == 1
